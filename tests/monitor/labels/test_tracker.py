"""Every kind of model from log and labels to performance, against scikit-learn on the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn import metrics

from tests.support.labelled import A_DAY, DAYS, binary, logged
from tests.support.replays import Row, replay

if TYPE_CHECKING:
    from pathlib import Path


def performance(
    folder: Path, task: str, rows: list[Row], labels: list[Row], reference: list[Row], **more: Any
) -> list[Row]:
    """Evaluations of realised performance, windows of a day."""
    columns = {"timestamp": "t", "id": "id", "prediction": "p", "label": "y", "features": ["x"]}
    options = {"windows": ["1d"], "pane": "1h", "labels": {"max_delay": "1d", "maturity": 1.0}, **more}
    options["columns"] = columns | more.get("columns", {})
    lines = replay(folder, rows, reference, labels, task=task, **options)
    found = [line for line in lines if line["type"] == "evaluation"]
    return [line for line in found if any(part["subject"] == "performance" for part in line["findings"])]


def values(evaluation: Row, subject: str = "performance") -> dict[str, float]:
    return {part["statistic"]: part["value"] for part in evaluation["findings"] if part["subject"] == subject}


def the_day(evaluations: list[Row], day: int) -> tuple[Row, slice]:
    """The evaluation of one day of the calendar, and which rows that day has."""
    end = f"2024-10-{4 + day + 1:02d}T00:00:00Z"
    (found,) = [evaluation for evaluation in evaluations if evaluation["end"] == end]
    assert found["rows"] == found["labelled_rows"] == A_DAY
    return found, slice(day * A_DAY, (day + 1) * A_DAY)


def test_multiclass(tmp_path: Path) -> None:
    dice = np.random.default_rng(2)
    names = np.array(["bird", "cat", "dog"])
    truth = dice.integers(0, 3, DAYS * A_DAY)
    scores = dice.dirichlet([1.0, 1.0, 1.0], truth.size) + np.eye(3)[truth] * 0.7
    scores = (scores / scores.sum(axis=1, keepdims=True)).round(6)
    said = scores.argmax(axis=1)
    columns = {f"s_{name}": scores[:, place].tolist() for place, name in enumerate(names)}
    log = logged(names[said].tolist(), names[truth].tolist(), **columns)
    score = {name: f"s_{name}" for name in names.tolist()}
    found, day = the_day(performance(tmp_path, "multiclass", *log, columns={"score": score}), 1)
    told, true, guess = values(found), truth[day], said[day]
    assert told["accuracy"] == pytest.approx(metrics.accuracy_score(true, guess), abs=1e-9)
    assert told["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(true, guess), abs=1e-9)
    for average in ("macro", "micro", "weighted"):
        assert told[f"f1_{average}"] == pytest.approx(metrics.f1_score(true, guess, average=average), abs=1e-9)
    recalls = metrics.recall_score(true, guess, average=None)
    assert [told[f"recall:{name}"] for name in names] == pytest.approx(recalls.tolist(), abs=1e-9)
    shares = scores[day] / scores[day].sum(axis=1, keepdims=True)
    auc = metrics.roc_auc_score(true, shares, multi_class="ovr", average="macro")
    assert told["roc_auc_ovr_macro"] == pytest.approx(auc, abs=5e-3)
    assert told["log_loss"] == pytest.approx(metrics.log_loss(true, shares), abs=1e-4)


def test_regression(tmp_path: Path) -> None:
    dice = np.random.default_rng(3)
    truth = dice.gamma(2.0, 50.0, DAYS * A_DAY).round(3)
    said = (truth * dice.normal(1.0, 0.2, truth.size)).clip(1).round(3)
    low, high = (said * 0.8).round(3), (said * 1.2).round(3)
    log = logged(said.tolist(), truth.tolist(), low=low.tolist(), high=high.tolist())
    found, day = the_day(performance(tmp_path, "regression", *log, columns={"lower": "low", "upper": "high"}), 1)
    told, true, guess = values(found), truth[day], said[day]
    assert told["mae"] == pytest.approx(metrics.mean_absolute_error(true, guess), rel=1e-9)
    assert told["rmse"] == pytest.approx(metrics.root_mean_squared_error(true, guess), rel=1e-9)
    assert told["mape"] == pytest.approx(metrics.mean_absolute_percentage_error(true, guess), rel=1e-9)
    assert told["r2"] == pytest.approx(metrics.r2_score(true, guess), abs=1e-9)
    assert told["bias"] == pytest.approx((guess - true).mean(), abs=1e-9)
    inside = ((true >= low[day]) & (true <= high[day])).mean()
    assert told["interval_coverage"] == pytest.approx(inside, abs=1e-12)


def test_ranking(tmp_path: Path) -> None:
    dice = np.random.default_rng(4)
    items = [f"i{place}" for place in range(12)]
    said = [dice.permutation(items)[:10].tolist() for _ in range(DAYS * A_DAY)]
    truth = [dice.choice(items, dice.integers(1, 5), replace=False).tolist() for _ in said]
    log = logged(said, truth)
    found, day = the_day(performance(tmp_path, "ranking", *log, performance={"k": 5}), 1)
    told = values(found)
    hits = [[item in relevant for item in ranked[:5]] for ranked, relevant in zip(said[day], truth[day], strict=True)]
    assert told["hit_rate"] == pytest.approx(np.mean([any(row) for row in hits]), abs=1e-9)
    first = [1 / (row.index(True) + 1) if any(row) else 0.0 for row in hits]
    assert told["mrr"] == pytest.approx(np.mean(first), abs=1e-9)
    gains = [
        metrics.ndcg_score(
            [[float(item in relevant) for item in items]],
            [[float(10 - ranked.index(item)) if item in ranked else -1.0 for item in items]],
            k=5,
        )
        for ranked, relevant in zip(said[day], truth[day], strict=True)
    ]
    assert told["ndcg"] == pytest.approx(np.mean(gains), abs=1e-9)


def test_a_worse_version_a_worse_segment_and_an_unfair_model_are_told(tmp_path: Path) -> None:
    dice = np.random.default_rng(5)
    size = DAYS * A_DAY
    said, truth = binary(0.05, size, 6)
    version, sex = dice.choice(["1", "2"], size, p=[0.6, 0.4]), dice.choice(["f", "m"], size)
    for row in range(size):
        if version[row] == "2" and dice.random() < 0.4:
            said[row] = 1 - truth[row]
        if sex[row] == "m" and dice.random() < 0.5:
            said[row] = 1
    log = logged(said, truth, v=version.tolist(), sex=sex.tolist())
    settings = {"protected": ["sex"], "champion": "1", "min_labels": 50}
    told = performance(
        tmp_path, "binary", *log, columns={"version": "v"}, segments=["sex"], performance=settings,
    )  # fmt: skip
    last = {(found["version"], found["segment"]): found for found in told if found["end"] == "2024-10-06T00:00:00Z"}
    day, frame = slice(A_DAY, 2 * A_DAY), np.array([said, truth])
    right = (frame[0] == frame[1])[day]
    ours, theirs = right[version[day] == "2"].mean(), right[version[day] == "1"].mean()
    worse = [part for part in last["2", "all"]["findings"] if part["subject"] == "version"]
    assert values(last["2", "all"], "version")["accuracy"] == pytest.approx(ours - theirs, abs=1e-9)
    assert [part["status"] for part in worse if part["statistic"] == "accuracy"] == ["breached"]
    assert not [part for part in last["1", "all"]["findings"] if part["subject"] == "version"]
    champion = version[day] == "1"
    rates = [frame[0][day][champion & (sex[day] == group)].mean() for group in ("f", "m")]
    fair = values(last["1", "all"], "fairness:sex")
    assert fair["demographic_parity_difference"] == pytest.approx(max(rates) - min(rates), abs=1e-9)
    assert fair["disparate_impact_ratio"] == pytest.approx(min(rates) / max(rates), abs=1e-9)
    (segments,) = [
        part for part in last["1", "all"]["findings"]
        if part["subject"] == "segments" and part["statistic"] == "accuracy"
    ]  # fmt: skip
    assert segments["value"] >= 0
    assert values(last["1", "sex=m"])["accuracy"] < values(last["1", "sex=f"])["accuracy"]


def test_one_class_alone_and_an_empty_column_crash_nothing(tmp_path: Path) -> None:
    said, truth = binary(0.1, DAYS * A_DAY, 7)
    rows, labels, reference = logged(said, truth)
    for row, label in zip(rows, labels, strict=True):
        row["x"], label["y"], row["p"] = None, 1, 1
    found, _ = the_day(performance(tmp_path, "binary", rows, labels, reference), 1)
    told = values(found)
    assert told["accuracy"] == 1.0
    assert told["matthews_corrcoef"] in (0.0, None)


def test_labels_that_never_come_are_no_performance(tmp_path: Path) -> None:
    said, truth = binary(0.1, DAYS * A_DAY, 8)
    rows, _, reference = logged(said, truth)
    others = [{"id": f"other-{number}", "t": row["t"], "y": 1} for number, row in enumerate(rows)]
    told = performance(tmp_path, "binary", rows, others, reference)
    assert told
    assert {part["status"] for found in told for part in found["findings"] if part["subject"] == "performance"} <= {
        "insufficient", "ok",
    }  # fmt: skip
    assert all(found["labelled_rows"] == 0 for found in told)


def test_versions_and_segments_beyond_the_cap_count_as_rows_alone(tmp_path: Path) -> None:
    said, truth = binary(0.1, DAYS * A_DAY, 9)
    version = [str(number % 4) for number in range(len(said))]
    zips = [f"z{number % 50}" for number in range(len(said))]
    log = logged(said, truth, v=version, zip=zips)
    told = performance(tmp_path, "binary", *log, columns={"version": "v"}, segments=["zip"], max_series=3)
    assert len({(found["version"], found["segment"]) for found in told}) <= 3
    assert "overflow" not in {found["version"] for found in told}
    whole = [found for found in told if found["segment"] == "all" and found["end"] == "2024-10-06T00:00:00Z"]
    assert whole
    assert all(found["labelled_rows"] == found["rows"] == A_DAY // 4 for found in whole)
