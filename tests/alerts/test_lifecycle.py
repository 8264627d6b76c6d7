"""When a finding becomes an alert, and when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from alerts.lifecycle import KEPT_FINDINGS, AlertKey, AlertState, Step, drop_unknown, end_series, step
from alerts.rules import Rule
from tests.support.alerts import (
    DELAY,
    DRIFTED,
    HOUR,
    MINUTE,
    NAN,
    START,
    WIND,
    evaluation,
    metric,
    metric_rule,
    psi,
    rule,
    run,
    transitions,
)

if TYPE_CHECKING:
    from alerts.evaluation import Evaluation, Finding

BAD = psi("feature:age", 0.3, "drifted")
GOOD = psi("feature:age", 0.001, "ok")
SILENT = psi("feature:age", NAN, "insufficient")


def at(minutes: int, *findings: Finding, **where: str) -> Evaluation:
    return evaluation(*findings, at=START + minutes * MINUTE, **where)


def times(rules: list[Rule], evaluations: list[Evaluation]) -> list[tuple[int, str]]:
    seen, _ = run(rules, evaluations)
    return [((when - START) // MINUTE, state) for when, _, state in seen]


def test_without_a_hold_the_first_finding_fires_and_the_first_clear_one_resolves() -> None:
    assert times([rule()], [at(0, BAD), at(1, BAD), at(2, GOOD)]) == [(0, "firing"), (2, "resolved")]


def test_an_alert_is_pending_until_its_condition_has_held_long_enough() -> None:
    held = rule(hold_ms=5 * MINUTE)
    assert times([held], [at(0, BAD), at(4, BAD), at(5, BAD), at(6, BAD)]) == [(0, "pending"), (5, "firing")]


def test_a_pending_alert_that_clears_is_dropped_without_a_word_and_begins_anew() -> None:
    held = rule(hold_ms=5 * MINUTE)
    assert times([held], [at(0, BAD), at(3, GOOD), at(4, BAD), at(8, BAD), at(9, BAD)]) == [
        (0, "pending"),
        (4, "pending"),
        (9, "firing"),
    ]


def test_a_firing_alert_resolves_only_after_it_has_been_clear_long_enough_at_a_stretch() -> None:
    slow = rule(resolve_ms=5 * MINUTE)
    seen = [at(0, BAD), at(1, GOOD), at(4, BAD), at(6, GOOD), at(10, GOOD), at(11, GOOD)]
    assert times([slow], seen) == [(0, "firing"), (11, "resolved")]


@pytest.mark.parametrize("hold", [0, 5 * MINUTE])
def test_too_little_data_never_fires(hold: int) -> None:
    assert times([rule(hold_ms=hold)], [at(0, SILENT), at(60, SILENT)]) == []


def test_too_little_data_is_never_taken_for_recovery() -> None:
    seen, states = run([rule()], [at(0, BAD), at(60, SILENT), at(600, SILENT)])
    assert [state for _, _, state in seen] == ["firing"]
    assert len(states) == 1


def test_good_news_of_others_does_not_resolve_an_alert_whose_own_feature_has_gone_silent() -> None:
    other = psi("feature:wage", 0.001, "ok")
    seen = [at(0, BAD, other), at(1, SILENT, other), at(9, SILENT, other), at(10, GOOD, other)]
    assert times([rule()], seen) == [(0, "firing"), (10, "resolved")]


def test_a_feature_that_went_silent_while_another_matched_is_still_waited_for() -> None:
    wage, calm = psi("feature:wage", 0.3, "drifted"), psi("feature:wage", 0.001, "ok")
    seen = [at(0, BAD, wage), at(1, SILENT, wage), at(2, SILENT, calm), at(3, GOOD, calm)]
    assert times([rule()], seen) == [(0, "firing"), (3, "resolved")]


def test_silence_of_a_feature_that_never_matched_holds_nothing_up() -> None:
    empty = psi("feature:unused", NAN, "insufficient")
    assert times([rule()], [at(0, BAD, empty), at(1, GOOD, empty)]) == [(0, "firing"), (1, "resolved")]


def test_a_rule_may_ask_for_too_little_data_itself() -> None:
    seen = transitions([rule(when="insufficient")], [at(0, SILENT), at(1, GOOD)])
    assert [change.state for change in seen] == ["firing", "resolved"]
    assert seen[1].reason == "enough data again"


def test_a_number_below_its_limit_fires_and_must_recover_past_another() -> None:
    floor = metric_rule(below=0.8, recover=0.82)
    values = [0.81, 0.79, 0.81, 0.8199, 0.82]
    seen = [at(minute, metric(value)) for minute, value in enumerate(values)]
    assert times([floor], seen) == [(1, "firing"), (4, "resolved")]


def test_a_number_above_its_limit_fires_and_must_recover_past_another() -> None:
    ceiling = metric_rule("log_loss", above=0.5, recover=0.4)
    seen = [at(minute, metric(value, "log_loss")) for minute, value in enumerate([0.45, 0.51, 0.45, 0.4])]
    assert times([ceiling], seen) == [(1, "firing"), (3, "resolved")]


def test_the_laxer_limit_is_only_for_what_has_crossed_the_strict_one() -> None:
    ceiling = metric_rule("psi", above=0.25, recover=0.1)
    age, wage = psi("feature:age", 0.3, "ok"), psi("feature:wage", 0.2, "ok")
    seen = [at(0, age, wage), at(1, psi("feature:age", 0.05, "ok"), wage)]
    assert times([ceiling], seen) == [(0, "firing"), (1, "resolved")]


def test_a_number_that_cannot_be_computed_neither_fires_nor_resolves() -> None:
    floor = metric_rule(below=0.8)
    assert times([floor], [at(0, metric(NAN)), at(1, metric(0.7)), at(2, metric(NAN))]) == [(1, "firing")]


def test_a_rule_on_a_status_looks_only_at_what_is_judged() -> None:
    shown = metric(0.7)
    assert times([rule(when="insufficient")], [at(0, metric(NAN)), at(1, shown)]) == []


@pytest.mark.parametrize(
    ("changes", "fires"),
    [
        ({}, True),
        ({"subject": "feature:*"}, True),
        ({"subject": "feature:a?e"}, True),
        ({"subject": "score"}, False),
        ({"statistic": "psi"}, True),
        ({"statistic": "missing"}, False),
        ({"models": ("flights",)}, True),
        ({"models": ("income",)}, False),
        ({"windows": ("15m", "1h")}, True),
        ({"windows": ("24h",)}, False),
        ({"segment": "origin=*"}, True),
        ({"segment": "all"}, False),
    ],
)
def test_a_rule_concerns_what_its_patterns_say(changes: dict[str, Any], fires: bool) -> None:
    seen = times([rule(**changes)], [at(0, BAD, segment="origin=JFK")])
    assert seen == ([(0, "firing")] if fires else [])


def test_each_window_segment_and_version_has_an_alert_of_its_own() -> None:
    found = [at(0, BAD), at(0, BAD, window="24h"), at(0, BAD, segment="origin=JFK"), at(0, BAD, version="v8")]
    _, states = run([rule(), rule("another")], found)
    assert len(states) == 8


def test_evidence_is_of_the_last_evaluation_that_matched_with_the_worst_first() -> None:
    seen = transitions([rule()], [at(0, BAD), at(1, DELAY, WIND, GOOD), at(2, GOOD)])
    evidence = seen[-1].evidence
    assert evidence.findings == (WIND, DELAY)
    assert (evidence.end, evidence.rows, evidence.matched) == (START + MINUTE, 11_842, 2)
    assert [part.first for part in evidence.offsets] == [120_034, 77]


def test_the_worst_number_is_the_least_when_less_is_worse() -> None:
    jfk, ewr = metric(0.6, subject="performance:jfk"), metric(0.7, subject="performance:ewr")
    (fired,) = transitions([metric_rule(below=0.8)], [at(0, ewr, jfk)])
    assert [finding.value for finding in fired.evidence.findings] == [0.6, 0.7]


def test_evidence_is_bounded_and_tells_how_much_there_was() -> None:
    many = [psi(f"feature:{number:03}", 0.1 + number / 1000, "drifted") for number in range(300)]
    (fired,) = transitions([rule()], [at(0, *many)])
    assert len(fired.evidence.findings) == KEPT_FINDINGS
    assert fired.evidence.findings[0].subject == "feature:299"
    assert fired.evidence.matched == 300


def firing(*places: dict[str, str]) -> Step:
    states: dict[AlertKey, AlertState] = {}
    for place in places:
        states = dict(step([rule(), rule("slow", hold_ms=HOUR)], states, evaluation(BAD, **place)).states)
    return Step(states, ())


def test_a_series_that_ends_resolves_its_alerts_and_no_others() -> None:
    states = firing({"segment": "origin=JFK"}, {"segment": "all"}).states
    after = end_series(states, "flights", "v7", "origin=JFK", START + HOUR, [rule(severity="error")])
    assert [(change.key.rule, change.state, change.severity) for change in after.transitions] == [
        ("feature drift", "resolved", "error")
    ]
    assert "series ended" in after.transitions[0].reason
    assert {key.segment for key in after.states} == {"all"}


WINDOWS = {"flights": ["15m", "1h"]}


def test_alerts_that_are_still_configured_stay() -> None:
    states = firing({}).states
    after = drop_unknown(states, [rule(), rule("slow")], WINDOWS, START + HOUR)
    assert (after.states, after.transitions) == (states, ())


@pytest.mark.parametrize(
    ("rules", "windows"),
    [
        ([rule("renamed")], WINDOWS),
        ([rule()], {"flights": ["15m"]}),
        ([rule()], {"income": ["1h"]}),
        ([rule(models=("income",))], WINDOWS),
        ([rule(windows=("15m",))], WINDOWS),
        ([rule(segment="origin=*")], WINDOWS),
    ],
)
def test_an_alert_that_no_evaluation_will_touch_again_is_resolved(
    rules: list[Rule], windows: dict[str, list[str]]
) -> None:
    after = drop_unknown(firing({}).states, rules, windows, START + HOUR)
    assert after.states == {}
    assert [(change.state, change.reason) for change in after.transitions] == [("resolved", "no longer configured")]


def test_states_come_back_from_a_checkpoint_as_they_were() -> None:
    moved = step([rule(resolve_ms=HOUR)], firing({}, {"window": "24h"}).states, at(1, GOOD))
    states = list(moved.states.items())
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(states), type=list[tuple[AlertKey, AlertState]])
    # NaN equals nothing, itself included: the texts are compared.
    assert repr(back) == repr(states)
    (found,) = [state for key, state in back if key.window == "1h" and key.rule == "feature drift"]
    assert (found.clear_since, found.crossed) == (START + MINUTE, (("feature:age", "psi"),))


def test_the_given_states_are_left_as_they_are() -> None:
    states: dict[AlertKey, AlertState] = {}
    step([rule()], states, evaluation(*DRIFTED))
    assert states == {}
