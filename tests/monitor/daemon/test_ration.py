"""After a failure chunks are taken in by pieces: every message once, in order, but for the rows that are set aside."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.daemon.ration import FAILED, Ration
from monitor.daemon.recovery import Attempt, Caution, RowPlace
from monitor.rows.records import Decoded, LabelRows, Messages, Partition, Table

PARTS = (Partition("t", 0), Partition("t", 1))


def messages(partition: Partition, first: int, size: int) -> Messages:
    return Messages(
        partition, np.arange(first, first + size), [b"%d" % offset for offset in range(first, first + size)]
    )


def offsets(chunk: Messages | Table) -> list[int]:
    if isinstance(chunk, Messages):
        assert [int(value or b"-1") for value in chunk.values] == chunk.offsets.tolist()
        return chunk.offsets.tolist()
    return list(range(chunk.first_offset, chunk.first_offset + chunk.rows))


def decoded(chunk: Messages | Table) -> Decoded:
    """Each message holds one label."""
    at = np.array(offsets(chunk), dtype=np.int64)
    index = np.arange(len(at))
    labels = LabelRows("m", index, at, at.tolist(), np.zeros(len(at), dtype=[("value", "<f8")]))
    return Decoded(chunk.partition, at, np.zeros(len(at), dtype=np.int64), at, {}, {}, (), int(at[-1]) + 1, (labels,))


@given(st.lists(st.tuples(st.sampled_from(PARTS), st.integers(1, 9)), max_size=6), st.none() | st.integers(1, 4))
def test_every_message_is_taken_once_and_in_order_whatever_the_limit(
    sizes: list[tuple[Partition, int]], limit: int | None
) -> None:
    ration = Ration(Caution(limit=limit))
    chunks, ends = [], dict.fromkeys(PARTS, 0)
    for partition, size in sizes:
        chunks.append(messages(partition, ends[partition], size))
        ends[partition] += size
    taken: dict[Partition, list[int]] = {part: [] for part in PARTS}
    arrived = tuple(chunks)
    for _ in range(60):
        for chunk in ration.take(arrived, frozenset()):
            assert limit is None or len(offsets(chunk)) <= limit
            taken[chunk.partition] += offsets(chunk)
        arrived = ()
    assert taken == {part: list(range(end)) for part, end in ends.items()}
    assert ration.waiting == frozenset()


def test_what_waits_to_be_counted_holds_its_partition_back_and_no_other() -> None:
    ration = Ration(Caution(limit=2))
    first = list(ration.take((messages(PARTS[0], 0, 4), messages(PARTS[1], 0, 4)), frozenset({PARTS[0]})))
    assert [chunk.partition for chunk in first] == [PARTS[1]]
    assert ration.waiting == frozenset(PARTS)
    ration.forget(PARTS[0])
    assert ration.waiting == {PARTS[1]}


def test_tables_are_split_like_messages() -> None:
    ration = Ration(Caution(limit=2))
    table = Table(PARTS[0], 10, 5, {"a": list("vwxyz")})
    pieces = [piece for _ in range(3) for piece in ration.take((table,) if _ == 0 else (), frozenset())]
    assert [(piece.first_offset, piece.columns["a"]) for piece in pieces if isinstance(piece, Table)] == [
        (10, ["v", "w"]), (12, ["x", "y"]), (14, ["z"]),
    ]  # fmt: skip


def kept(found: Decoded) -> list[Any]:
    return list(found.labels[0].ids)


def test_a_row_on_trial_goes_and_one_set_aside_is_a_reject_with_its_bytes() -> None:
    chunk = messages(PARTS[0], 5, 3)
    place = RowPlace(PARTS[0], 6, 0)
    tried = Ration(Caution(limit=3, trial=place)).decode(chunk, decoded)
    assert (kept(tried), tried.rejects) == ([5, 7], {})
    aside = Ration(Caution(limit=3, aside=frozenset({place}))).decode(chunk, decoded)
    assert (kept(aside), aside.rejects, aside.values) == ([5, 7], {1: FAILED}, {1: b"6"})
    other = Ration(Caution(limit=3, aside=frozenset({RowPlace(PARTS[1], 6, 0), RowPlace(PARTS[0], 9, 0)})))
    assert kept(other.decode(chunk, decoded)) == [5, 6, 7]


def test_a_message_that_cannot_be_decoded_is_set_aside_whole() -> None:
    def fail(chunk: Messages | Table) -> Decoded:
        raise ZeroDivisionError

    ration = Ration(Caution(limit=1, aside=frozenset({RowPlace(PARTS[0], 5, None)})))
    found = ration.decode(messages(PARTS[0], 5, 1), fail)
    assert (found.rejects, found.values, found.next_offset) == ({0: FAILED}, {0: b"5"}, 6)


def test_a_failure_is_blamed_on_the_chunk_that_was_being_decoded() -> None:
    ration = Ration(Caution(limit=4))
    counted = RowPlace(PARTS[1], 3, 0)
    assert ration.attempt(7, counted) == Attempt(7, counted)
    try:
        ration.decode(messages(PARTS[0], 5, 3), lambda chunk: 1 / 0)  # type: ignore[arg-type, return-value]
    except ZeroDivisionError:
        assert ration.attempt(7, counted) == Attempt(3, RowPlace(PARTS[0], 5, None))
