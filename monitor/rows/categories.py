"""One text for each category, independent of how a training file or a record spells it."""

from __future__ import annotations

import math

MAX_LABEL = 120


def canonical(value: object) -> str | None:
    """The category's text; None for a missing value.

    Training files and records seldom agree on types, so 1, 1.0, "1" and true are one category, as in most model
    servers.

    Raises:
        TypeError: if ``value`` is no scalar (a list, an object).
    """
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    raise TypeError(f"{type(value).__name__} is no category")


def label(value: object) -> str | None:
    """The category's text as it may stand in a metric label: printable UTF-8 of bounded length; None for no scalar."""
    try:
        text = canonical(value)
    except TypeError:
        return None
    if text is None:
        return None
    text = text.encode("utf-8", "replace").decode("utf-8")[:MAX_LABEL]
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def lookup_table(codes: dict[str, int], missing: int) -> dict[object, int]:
    """Every raw form of each category → its code, so that encoding a value is one dictionary look-up.

    1, 1.0 and True are equal as Python keys and as categories.
    """
    table: dict[object, int] = {None: missing}
    for text, code in codes.items():
        table[text] = code
        try:
            number = float(text)
        except ValueError:
            continue
        if canonical(number) == text:
            table[number] = code
    return table
