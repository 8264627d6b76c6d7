"""The cap on series is shared fairly, by importance, and the same series stay on the page."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from alerts.evaluation import Evaluation, Finding
from detectors.drift.judge import STATISTICS
from monitor.serve.series_cap import shared
from monitor.serve.snapshot import EvaluationKey
from monitor.serve.statistics import Statistics, StatisticsPage

_THRESHOLDS = {"psi": 0.02, "missing": 0.01}

CLAIMS = st.lists(st.tuples(st.tuples(st.integers(0, 3)), st.integers(0, 30)), max_size=12).map(sorted)


@given(st.dictionaries(st.sampled_from("abcdef"), CLAIMS), st.integers(0, 400))
def test_room_is_used_up_most_important_claims_first_and_evenly(
    wanted: dict[str, list[tuple[tuple[int, ...], int]]], cap: int
) -> None:
    granted = shared(wanted, cap)
    assert {model: len(found) for model, found in granted.items()} == {m: len(c) for m, c in wanted.items()}
    asked = [(claim[0], claim[1], room) for m, c in wanted.items() for claim, room in zip(c, granted[m], strict=True)]
    assert all(0 <= room <= size for _, size, room in asked)
    assert sum(room for *_, room in asked) == min(cap, sum(size for _, size, _ in asked))
    lacking = {rank for rank, size, room in asked if room < size}
    assert all(room == 0 for rank, _, room in asked if any(rank > less for less in lacking))
    # Of two models with claims in the rank where room ends, the one that lacks something is behind by a claim at most.
    if not lacking:
        return
    last = min(lacking)
    total = {model: sum(rooms) for model, rooms in granted.items()}
    for model, claims in wanted.items():
        lacks = any(room < size and rank == last for (rank, size), room in zip(claims, granted[model], strict=True))
        for other, others in wanted.items():
            got = [room for (rank, _), room in zip(others, granted[other], strict=True) if rank == last and room]
            if lacks and got:
                assert total[other] - got[-1] <= total[model]


def window(model: str, features: int, *, segment: str = "all", name: str = "1h", number: float = 0.01) -> Evaluation:
    findings = tuple(
        Finding(f"feature:f{index}", statistic, number, number, number, _THRESHOLDS.get(statistic, math.nan), "ok")
        for index in range(features)
        for statistic in STATISTICS
    )
    quality = tuple(
        Finding(f"quality:f{index}", statistic, number, number, number, 0.1, "ok")
        for index in range(features)
        for statistic in ("zero_rate", "out_of_range_rate")
    )
    return Evaluation(model, "1", segment, name, 0, 3_600_000, 3_720_000, 100, 0, (*findings, *quality))


def collected(cap: int, *windows: Evaluation, page: StatisticsPage | None = None) -> Statistics:
    keyed = {EvaluationKey(found.model, found.version, found.segment, found.window): found for found in windows}
    return (page or StatisticsPage(cap)).collect(keyed, {})


def identities(found: Statistics) -> set[tuple[str, tuple[str, ...]]]:
    return {(family.name, labels) for family in found.families for labels, _ in family.samples}


def models_with(found: Statistics, metric: str, statistic: str | None = None) -> dict[str, int]:
    """Series of each model on the whole."""
    counts: dict[str, int] = {}
    for family in found.families:
        if family.name == metric:
            for labels, _ in family.samples:
                if labels[2] == "all" and statistic in (None, labels[-1]):
                    counts[labels[0]] = counts.get(labels[0], 0) + 1
    return counts


def test_with_default_options_every_model_has_its_judged_statistics_on_the_page() -> None:
    segments, names = ("all", "SEX=1", "SEX=2"), ("15m", "1h", "24h")
    windows = [window(f"m{m}", 100, segment=s, name=n) for m in range(10) for s in segments for n in names]
    found = collected(20_000, *windows)
    everything = {f"m{m}": 100 * len(names) for m in range(10)}
    for statistic in ("psi", "missing"):
        assert models_with(found, "leeway_drift_statistic", statistic) == everything
        assert models_with(found, "leeway_drift_lower_bound", statistic) == everything
    assert models_with(found, "leeway_drifted") == everything
    assert sum(found.shown.values()) <= 20_000
    assert max(found.shown.values()) - min(found.shown.values()) <= 100
    assert all(found.dropped.values())


def test_a_huge_model_does_not_crowd_out_what_is_judged_of_a_small_one() -> None:
    windows = window("huge", 2_000), window("small", 10)
    found = collected(5_000, *windows)
    assert models_with(found, "leeway_drifted") == {"huge": 2_000, "small": 10}
    values = models_with(found, "leeway_drift_statistic")
    assert values["small"] == 10 * 2  # PSI and missing
    assert sum(found.shown.values()) == 5_000
    roomy = collected(200_000, *windows)
    assert roomy.dropped == {"huge": 0, "small": 0}
    assert identities(roomy) > identities(found)


def test_unjudged_statistics_come_by_importance_and_after_the_judged_ones() -> None:
    status, judged = 4 + 10, 10 * 2 * 3
    quality = 10 * 2 * 5
    found = collected(status + judged + quality + 10 * 2 * 3, window("m", 10))
    values = {name: models_with(found, "leeway_drift_statistic", name).get("m", 0) for name in STATISTICS}
    assert values == {"psi": 10, "missing": 10, "jensen_shannon": 10, "ks": 10, "wasserstein": 0, "chi2": 0}


def test_the_same_series_stay_whatever_the_numbers_are() -> None:
    windows = [window(f"m{m}", 40, name=n) for m in range(4) for n in ("15m", "1h")]
    page = StatisticsPage(1_500)
    first = identities(collected(1_500, *windows, page=page))
    later = [window(found.model, 40, name=found.window, number=0.3) for found in windows]
    later = [
        replace(found, findings=tuple(changed(one, status="drifted") for one in found.findings)) if index % 2 else found
        for index, found in enumerate(later)
    ]
    assert identities(collected(1_500, *later, page=page)) == first
    # A window without a single value has no samples of values, but nothing else moves up into its room.
    nothing = window("m0", 40, name="15m", number=math.nan)
    assert identities(collected(1_500, nothing, *later[1:], page=page)) < first
    assert identities(collected(1_500, *reversed(windows))) == first


def test_statistics_that_are_not_defined_for_a_feature_take_no_room() -> None:
    found = window("m", 10)
    categorical = replace(
        found,
        findings=tuple(
            changed(one, value=math.nan, lower=math.nan, upper=math.nan) if one.statistic in ("ks", "wasserstein")
            else one
            for one in found.findings
        ),
    )  # fmt: skip
    whole = collected(100_000, categorical)
    size = sum(whole.shown.values())
    assert collected(size, categorical).dropped == {"m": 0}
