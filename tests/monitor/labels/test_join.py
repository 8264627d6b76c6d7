"""Late labels joined by id: against a dictionary, over any batches, restarts, crashes and merges."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.common.errors import StateError
from monitor.labels.join import LabelJoin
from monitor.labels.keyed_files import Tiers
from monitor.labels.outcomes import Outcome, Pairs
from monitor.rows.ids import hash_ids

PREDICTION = np.dtype([("score", "<f8"), ("version", "<i2")])
LABEL = np.dtype([("value", "<f8")])
RETENTION = 50
SMALL = Tiers(fan=2, least=2, most=16)


@dataclass
class Oracle:
    """The same rules, one row at a time, in dictionaries that forget only by the clock."""

    watermark: int = -(10**9)
    live: dict[object, tuple[int, float]] = field(default_factory=dict)
    joined: dict[object, tuple[int, float]] = field(default_factory=dict)
    held: dict[object, tuple[int, float]] = field(default_factory=dict)
    expired: dict[object, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    pairs: list[tuple[object, ...]] = field(default_factory=list)

    @property
    def horizon(self) -> int:
        return self.watermark - RETENTION

    def advance(self, watermark: int) -> None:
        self.watermark = max(self.watermark, watermark)
        for name in [name for name, (time, _) in self.live.items() if time < self.horizon]:
            self.expired[name] = max(self.live.pop(name)[0], self.expired.get(name, -(10**9)))
            self.joined.pop(name, None)
        for name in [name for name, (at, _) in self.held.items() if at < self.horizon]:
            del self.held[name]
            self.counts["unknown"] += 1
        self.expired = {name: time for name, time in self.expired.items() if time >= self.horizon - RETENTION}

    def predict(self, name: object, time: int, score: float) -> str:
        if name in self.live:
            return "duplicate_prediction"
        held = self.held.pop(name, None)
        if time < self.horizon:
            if time >= self.horizon - RETENTION:
                self.expired[name] = max(time, self.expired.get(name, time))
            self.counts["expired"] += held is not None
            return "expired_prediction"
        self.live[name] = (time, score)
        if held is not None:
            self.joined[name] = held
            self.counts["joined"] += 1
            self.pairs.append((time, held[0] - time, score, held[1], 0.0, False))
        return "predicted"

    def label(self, name: object, at: int, value: float) -> str:
        if name in self.live:
            return self._settle(name, at, value, self.joined, "joined")
        if name in self.expired:
            return "expired"
        if name not in self.held and at < self.horizon:
            return "unknown"
        return self._settle(name, at, value, self.held, "early")

    def _settle(self, name: object, at: int, value: float, kept: dict[object, tuple[int, float]], first: str) -> str:
        old = kept.get(name)
        if old is not None and old[1] == value:
            kept[name] = (max(at, old[0]), value)
            return "duplicate"
        if old is not None and at < old[0]:
            return "outdated"
        kept[name] = (at, value)
        if name in self.live:
            time, score = self.live[name]
            self.pairs.append((time, at - time, score, value, 0.0 if old is None else old[1], old is not None))
        return first if old is None else "corrected"


# Times of rows stand relative to the watermark and in steps of 5, so that most of them matter and many are at an edge.
IDS = st.integers(0, 4)
PREDICTIONS = st.tuples(st.just("p"), IDS, st.integers(-18, 6).map(lambda steps: 5 * steps))
LABELS = st.tuples(
    st.just("l"), IDS, st.integers(-18, 24).map(lambda steps: 5 * steps), st.sampled_from([1.0, 2.0, 3.0])
)
MOVES = st.tuples(st.just("w"), st.sampled_from([0, 5, 5, 10, 15, 25, 40]))
EVENTS = st.lists(st.one_of(PREDICTIONS, LABELS, PREDICTIONS, LABELS, MOVES), max_size=70)
# After each event: go on in the same batch, end the batch, save, prepare without saving, crash after preparing, crash.
ENDS = st.sampled_from(["on"] * 6 + ["batch"] * 3 + ["save", "prepare", "crash prepared", "crash"])


def _join(folder: Path, **options: object) -> LabelJoin:
    return LabelJoin(folder, PREDICTION, LABEL, retention_ms=RETENTION, tiers=SMALL, **options)  # type: ignore[arg-type]


def _scores(values: list[float]) -> np.ndarray:
    payload = np.zeros(len(values), PREDICTION)
    payload["score"], payload["version"] = values, 3
    return payload


def _values(values: list[float]) -> np.ndarray:
    payload = np.zeros(len(values), LABEL)
    payload["value"] = values
    return payload


def _times(times: list[int]) -> np.ndarray:
    return np.array(times, dtype=np.int64)


def _listed(pairs: Pairs) -> list[tuple[object, ...]]:
    assert (pairs.predictions["version"] == 3).all()
    return list(
        zip(
            pairs.times.tolist(), pairs.delays.tolist(), pairs.predictions["score"].tolist(),
            pairs.labels["value"].tolist(), pairs.old_labels["value"].tolist(), pairs.replaced.tolist(),
            strict=True,
        )
    )  # fmt: skip


class Driver:
    """Feeds events in batches and, after a crash, again from the last saved manifest, as the daemon does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.join = _join(folder)
        self.join.load(None)
        self._saved: bytes | None = None
        self._results: list[tuple[list[str], list[tuple[object, ...]]]] = []
        self._since: list[list[tuple]] = []
        self._kept = 0

    def feed(self, batch: list[tuple]) -> None:
        if not batch:
            return
        self._since.append(batch)
        self._results.append(self._apply(batch))

    def _apply(self, batch: list[tuple]) -> tuple[list[str], list[tuple[object, ...]]]:
        kind = batch[0][0]
        if kind == "w":
            self.join.advance(batch[0][1])
            return [], []
        ids, times = [event[1] for event in batch], _times([event[2] for event in batch])
        if kind == "p":
            done = self.join.add_predictions(ids, times, _scores([event[3] for event in batch]))
            assert (done.new == (done.outcomes == Outcome.PREDICTED)).all()
            return [Outcome(code).name.lower() for code in done.outcomes], _listed(done.pairs)
        known = self.join.add_labels(ids, times, _values([event[3] for event in batch]))
        return [Outcome(code).name.lower() for code in known.outcomes], _listed(known.pairs)

    def save(self) -> None:
        self._saved = self.join.prepare()
        self.join.saved()
        self._since, self._kept = [], len(self._results)

    def prepare(self) -> None:
        self.join.prepare()

    def crash(self) -> None:
        self.join = _join(self._folder)
        assert self.join.load(self._saved) == 0
        again = self._since
        del self._results[self._kept :]
        self._since = []
        for batch in again:
            self.feed(batch)

    @property
    def outcomes(self) -> list[str]:
        return [outcome for outcomes, _ in self._results for outcome in outcomes]

    @property
    def pairs(self) -> list[tuple[object, ...]]:
        return [pair for _, pairs in self._results for pair in pairs]


