"""Decodes every kind of saved document once, while there still is a backup to fall back on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from monitor.alerting import alerting, outbox
from monitor.daemon.learner import DOCUMENT as LEARNER
from monitor.decode.first_usable import Seen
from monitor.evaluate.burn_in import BurnIn
from monitor.evaluate.change_points import read_states
from monitor.evaluate.record_faults import RecordFaults
from monitor.evaluate.schema_changes import SchemaChanges
from monitor.evaluate.state_damage import DamageNotice
from monitor.evaluate.traffic import read_traffic
from monitor.labels.document import LabelState
from monitor.state import learned, removed
from monitor.windows.gaps import Gaps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LABELS = msgspec.msgpack.Decoder(LabelState)
_ERRORS = msgspec.msgpack.Decoder(tuple[int | None, dict[str, bytes]])


def _errors(document: bytes) -> None:
    for states in _ERRORS.decode(document)[1].values():
        read_states(states)


def _labels(document: bytes) -> None:
    msgspec.json.decode(_LABELS.decode(document).manifest)


_DECODE: Mapping[str, Callable[[bytes], Any]] = {
    **{name: decoder.decode for name, decoder in alerting.DOCUMENTS.items()},
    "receivers": outbox.DOCUMENT.decode,
    removed.DOCUMENT: removed.Removed().restore,
    # What can be restored without its model is restored for a try.
    "burn-in": lambda document: BurnIn(0, 0).restore(document),
    "schema": lambda document: SchemaChanges().restore(document),
    "seen": lambda document: Seen().restore(document),
    "gaps": lambda document: Gaps().restore(document),
    "damage": lambda document: DamageNotice(0).restore(document),
    "faults": lambda document: RecordFaults(1).restore(document),
    "traffic": read_traffic,
    "followed": read_states,
    "errors": _errors,
    "performance": _labels,
    "learned": LEARNER.decode,
    learned.KIND: learned.DECODER.decode,
}


def read_document(name: str, document: bytes) -> None:
    """Decodes a document, and raises whatever its decoder does if it cannot.

    Args:
        name: ``kind``, ``kind/model`` or ``kind/place/model``; unknown kinds, of a version to come, are passed over.
        document: as saved.
    """
    decode = _DECODE.get(name.partition("/")[0])
    if decode is not None:
        decode(document)
