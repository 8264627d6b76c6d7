"""Every kind of saved document and its type; each is decoded once while there still is a backup to fall back on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monitor.alerting import alerting
from monitor.alerting.outbox import Receivers
from monitor.common.codec import decode
from monitor.daemon.learner import LearnedRows
from monitor.evaluate.burn_in import BurnInBlocks
from monitor.evaluate.change_points import States
from monitor.evaluate.realised import ErrorsFollowed
from monitor.evaluate.record_faults import FaultCounts
from monitor.evaluate.schema_changes import NamesSeen
from monitor.evaluate.state_damage import Damage
from monitor.evaluate.traffic import TrafficSoFar
from monitor.labels.document import LabelState
from monitor.rows.records import Partition
from monitor.state import learned, removed
from monitor.windows.gaps import Gap

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Mapping[str, Any] = {
    "alerts": alerting.Alerts,
    "incidents": alerting.Incidents,
    "cooldowns": alerting.Cooldowns,
    "receivers": Receivers,
    "burn-in": BurnInBlocks,
    "schema": NamesSeen,
    "seen": list[Partition],
    "gaps": list[Gap],
    "damage": Damage,
    "faults": FaultCounts,
    "traffic": TrafficSoFar,
    "followed": States,
    "errors": ErrorsFollowed,
    "performance": LabelState,
    "learned": LearnedRows,
    learned.KIND: learned.LearnedReference,
    removed.DOCUMENT: removed.Since,
}


def read_document(name: str, document: bytes) -> None:
    """Decodes a document.

    Args:
        name: ``kind``, ``kind/model`` or ``kind/place/model``; unknown kinds, of a version to come, are passed over.
        document: as saved.

    Raises:
        CorruptError: if it does not encode a value of its type.
    """
    kind = KINDS.get(name.partition("/")[0])
    if kind is not None:
        decode(document, kind)
