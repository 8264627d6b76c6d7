"""Values of options: what is taken, and in which words the rest is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from monitor.common.option_types import (
    Budget,
    Columns,
    Duration,
    Name,
    Number,
    PositiveDuration,
    Section,
    Windows,
    takes_numbers,
)


class Options(Section):
    """One option of each kind that could be mistaken for another."""

    rows: int = 1
    shares: list[float] = []  # noqa: RUF012 - pydantic copies it
    on: bool = False
    either: bool | float = 1.0


def problem(kind: Any, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    return str(caught.value.errors()[0]["msg"])


@given(st.integers(0, 10**6))
def test_a_duration_is_milliseconds(minutes: int) -> None:
    assert TypeAdapter(Duration).validate_python(f"{minutes}m") == minutes * 60_000


def test_no_time_at_all_is_refused_where_time_must_pass() -> None:
    assert TypeAdapter(Duration).validate_python("0s") == 0
    assert 'longer than "0s"' in problem(PositiveDuration, "0s")
    assert 'longer than "0s"' in problem(Windows, ["0m"])


def test_windows_and_columns_are_named_once() -> None:
    assert TypeAdapter(Windows).validate_python(["1h", "1d"]) == ["1h", "1d"]
    assert '"1h" is given twice' in problem(Windows, ["1h", "1d", "1h"])
    assert problem(Columns, ["b", "a", "b", "a"]).endswith('"a" is given twice\n"b" is given twice')
    assert "at most 8" in problem(Windows, [f"{hours}h" for hours in range(1, 10)])


def test_names_are_printable_and_numbers_finite() -> None:
    assert TypeAdapter(Name).validate_python("größe €") == "größe €"
    assert "printable characters only" in problem(Name, "a\nb")
    for kind in (Number, Budget):
        assert "finite" in problem(kind, float("nan"))


@pytest.mark.parametrize("value", [{"rows": True}, {"shares": [0.5, False]}])
def test_true_is_no_number(value: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="must be a number"):
        Options.model_validate(value)


def test_true_is_taken_where_it_is_meant_and_unknown_keys_are_refused() -> None:
    assert Options.model_validate({"on": True, "either": True}) == Options(on=True, either=True)
    with pytest.raises(ValidationError, match="Extra inputs"):
        Options.model_validate({"row": 1})


@pytest.mark.parametrize(
    ("kind", "takes"),
    [
        (int, True), (float | None, True), (list[int], True), (Annotated[int, "x"], True), (bool, False), (str, False),
        (bool | int, False), (Literal[1, 2], False), (Annotated[int, BeforeValidator(int)], False),
    ],
)  # fmt: skip
def test_which_types_are_for_numbers(kind: object, takes: bool) -> None:
    assert takes_numbers(kind) is takes
