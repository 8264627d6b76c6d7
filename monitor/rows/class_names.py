"""Classes by name, independent of how a producer spells them.

Different programs write the training file and the labels, so 1, "1.0", "true" and "Yes " are one class. A value is
matched to a class of the reference only if exactly one class fits; any other value is unknown, never the negative
class.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from monitor.rows.categories import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

T = TypeVar("T")
UNKNOWN = -1.0
"""Number of a value that is no class of the reference."""
REST = "other"
"""Common name of all negative classes of a binary model."""
TRUE = frozenset({"1", "true", "t", "yes", "y", "on", "positive"})
FALSE = frozenset({"0", "false", "f", "no", "n", "off", "negative"})


class ClassNames:
    """The classes of a model.

    Args:
        classes: canonical names; the index of each is its number. For a binary model `REST` comes first.
        negatives: canonical names that `REST` stands for; None if unknown: every unknown value is then negative.
        binary: whether the first name is `REST`.
    """

    def __init__(self, classes: Sequence[str], negatives: Iterable[str] | None, *, binary: bool) -> None:
        self._unknown = 0.0 if binary and negatives is None else UNKNOWN
        names = dict.fromkeys(negatives or (), 0.0) if binary else {}
        names |= {name: float(number) for number, name in enumerate(classes) if number or not binary}
        self._names = names
        self._spellings = _unambiguous((spelling(name), number) for name, number in names.items() if name.strip())
        truths = _truths(self._spellings, lacking=0.0 if binary else None)
        self._spellings = truths | self._spellings

    def number(self, value: object) -> float:
        """The number of a class; NaN for a missing value, `UNKNOWN` for a value that is no class.

        Raises:
            TypeError: if ``value`` is no scalar.
        """
        text = canonical(value)
        if text is None:
            return math.nan
        exact = self._names.get(text)
        if exact is not None:
            return exact
        if not text.strip():
            return math.nan
        return self._spellings.get(spelling(text), self._unknown)

    def numbers(self, values: Sequence[object]) -> NDArray[np.float64]:
        """float64[n]: as `number`; `UNKNOWN` for lists and objects."""
        known: dict[object, float] = {}
        out = np.full(len(values), np.nan)
        for row, value in enumerate(values):
            try:
                number = known.get(value)
                if number is None:
                    number = known[value] = self.number(value)
            except TypeError:
                number = UNKNOWN
            out[row] = number
        return out


def spelling(text: str) -> str:
    """The common form of all spellings of a class: trimmed, in lower case, numbers in their shortest form."""
    plain = " ".join(text.split()).casefold()
    try:
        value = float(plain)
    except ValueError:
        value = math.nan
    # float() accepts 1_000 as a number; other producers do not write that.
    return str(canonical(value)) if math.isfinite(value) and "_" not in plain else plain


def one_spelling(columns: Sequence[set[str]]) -> set[str]:
    """The classes of several columns, each in the spelling of the first column that has it.

    If one column contains two spellings, they are two classes and stay apart.
    """
    classes: set[str] = set()
    for texts in columns:
        known = _unambiguous((spelling(text), text) for text in sorted(classes))
        own = _unambiguous((spelling(text), text) for text in sorted(texts))
        classes |= {text for text in texts if own.get(spelling(text)) != text or spelling(text) not in known}
    return classes


def same_truth(name: str, names: set[str]) -> set[str]:
    """The names that mean what ``name`` means, true or false; only ``name`` if any of ``names`` is neither."""
    for words in (TRUE, FALSE):
        if spelling(name) in words and {spelling(other) for other in names} <= TRUE | FALSE:
            return {other for other in names if spelling(other) in words}
    return {name}


def _unambiguous(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    meanings: dict[str, T] = {}
    doubtful: set[str] = set()
    for text, meant in pairs:
        if meanings.setdefault(text, meant) != meant:
            doubtful.add(text)
    return {text: meant for text, meant in meanings.items() if text not in doubtful}


def _truths(spellings: Mapping[str, float], lacking: float | None) -> dict[str, float]:
    """Every spelling of true and false, if the classes are exactly one true and one false.

    Args:
        spellings: spelling → number of the class.
        lacking: number of the class that a binary reference may lack because no row has it.
    """
    if not spellings or not spellings.keys() <= TRUE | FALSE:
        return {}
    sides = [{spellings[text] for text in words & spellings.keys()} for words in (TRUE, FALSE)]
    if lacking is not None and len(spellings) == 1:
        sides = [side or {lacking} for side in sides]
    if any(len(side) > 1 for side in sides) or sides[0] == sides[1]:
        return {}
    return {text: number for words, side in zip((TRUE, FALSE), sides, strict=True) for text in words for number in side}