@pytest.mark.long
@settings(max_examples=250, deadline=None)
@given(events=EVENTS, data=st.data())
def test_any_order_batches_restarts_and_merges_agree_with_a_dictionary(
    events: list[tuple], data: st.DataObject
) -> None:
    ends = data.draw(st.lists(ENDS, min_size=len(events), max_size=len(events)))
    oracle, expected = Oracle(), []
    with tempfile.TemporaryDirectory() as folder:
        driver, batch, watermark = Driver(Path(folder)), [], 0
        for place, (event, end) in enumerate(zip(events, ends, strict=True)):
            kind = event[0]
            if kind == "w":
                watermark += event[1]
                row = (kind, watermark)
                oracle.advance(watermark)
            else:
                row = (kind, event[1], watermark + event[2], float(place) if kind == "p" else event[3])
                expected.append((oracle.predict if kind == "p" else oracle.label)(*row[1:]))
            if batch and (kind == "w" or batch[0][0] != kind):
                driver.feed(batch)
                batch = []
            batch.append(row)
            if kind == "w" or end != "on":
                driver.feed(batch)
                batch = []
            if end == "save":
                driver.save()
            if end in ("prepare", "crash prepared"):
                driver.prepare()
            if end.startswith("crash"):
                driver.crash()
        driver.feed(batch)
        assert driver.outcomes == expected
        assert driver.pairs == oracle.pairs
        total = Counter(expected) + oracle.counts
        assert {name: count for name, count in driver.join.counts.items() if count} == dict(total)
        # What was added and taken back leaves exactly the labels that count, of all predictions ever.
        last: dict[object, object] = {}
        for pair in driver.pairs:
            last[pair[2]] = pair[3]
        assert sum(pair[3] - pair[4] for pair in driver.pairs) == sum(last.values())  # type: ignore[operator]


