"""Outcomes of predictions and labels in the join."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from detectors.array_types import Flags, Hashes, Integers, Records


class Outcome(IntEnum):
    """Outcome of a row; counted under its name in lower case."""

    PREDICTED = 0
    DUPLICATE_PREDICTION = 1
    EXPIRED_PREDICTION = 2
    UNSAMPLED_PREDICTION = 3
    UNUSABLE_PREDICTION = 4
    JOINED = 5
    EARLY = 6
    DUPLICATE = 7
    CORRECTED = 8
    OUTDATED = 9
    EXPIRED = 10
    UNKNOWN = 11
    UNSAMPLED = 12
    UNUSABLE = 13


@dataclass(frozen=True, slots=True)
class Pairs:
    """Joined pairs, in the order of the rows that completed them.

    Attributes:
        times: int64[k], event times of the predictions, ms.
        delays: int64[k], time from the prediction until its label became known, ms; negative if clocks disagree.
        predictions: [k], payloads of the predictions.
        labels: [k], the labels that count from now on.
        old_labels: [k], the labels that counted until now; zeros without an old label.
        replaced: bool[k], whether there is an old label, whose counts must be subtracted.
    """

    times: Integers
    delays: Integers
    predictions: Records
    labels: Records
    old_labels: Records
    replaced: Flags


@dataclass(frozen=True, slots=True)
class Predicted:
    """The outcomes of a batch of predictions.

    Attributes:
        new: bool[n], whether the prediction now waits for its label or is joined.
        outcomes: int8[n], ``Outcome`` of each row.
        pairs: with labels that arrived before their predictions.
    """

    new: Flags
    outcomes: NDArray[np.int8]
    pairs: Pairs


@dataclass(frozen=True, slots=True)
class Labelled:
    """The outcomes of a batch of labels.

    Attributes:
        outcomes: int8[n], ``Outcome`` of each row.
        pairs: labels joined to predictions, including corrections.
    """

    outcomes: NDArray[np.int8]
    pairs: Pairs


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The future outcomes of a batch of labels.

    Attributes:
        labelled: their outcomes and pairs.
        rows: int64[k], the row that completes each pair.
        kept: arguments of `LabelJoin._keep`.
    """

    labelled: Labelled
    rows: Integers
    kept: tuple[Hashes, Records, Integers, Flags, Integers, Flags, Integers]
