"""The words in which errors name values: as TOML writes them, on one line, with the nearest valid name."""

from __future__ import annotations

import math
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.common.nearest import hint, listed, nearest, place_text, quoted, shown

PRINTABLE = st.characters(codec="utf-8", exclude_characters="\x7f")


@given(st.text(PRINTABLE, max_size=60))
def test_text_is_quoted_as_toml_reads_it(text: str) -> None:
    assert tomllib.loads(f"a = {quoted(text)}")["a"] == text


def test_long_text_and_lone_surrogates_are_shown_on_one_short_line() -> None:
    assert quoted("a" * 61) == '"' + "a" * 59 + '…"'
    assert quoted("a\nb") == '"a\\nb"'
    assert quoted("\ud800") == '"?"'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"), (False, "false"), (3, "3"), (0.5, "0.5"), (10**15, "1e+15"), (math.nan, "nan"),
        (math.inf, "inf"), (-math.inf, "-inf"), ("a", '"a"'), ([1], "a list"), ((), "a list"), ({}, "a table"),
    ],
)  # fmt: skip
def test_values_are_shown_as_in_the_file(value: object, text: str) -> None:
    assert shown(value) == text


def test_case_and_separators_do_not_count_and_the_first_of_equals_is_taken() -> None:
    assert nearest("Max_Delay", ["max-delay", "maxdelay", "other"]) == "max-delay"
    assert nearest("lables", ["labels", "other"]) == "labels"
    assert nearest("zzz", ["labels", "tables"]) is None
    assert nearest("labls", ["labels"], cutoff=0.99) is None


def test_a_hint_names_the_nearest_or_all() -> None:
    assert hint("binay", ["binary", "ranking"]) == 'did you mean "binary"?'
    assert hint("zzz", ["b", "a", "b"], "it has") == 'it has: "b", "a"'
    assert listed([]) == "none"
    assert listed(map(str, range(22))).endswith('"19" and 2 more')


@given(st.lists(st.text(PRINTABLE, min_size=1, max_size=8), min_size=1, max_size=4))
def test_a_place_without_numbers_is_a_key_of_toml(keys: list[str]) -> None:
    inner: object = tomllib.loads(f"{place_text(list(keys))} = 1")
    for key in keys:
        assert isinstance(inner, dict)
        inner = inner[key]
    assert inner == 1


def test_places_in_lists_have_their_number() -> None:
    assert place_text(["models", 0, "columns", "a b"]) == 'models[0].columns."a b"'