@pytest.fixture
def join(tmp_path: Path) -> LabelJoin:
    made = _join(tmp_path)
    made.load(None)
    return made


def _outcome(join: LabelJoin, name: object, at: int, value: float) -> str:
    return Outcome(join.add_labels([name], _times([at]), _values([value])).outcomes[0]).name.lower()


def test_a_correction_brings_the_old_label_to_be_taken_back(join: LabelJoin) -> None:
    join.add_predictions(["a"], _times([100]), _scores([0.7]))
    assert _listed(join.add_labels(["a"], _times([110]), _values([1.0])).pairs) == [(100, 10, 0.7, 1.0, 0.0, False)]
    assert _listed(join.add_labels(["a"], _times([125]), _values([0.0])).pairs) == [(100, 25, 0.7, 0.0, 1.0, True)]
    assert _outcome(join, "a", 120, 1.0) == "outdated"
    assert _outcome(join, "a", 125, 0.0) == "duplicate"
    assert _outcome(join, "a", 125, 1.0) == "corrected"


def test_rows_of_one_id_in_one_batch_come_one_after_the_other(join: LabelJoin) -> None:
    taken = join.add_predictions([1, "1", 2, 1.0], _times([5, 6, 7, 8]), _scores([0.1, 0.2, 0.3, 0.4]))
    assert taken.new.tolist() == [True, False, True, False]
    done = join.add_labels(["1", 2, 1, 1], _times([10, 10, 12, 11]), _values([1.0, 1.0, 0.0, 1.0]))
    assert [Outcome(code).name for code in done.outcomes] == ["JOINED", "JOINED", "CORRECTED", "OUTDATED"]
    assert _listed(done.pairs) == [
        (5, 5, 0.1, 1.0, 0.0, False),
        (7, 3, 0.3, 1.0, 0.0, False),
        (5, 7, 0.1, 0.0, 1.0, True),
    ]


def test_a_late_label_is_told_from_one_whose_prediction_was_never_seen(join: LabelJoin) -> None:
    join.add_predictions(["a"], _times([100]), _scores([0.7]))
    join.advance(100 + RETENTION)
    assert _outcome(join, "a", 130, 1.0) == "joined"
    join.advance(101 + RETENTION)
    assert _outcome(join, "a", 131, 0.0) == "expired"
    assert _outcome(join, "b", 131, 1.0) == "early"
    assert join.counts["unknown"] == 0
    join.advance(132 + RETENTION)
    assert join.counts["unknown"] == 1
    join.advance(100 + 2 * RETENTION)
    assert _outcome(join, "a", 160, 0.0) == "expired"
    join.advance(101 + 2 * RETENTION)
    assert _outcome(join, "a", 160, 0.0) == "early"
    assert _outcome(join, "c", 150, 0.0) == "unknown"


def test_an_id_that_is_used_again_has_nothing_of_its_former_label(join: LabelJoin) -> None:
    # The label was held until its prediction came and was known far later than that one is remembered.
    assert _outcome(join, "a", 200, 1.0) == "early"
    join.prepare()
    join.add_predictions(["a"], _times([100]), _scores([0.7]))
    join.advance(101 + 2 * RETENTION)
    assert _outcome(join, "a", 170, 2.0) == "early"
    assert _outcome(join, "a", 170, 2.0) == "duplicate"
    assert _outcome(join, "a", 165, 1.0) == "outdated"
    join.advance(171 + RETENTION)
    assert join.counts["unknown"] == 1
    join.advance(201 + RETENTION)
    assert join.counts["unknown"] == 1
    again = join.add_predictions(["a"], _times([260]), _scores([0.7]))
    assert again.new.all()
    assert not len(again.pairs.times)


def test_expired_predictions_keep_only_their_keys_on_disk(tmp_path: Path) -> None:
    join = LabelJoin(tmp_path, PREDICTION, LABEL, retention_ms=RETENTION)
    join.load(None)
    join.add_predictions(list(range(5000)), np.full(5000, 10), _scores([0.5] * 5000))
    join.prepare()
    full = join.nbytes
    join.advance(61)
    join.prepare()
    join.saved()
    assert 5000 * 16 <= join.nbytes < 5000 * 16 + 500 < full
    assert _outcome(join, 7, 70, 1.0) == "expired"
    join.advance(61 + RETENTION)
    join.prepare()
    join.saved()
    assert join.nbytes == 0
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".rows"]


