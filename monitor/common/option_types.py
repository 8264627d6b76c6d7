"""Types of configuration values that refuse values which cannot work."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from monitor.common.durations import duration_of
from monitor.common.nearest import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Iterable


def _positive(value: int) -> int:
    if value <= 0:
        raise ValueError('must be longer than "0s"')
    return value


def _window_name(value: object) -> object:
    # A number is refused with its likely spellings; other values are refused elsewhere as not being text.
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


def takes_numbers(annotation: object, metadata: Iterable[object] = ()) -> bool:
    """Whether a field's type takes numbers, alone or in a list, but not true and false.

    Args:
        annotation: the type.
        metadata: its annotations; a type with its own validator checks true and false itself.
    """
    if any(isinstance(item, BeforeValidator) for item in metadata):
        return False
    if typing.get_origin(annotation) is Annotated:
        inner, *more = typing.get_args(annotation)
        return takes_numbers(inner, more)
    arguments = typing.get_args(annotation)
    if not arguments or typing.get_origin(annotation) is Literal:
        return annotation in (int, float)
    return bool not in arguments and any(takes_numbers(item) for item in arguments)


def refuse_truth_values(value: object) -> None:
    """Refuses true and false, alone or in a list; pydantic takes them for 1 and 0.

    Raises:
        ValueError: naming the value.
    """
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, bool):
            raise ValueError(f"got {shown(item)}; must be a number")


Duration = Annotated[
    int, BeforeValidator(duration_of, json_schema_input_type=str), Field(ge=0, description="such as 90s, 15m, 1h")
]
"""Milliseconds, written as ``15m``."""
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
"""Milliseconds, greater than 0."""
WindowName = Annotated[str, BeforeValidator(_window_name, json_schema_input_type=str)]
Windows = Annotated[list[WindowName], AfterValidator(_distinct), Field(max_length=8)]
Name = Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_printable)]
Column = Annotated[str, Field(min_length=1)]
Columns = Annotated[list[Column], AfterValidator(_distinct)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Budget = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
"""Accepted false alarms in 30 days; confidence levels follow from it."""
Rows = Annotated[int, Field(ge=1, le=10**12)]
Cost = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Effect = Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False)]


class Section(BaseModel):
    """Base of all sections; refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields[info.field_name or ""]
        if takes_numbers(field.annotation, field.metadata):
            refuse_truth_values(value)
        return value
