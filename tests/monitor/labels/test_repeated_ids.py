"""Rows that come again under a remembered id are counted, and no others."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.labels.repeated_ids import SLOTS, RepeatedIds


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(0, 30) | st.sampled_from(["a", "b"]), max_size=20), max_size=4))
def test_a_few_ids_are_counted_exactly(batches: list[list[int | str]]) -> None:
    repeated = RepeatedIds()
    for batch in batches:
        repeated.take(batch)
    every = [one for batch in batches for one in batch]
    assert repeated.count == len(every) - len({str(one) for one in every})


def test_rows_without_an_id_are_no_repeats() -> None:
    repeated = RepeatedIds()
    repeated.take([None, None, float("nan"), "a"])
    repeated.take([None, "b"])
    assert repeated.count == 0


def test_the_share_that_is_missed_is_as_stated() -> None:
    repeated = RepeatedIds()
    repeated.take([f"old-{number}" for number in range(2_000)])
    repeated.take(range(SLOTS // 2))
    assert repeated.count == 0
    repeated.take([f"old-{number}" for number in range(2_000)])
    # e^(-1/2), with five standard errors of 2000 draws.
    assert abs(repeated.count / 2_000 - 0.6065) < 0.055
