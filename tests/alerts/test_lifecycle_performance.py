"""Rules on performance, realised and estimated, beside those on drift: neither touches the alerts of the other."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from alerts.evaluation import Finding
from alerts.lifecycle import AlertKey, AlertState, drop_unknown, end_series, step
from alerts.policy import Incident, plan
from alerts.rules import Rule
from tests.support.alerts import (
    HOUR,
    MINUTE,
    NAN,
    START,
    evaluation,
    metric,
    metric_rule,
    psi,
    rule,
    run,
    transitions,
)

if TYPE_CHECKING:
    from alerts.evaluation import Evaluation, Status

DRIFT = psi("feature:age", 0.3, "drifted")
CALM = psi("feature:age", 0.001, "ok")


def breach(
    subject: str = "performance", statistic: str = "accuracy", status: Status = "breached", value: float = 0.7
) -> Finding:
    return Finding(subject, statistic, value, value - 0.02, value + 0.02, 0.78, status, reference=0.83)


def between(lower: float, value: float, upper: float, reference: float = NAN, subject: str = "performance") -> Finding:
    return Finding(subject, "roc_auc", value, lower, upper, NAN, "ok", reference=reference)


def at(minutes: int, *findings: Finding, **where: Any) -> Evaluation:
    return evaluation(*findings, at=START + minutes * MINUTE, **where)


def times(told: Rule, *looks: Finding) -> list[tuple[int, str]]:
    """Minutes and states of the alerts of one finding a minute."""
    seen, _ = run([told], [at(minute, look) for minute, look in enumerate(looks)])
    return [((when - START) // MINUTE, state) for when, _, state in seen]


def fires(told: Rule, finding: Finding, *, realised: bool) -> bool:
    return bool(transitions([told], [evaluation(finding, realised=realised)]))


# Sure


def test_a_sure_rule_fires_only_when_the_whole_interval_is_below() -> None:
    looks = [between(0.70, 0.79, 0.81), between(0.78, 0.79, 0.80), between(0.78, 0.785, 0.799)]
    assert times(metric_rule(below=0.8, sure=True), *looks) == [(2, "firing")]
    assert times(metric_rule(below=0.8), *looks) == [(0, "firing")]


def test_a_sure_rule_fires_only_when_the_whole_interval_is_above() -> None:
    looks = [between(0.79, 0.85, 0.9), between(0.80, 0.85, 0.9), between(0.801, 0.85, 0.9)]
    assert times(metric_rule(above=0.8, sure=True), *looks) == [(2, "firing")]


@pytest.mark.parametrize("limit", [{"below": 0.8}, {"above": 0.6}, {"change_from_reference": -0.05}])
def test_without_a_bound_nothing_is_sure(limit: dict[str, float]) -> None:
    unbounded = between(NAN, 0.7, NAN, reference=0.8)
    assert times(metric_rule(sure=True, **limit), unbounded) == []
    assert times(metric_rule(**limit), unbounded) == [(0, "firing")]


def test_a_sure_alert_ends_when_the_value_is_back_and_not_when_it_is_no_longer_sure() -> None:
    looks = [between(0.77, 0.78, 0.79), between(0.70, 0.79, 0.85), between(0.7, 0.80, 0.9)]
    assert times(metric_rule(below=0.8, sure=True), *looks) == [(0, "firing"), (2, "resolved")]
    assert times(metric_rule(below=0.8, sure=True, recover=0.82), *looks) == [(0, "firing")]
    back = between(0.7, 0.82, 0.9)
    assert times(metric_rule(below=0.8, sure=True, recover=0.82), *looks, back) == [(0, "firing"), (3, "resolved")]


def test_a_pending_sure_alert_must_stay_sure() -> None:
    told = replace(metric_rule(below=0.8, sure=True), hold_ms=2 * MINUTE)
    sure, unsure = between(0.77, 0.78, 0.79), between(0.70, 0.78, 0.85)
    assert times(told, sure, unsure, sure, sure, sure) == [(0, "pending"), (2, "pending"), (4, "firing")]


# Change from the reference


@pytest.mark.parametrize(
    ("limit", "value", "expected"),
    [(-0.25, 0.5, True), (-0.25, 0.51, False), (-0.25, 1.5, False), (0.25, 1.0, True), (0.25, 0.99, False)],
)
def test_a_change_is_held_against_the_value_on_the_reference(limit: float, value: float, expected: bool) -> None:
    told = metric_rule(change_from_reference=limit)
    assert fires(told, between(0.0, value, 2.0, reference=0.75), realised=True) == expected


@pytest.mark.parametrize(("limit", "lower", "upper"), [(-0.25, 0.3, 0.5), (0.25, 1.0, 1.2)])
def test_a_sure_change_needs_the_nearer_bound_beyond_it(limit: float, lower: float, upper: float) -> None:
    told = metric_rule(change_from_reference=limit, sure=True)
    value = (lower + upper) / 2
    assert fires(told, between(lower, value, upper, reference=0.75), realised=True)
    assert not fires(told, between(lower - 0.01, value, upper + 0.01, reference=0.75), realised=True)


def test_a_change_recovers_as_a_change() -> None:
    fall = metric_rule(change_from_reference=-0.25, recover=-0.125)
    looks = [between(0, value, 1, reference=1.0) for value in (0.8, 0.75, 0.8, 0.875, 0.876)]
    assert times(fall, *looks) == [(1, "firing"), (4, "resolved")]
    rise = metric_rule(change_from_reference=0.25, recover=0.125)
    looks = [between(0, value, 1, reference=0.0) for value in (0.2, 0.25, 0.2, 0.125, 0.124)]
    assert times(rise, *looks) == [(1, "firing"), (4, "resolved")]


def test_without_a_reference_a_change_says_nothing() -> None:
    told = metric_rule(change_from_reference=-0.25)
    looks = [between(0, 0.5, 1), between(0, 0.5, 1, reference=0.9), between(0, 0.9, 1), between(0, 0.9, 1, 0.9)]
    assert times(told, *looks) == [(1, "firing"), (3, "resolved")]


def test_the_worst_change_comes_first() -> None:
    small, great = (
        structs.replace(between(0, 0.5, 1, reference), subject=f"performance:{reference}") for reference in (0.6, 0.9)
    )
    (fired,) = transitions([metric_rule(change_from_reference=-0.05)], [evaluation(small, great)])
    assert fired.evidence.findings == (great, small)


# What rules look at


FINDINGS = {
    "feature": psi("feature:age", 0.3, "drifted"),
    "multivariate": Finding("multivariate", "mmd", 0.3, 0.2, 0.4, 0.02, "drifted"),
    "cusum": Finding("score", "cusum", 30.0, 30.0, NAN, 20.0, "drifted"),
    "quality": breach("quality:age", "invalid_rate"),
    "traffic": breach("quality", "traffic_ratio"),
    "estimated": breach("estimated_performance"),
    "performance": breach(),
    "version": breach("version"),
    "fairness": breach("fairness:SEX", "demographic_parity_difference"),
}
OF_REALISED = {"performance", "version", "fairness"}


@pytest.mark.parametrize(
    ("changes", "watched"),
    [
        ({"when": "drifted"}, {"feature", "multivariate", "cusum"}),
        ({"when": "drifted", "subject": "feature:*"}, {"feature"}),
        ({"when": "breached"}, {"quality", "traffic", "performance", "version", "fairness"}),
        ({"when": "breached", "subject": "quality*"}, {"quality", "traffic"}),
        ({"when": "breached", "subject": "performance"}, {"performance"}),
        ({"when": "breached", "subject": "*performance"}, {"performance", "estimated"}),
        ({"when": "breached", "subject": "estimated_performance"}, {"estimated"}),
        ({"when": "breached", "estimated": True}, {"estimated"}),
        ({"when": "breached", "statistic": "accuracy"}, {"performance", "version"}),
        ({"metric": "accuracy", "below": 0.75}, {"performance"}),
        ({"metric": "accuracy", "below": 0.75, "subject": "version"}, {"version"}),
        ({"metric": "accuracy", "below": 0.75, "subject": "estimated_performance"}, {"estimated"}),
        ({"metric": "accuracy", "below": 0.75, "estimated": True}, {"estimated"}),
        ({"metric": "psi", "above": 0.1}, {"feature"}),
        ({"metric": "invalid_rate", "above": 0.1}, {"quality"}),
        ({"metric": "demographic_parity_difference", "above": 0.1}, {"fairness"}),
    ],
)
def test_a_rule_looks_at_what_it_can_speak_of(changes: dict[str, Any], watched: set[str]) -> None:
    told = replace(Rule("r"), **changes)
    found = {name for name, finding in FINDINGS.items() if fires(told, finding, realised=name in OF_REALISED)}
    assert found == watched
    # In an evaluation of the other kind the same finding says nothing: an estimate beside realised performance.
    assert not any(fires(told, finding, realised=name not in OF_REALISED) for name, finding in FINDINGS.items())


@pytest.mark.parametrize("subject", ["version", "segments"])
def test_a_number_of_another_kind_is_not_taken_for_the_metric(subject: str) -> None:
    difference = Finding(subject, "roc_auc", 0.0, NAN, NAN, NAN, "ok")
    assert not fires(metric_rule(below=0.8), difference, realised=True)
    assert fires(metric_rule(below=0.8, subject=subject), difference, realised=True)


def test_ks_of_any_subject_is_the_distance_and_not_the_metric_of_the_same_name() -> None:
    distance, good = metric(0.6, "ks", "feature:age"), metric(0.6, "ks")
    assert fires(metric_rule("ks", above=0.1), distance, realised=False)
    assert not fires(metric_rule("ks", above=0.1), good, realised=True)
    assert fires(metric_rule("ks", below=0.7, subject="performance"), good, realised=True)


def test_too_little_data_of_either_kind_can_be_asked_for() -> None:
    few = structs.replace(breach(), status="insufficient")
    assert fires(rule(when="insufficient"), few, realised=True)
    assert fires(rule(when="insufficient"), psi("feature:age", NAN, "insufficient"), realised=False)


def test_breaches_come_worst_first_whether_they_are_over_or_under_their_limit() -> None:
    under = Finding("quality", "traffic_ratio", 0.2, 0.15, 0.25, 1.0, "breached")
    over = Finding("quality:age", "invalid_rate", 0.03, 0.025, 0.035, 0.02, "breached")
    far = structs.replace(over, subject="quality:wage", lower=0.06)
    (fired,) = transitions([rule(when="breached")], [evaluation(over, under, far)])
    assert fired.evidence.findings == (far, under, over)
    slow = Finding("performance", "log_loss", 0.6, 0.55, 0.65, 0.5, "breached")
    (fired,) = transitions([rule(when="breached")], [evaluation(slow, breach(value=0.3))])
    assert [finding.statistic for finding in fired.evidence.findings] == ["accuracy", "log_loss"]
    # A version is held against zero, and a threshold may lie below it.
    near = Finding("version", "a", -0.05, -0.06, -0.04, 0.0, "breached")
    worse = Finding("version", "b", -0.2, -0.21, -0.19, 0.0, "breached")
    (fired,) = transitions([rule(when="breached")], [evaluation(near, worse)])
    assert fired.evidence.findings == (worse, near)


# The two kinds of evaluations side by side


def test_good_performance_does_not_end_drift_nor_calm_features_bad_performance() -> None:
    both = [rule("drift"), rule("bad", when="breached", subject="performance")]
    looks = [
        at(0, DRIFT), at(1, breach()), at(2, breach(status="ok", value=0.85), CALM, realised=True), at(3, CALM),
    ]  # fmt: skip
    seen, _ = run(both, looks)
    assert [(name, state) for _, name, state in seen] == [
        ("drift", "firing"), ("bad", "firing"), ("bad", "resolved"), ("drift", "resolved"),
    ]  # fmt: skip


def test_a_rule_on_both_kinds_has_an_alert_for_each_in_one_incident() -> None:
    told = rule("breaches", when="breached")
    quality, fine = breach("quality:age", "invalid_rate"), breach("quality:age", "invalid_rate", "ok")
    changes = transitions([told], [at(0, quality), at(1, breach()), at(2, fine), at(3, breach(status="ok"))])
    assert [(change.key.realised, change.state) for change in changes] == [
        (False, "firing"), (True, "firing"), (False, "resolved"), (True, "resolved"),
    ]  # fmt: skip
    assert len({change.key[:-1] for change in changes}) == 1


def test_an_incident_lasts_until_the_alerts_of_both_kinds_have_ended() -> None:
    told = rule("breaches", when="breached", notify=())
    calm = breach("quality:age", "invalid_rate", "ok")
    looks = [at(0, breach("quality:age", "invalid_rate")), at(1, breach()), at(2, calm), at(3, breach(status="ok"))]
    changes = transitions([told], looks)
    incidents: dict[Any, Incident] = {}
    lengths = []
    for change in changes:
        incidents = dict(plan([change], incidents, {}, {told.name: told}, {}).incidents)
        lengths.append([len(incident.firing) for incident in incidents.values()])
    assert lengths == [[1], [2], [1], []]


def test_evidence_tells_how_many_rows_have_labels() -> None:
    (fired,) = transitions([rule(when="breached")], [evaluation(breach(), rows=22_000, labelled_rows=21_930)])
    assert (fired.evidence.labelled_rows, fired.evidence.rows) == (21_930, 22_000)


GOOD, BAD, SILENT = "good", "bad", "silent"
STATUSES: dict[str, Status] = {GOOD: "ok", SILENT: "insufficient"}


@st.composite
def looks(draw: st.DrawFn) -> list[Evaluation]:
    """Evaluations of both kinds of one series, with everything that either kind can hold."""
    word = st.sampled_from([GOOD, BAD, BAD, SILENT])
    found, when = [], START
    for realised, wait, first, second in draw(
        st.lists(st.tuples(st.booleans(), st.integers(0, 3), word, word), max_size=30)
    ):
        when += wait * MINUTE
        estimated = breach("estimated_performance", status=STATUSES.get(second, "breached"))
        if realised:
            held = (
                breach(status=STATUSES.get(first, "breached"), value=0.9 if first == GOOD else 0.7),
                breach("version", status=STATUSES.get(second, "breached")),
                estimated,
            )
        else:
            held = (
                psi("feature:age", 0.0 if first == GOOD else 0.3, STATUSES.get(first, "drifted")),
                breach("quality:age", "invalid_rate", STATUSES.get(second, "breached")),
                estimated,
            )
        found.append(evaluation(*held, at=when, realised=realised))
    return found


MANY = [
    rule("drift", hold_ms=2 * MINUTE, resolve_ms=MINUTE),
    rule("breaches", when="breached", hold_ms=MINUTE, resolve_ms=2 * MINUTE),
    rule("few", when="insufficient"),
    rule("estimate", when="breached", estimated=True),
    rule("version", when="breached", subject="version", hold_ms=MINUTE),
    replace(metric_rule("accuracy", below=0.8, sure=True, recover=0.85), name="accuracy"),
    replace(metric_rule("accuracy", below=0.8, estimated=True), name="estimated accuracy"),
    replace(metric_rule("psi", above=0.1), name="psi"),
]


@given(looks(), st.booleans())
def test_evaluations_of_one_kind_change_nothing_for_alerts_on_the_other(found: list[Evaluation], kind: bool) -> None:
    mixed = [change for change in transitions(MANY, found) if change.key.realised == kind]
    alone = transitions(MANY, [look for look in found if look.realised == kind])
    # NaN equals nothing, itself included: the texts are compared.
    assert repr(mixed) == repr(alone)
    assert {change.key.rule for change in mixed} <= (
        {"breaches", "few", "version", "accuracy"}
        if kind
        else {"drift", "breaches", "few", "estimate", "estimated accuracy", "psi"}
    )


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.2)), max_size=20), st.floats(0.3, 0.7), st.floats(0, 0.2))
def test_a_sure_rule_never_fires_where_an_unsure_one_would_not(
    values: list[tuple[float, float]], limit: float, slack: float
) -> None:
    found = [at(minute, between(value - width, value, value + width)) for minute, (value, width) in enumerate(values)]
    firing: dict[bool, list[bool]] = {}
    for sure in (False, True):
        states: dict[AlertKey, AlertState] = {}
        firing[sure] = []
        for look in found:
            states = dict(step([metric_rule(below=limit, recover=limit + slack, sure=sure)], states, look).states)
            firing[sure].append(bool(states))
    assert all(unsure or not sure for unsure, sure in zip(firing[False], firing[True], strict=True))


# Restarts and the end of series


def firing(*findings: Finding, **changes: Any) -> dict[AlertKey, AlertState]:
    return run([rule(**changes)], [evaluation(*findings)])[1]


def test_alerts_saved_before_there_were_two_kinds_come_back_as_drift() -> None:
    (key, state), *_ = firing(DRIFT).items()
    plain = msgspec.to_builtins(asdict(state))
    del plain["evidence"]["labelled_rows"]
    saved = msgspec.msgpack.encode([(list(key[:5]), plain)])
    ((back, restored),) = msgspec.msgpack.decode(saved, type=list[tuple[AlertKey, AlertState]])
    assert (back, back.realised) == (key, False)
    assert restored.evidence.labelled_rows == 0
    assert [change.state for change in step([rule()], {back: restored}, at(1, CALM)).transitions] == ["resolved"]


def test_alerts_on_realised_performance_come_back_as_such() -> None:
    states = list(firing(breach(), when="breached").items())
    ((key, state),) = msgspec.msgpack.decode(msgspec.msgpack.encode(states), type=list[tuple[AlertKey, AlertState]])
    assert key.realised
    assert repr(state) == repr(states[0][1])


def test_a_series_can_end_for_one_kind_alone() -> None:
    both = [rule("drift"), rule("bad", when="breached")]
    states = run(both, [at(0, DRIFT), at(1, breach())])[1]
    series = ("flights", "v7", "all", START + HOUR, both)
    assert {key.rule for key in end_series(states, *series, realised=False).states} == {"bad"}
    assert {key.rule for key in end_series(states, *series, realised=True).states} == {"drift"}
    assert not end_series(states, *series).states


@pytest.mark.parametrize(
    ("changed", "stays"),
    [
        ({"when": "breached"}, True),
        ({"when": "breached", "subject": "performance"}, True),
        ({"when": None, "metric": "accuracy", "below": 0.8}, True),
        ({"when": "breached", "subject": "quality*"}, False),
        ({"when": "breached", "estimated": True}, False),
        ({"when": "drifted"}, False),
        ({"when": None, "metric": "roc_auc", "below": 0.8}, False),
    ],
)
def test_an_alert_ends_when_its_rule_no_longer_looks_at_what_it_rests_on(changed: dict[str, Any], stays: bool) -> None:
    after = drop_unknown(firing(breach(), when="breached"), [rule(**changed)], {"flights": ["1h"]}, START + HOUR)
    assert bool(after.states) == stays
    assert [change.reason for change in after.transitions] == ([] if stays else ["no longer configured"])
