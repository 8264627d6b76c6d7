"""Values of the configuration that are refused outside what can work."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from monitor.durations import duration_of
from monitor.nearest import quoted


class Section(BaseModel):
    """Every section refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _positive(value: int) -> int:
    if value <= 0:
        raise ValueError('must be longer than "0s"')
    return value


def _window_name(value: object) -> object:
    # A number is refused with its likely spellings; any other value is no text, which is said elsewhere.
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        _positive(duration_of(value))
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"got {quoted(value)}; a name holds printable characters only")
    return value


def _distinct(values: list[str]) -> list[str]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError("\n".join(f"{quoted(value)} is given twice" for value in twice))
    return values


Duration = Annotated[
    int, BeforeValidator(duration_of, json_schema_input_type=str), Field(ge=0, description="such as 90s, 15m, 1h")
]
"""Milliseconds, written as ``15m``."""
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
"""Longer than no time at all."""
WindowName = Annotated[str, BeforeValidator(_window_name, json_schema_input_type=str)]
Windows = Annotated[list[WindowName], AfterValidator(_distinct), Field(max_length=8)]
Name = Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_printable)]
Column = Annotated[str, Field(min_length=1)]
Columns = Annotated[list[Column], AfterValidator(_distinct)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Budget = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
"""False alarms in 30 days: confidence levels are computed for these."""
Rows = Annotated[int, Field(ge=1, le=10**12)]
Cost = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Effect = Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False)]
