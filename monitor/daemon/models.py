"""The models of a daemon: those that are monitored, and those that still learn their reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.config.labels import reads_labels
from monitor.daemon.learner import ReferenceLearner
from monitor.daemon.model import MonitoredModel
from monitor.decode.readers import ModelReader, RawReader
from monitor.decode.topics import TopicDecoder, make_decoders
from monitor.reference.by_version import single
from monitor.reference.profile import decode_profile, encode_profile
from monitor.rows.records import ModelRows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from monitor.common.clock import Clock
    from monitor.config.model import ModelSection
    from monitor.config.schema import Config
    from monitor.decode.first_usable import Seen
    from monitor.labels.panes import PaneReader
    from monitor.reference.by_version import ReferencesByVersion


@dataclass(frozen=True, slots=True)
class Adopted:
    """A model that has learned its reference.

    Attributes:
        model: takes rows from now on.
        learner: holds rows and labels that are still to be added.
        profile: the reference, encoded.
        encoded: raw rows → rows as the model takes them.
    """

    model: MonitoredModel
    learner: ReferenceLearner
    profile: bytes
    encoded: Callable[[ModelRows], ModelRows]


class Models:
    """All configured models.

    Args:
        config: validated.
        references: model → its references; a model without any learns one.
        folder: the state directory.
        reader: of saved panes.
        clock: for the cost of judging.

    Attributes:
        monitored, learners: by name; a model moves from the second to the first once it has learned its reference.
    """

    def __init__(
        self,
        config: Config,
        references: Mapping[str, ReferencesByVersion],
        *,
        folder: Path,
        reader: PaneReader,
        clock: Clock,
    ) -> None:
        self._config, self._folder, self._reader, self._clock = config, folder, reader, clock
        self.monitored: dict[str, MonitoredModel] = {}
        self.learners: dict[str, ReferenceLearner] = {}
        self._raw: dict[str, RawReader] = {}
        self._learned_rows = 0
        for section in config.models:
            if section.name in references:
                self.monitored[section.name] = self._monitor(section, references[section.name])
            else:
                raw = self._raw[section.name] = RawReader(section)
                self.learners[section.name] = ReferenceLearner(section, raw.columns)

    def _monitor(
        self, section: ModelSection, references: ReferencesByVersion, seen: Seen | None = None
    ) -> MonitoredModel:
        return MonitoredModel(
            section,
            references,
            labelled=reads_labels(self._config, section),
            folder=self._folder,
            reader=self._reader,
            clock=self._clock,
            seen=seen,
        )

    def decoders(self) -> dict[str, TopicDecoder]:
        """Topic → how its messages become rows of the models that it feeds."""
        readers: dict[str, ModelReader | RawReader] = {name: model.route for name, model in self.monitored.items()}
        labels = {name: reader for name, model in self.monitored.items() if (reader := model.label_route) is not None}
        return make_decoders(self._config, readers | self._raw, labels)

    def seen(self) -> dict[str, Seen]:
        """Model → where usable records have come from."""
        monitored = {name: model.seen for name, model in self.monitored.items()}
        return monitored | {name: learner.seen for name, learner in self.learners.items()}

    @property
    def learned_rows(self) -> int:
        """Rows that references were, or will be, learned from."""
        return self._learned_rows + sum(len(learner.times) for learner in self.learners.values())

    def ready(self) -> list[str]:
        """Names of the learners that need no more rows."""
        return [name for name, learner in self.learners.items() if learner.needed <= 0]

    def adopt(self, name: str) -> Adopted:
        """Monitors a model by the reference that it has learned."""
        learner, paths = self.learners[name], self._raw[name].paths
        raw = encode_profile(learner.profile())
        # As it will be read after a restart.
        model = self.monitor(name, single(decode_profile(raw, "learned")), learner.seen)
        if model.performance is not None:
            model.performance.restore(None)
        self._learned_rows += len(learner.times)
        return Adopted(model, learner, raw, lambda rows: model.route.encoded(rows, paths))

    def monitor(self, name: str, references: ReferencesByVersion, seen: Seen | None = None) -> MonitoredModel:
        """Monitors a model with other references than those at the start."""
        (section,) = (section for section in self._config.models if section.name == name)
        self.learners.pop(name, None)
        self._raw.pop(name, None)
        model = self.monitored[name] = self._monitor(section, references, seen)
        return model