def test_the_same_share_of_ids_takes_part_on_both_sides(tmp_path: Path) -> None:
    join = _join(tmp_path, sample=0.25)
    join.load(None)
    ids, times = [f"id-{number}" for number in range(4000)], np.zeros(4000, dtype=np.int64)
    predicted = join.add_predictions(ids, times, _scores([0.5] * 4000))
    labelled = join.add_labels(ids, times, _values([1.0] * 4000))
    assert 900 < predicted.new.sum() < 1100
    assert ((labelled.outcomes == Outcome.JOINED) == predicted.new).all()
    assert join.counts["unsampled"] == join.counts["unsampled_prediction"] == 4000 - predicted.new.sum()


def test_ids_that_cannot_be_used_are_counted(join: LabelJoin) -> None:
    ids = [None, "", float("nan"), [1], {"a": 1}, 10**5000, "good"]
    taken = join.add_predictions(ids, np.zeros(7, dtype=np.int64), _scores([0.5] * 7))
    assert taken.new.tolist() == [False] * 6 + [True]
    join.add_labels(ids, np.zeros(7, dtype=np.int64), _values([0.5] * 7))
    assert (join.counts["unusable_prediction"], join.counts["unusable"], join.counts["joined"]) == (6, 6, 1)
    assert not len(join.add_labels([], _times([]), _values([])).outcomes)
    assert not len(join.add_predictions([], _times([]), _scores([])).new)


def test_a_label_that_is_not_a_number_equals_itself(join: LabelJoin) -> None:
    join.add_predictions(["a"], _times([0]), _scores([0.5]))
    assert _outcome(join, "a", 1, float("nan")) == "joined"
    assert _outcome(join, "a", 2, float("nan")) == "duplicate"


def test_a_missing_file_costs_its_rows_and_no_more(tmp_path: Path) -> None:
    join = _join(tmp_path)
    join.load(None)
    join.add_predictions(["a", "b", "c"], _times([1, 2, 3]), _scores([0.5] * 3))
    first = join.prepare()
    join.saved()
    join.protect(first)
    join.add_labels(["a"], _times([5]), _values([1.0]))
    manifest = join.prepare()
    join.saved()
    next(tmp_path.glob("predictions-*.rows")).unlink()
    again = _join(tmp_path)
    assert again.load(manifest) == 3
    assert _outcome(again, "b", 6, 1.0) == "early"
    assert again.counts["joined"] == 1


def test_a_manifest_of_another_kind_is_refused(tmp_path: Path) -> None:
    for manifest in (b"{", b"\xff", b'{"format":99,"watermark":0,"horizon":0,"counts":{},"stores":{}}'):
        with pytest.raises(StateError):
            _join(tmp_path).load(manifest)


def test_hashes_are_the_same_in_every_process() -> None:
    ids = ["a", 1, 1.5, True, "é" * 3, "x" * 64, "x" * 65, "y" * 300, "\ud800"]
    code = f"from monitor.labels.join import hash_ids; print(hash_ids({ids!r})[0].tolist())"
    environment = {"PYTHONHASHSEED": "7", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == str(hash_ids(ids)[0].tolist())


def test_known_hashes_do_not_change() -> None:
    # Stored files are keyed by them. Worked out with plain integers, one id at a time.
    keys = hash_ids(["a", "0123456789", "x" * 65])[0].tolist()
    assert [f"{key:016x}" for key in keys] == ["405337e338614e91", "9fd91de76201964d", "36c9c5df1f7285c0"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=90), st.integers(), st.floats(), st.none(), st.booleans()), max_size=30))
def test_a_hash_depends_on_the_id_alone(ids: list[object]) -> None:
    together, usable = hash_ids(ids)
    for value, key, good in zip(ids, together.tolist(), usable.tolist(), strict=True):
        alone = hash_ids([value])
        assert (alone[0][0], alone[1][0]) == (key, good)


def test_hashes_of_similar_ids_differ_and_spread_evenly() -> None:
    ids = [str(number) for number in range(200_000)] + [f"{number:08d}-{number % 7:08d}" for number in range(200_000)]
    keys, usable = hash_ids([*ids, "a", "a\0", "a" * 8, "a" * 8 + "\0"])
    assert usable.all()
    assert len(np.unique(keys)) == len(keys)
    for shift in (0, 32, 56):
        share = np.bincount(((keys >> np.uint64(shift)) & np.uint64(255)).astype(int), minlength=256)
        assert ((share - len(keys) / 256) ** 2 / (len(keys) / 256)).sum() < 400  # χ² with 255 degrees of freedom
