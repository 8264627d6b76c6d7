"""The classes of labels: numbers among the classes of all references, and among the classes of one reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monitor.rows.class_names import REST, ClassNames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.reference.performance import PerformanceProfile


def all_classes(profiles: list[PerformanceProfile]) -> tuple[str, ...] | None:
    """The distinct classes of all profiles; None where labels are numbers or lists."""
    known = [profile.classes for profile in profiles if profile.classes is not None]
    return tuple(dict.fromkeys(name for classes in known for name in classes)) if known else None


def all_names(profiles: list[PerformanceProfile], *, binary: bool) -> ClassNames | None:
    """Maps values to `all_classes`; None where labels are numbers or lists."""
    classes = all_classes(profiles)
    if classes is None:
        return None
    sets = [profile.negatives for profile in profiles]
    negatives = None if None in sets else {name for names in sets for name in names or ()}
    return ClassNames(classes, negatives, binary=binary)


def translation(everybody: tuple[str, ...] | None, own: PerformanceProfile) -> NDArray[np.float64] | None:
    """float64: number among all classes → number among the classes of ``own``; None if the numbers are equal."""
    names = own.names
    if everybody is None or own.classes is None or names is None or everybody == own.classes:
        return None
    numbers = [0.0 if name == REST and own.classes[0] == REST else names.number(name) for name in everybody]
    return np.array([number if number >= 0 else np.nan for number in numbers])
