"""Who is told of what: incidents, their keys, cooldowns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from alerts.lifecycle import AlertKey, AlertState, Transition, drop_unknown
from alerts.policy import Incident, IncidentKey, Plan, ReceiverPolicy, dedup_key_of, plan
from alerts.rules import Rule
from tests.support.alerts import DAY, DRIFTED, HOUR, START, evaluation, psi, rule, transitions

if TYPE_CHECKING:
    from collections.abc import Mapping

SLACK, PAGER = ReceiverPolicy("slack"), ReceiverPolicy("pager")
RETRAIN = ReceiverPolicy("retrain", retrains=True, cooldown_ms=DAY)
RECEIVERS = {receiver.name: receiver for receiver in (SLACK, PAGER, RETRAIN)}
GOOD = psi("feature:dep_delay", 0.001, "ok")
NOTHING: Plan = Plan((), {}, {}, ())


def change(state: str, at: int = START, **where: str) -> Transition:
    """A transition to ``state``, made by the rules themselves."""
    name = where.pop("rule", "feature drift")
    found = [evaluation(*DRIFTED, at=at if state == "firing" else at - HOUR, **where)]  # type: ignore[arg-type]
    if state == "resolved":
        found.append(evaluation(GOOD, at=at, **where))  # type: ignore[arg-type]
    (*_, last) = transitions([rule(name)], found)
    assert last.state == state
    return last


def go_on(before: Plan, *changes: Transition, notify: tuple[str, ...] = ("slack", "pager")) -> Plan:
    rules = {name: rule(name, notify=notify) for name in ("feature drift", "another")}
    return plan(changes, before.incidents, before.cooldowns, rules, RECEIVERS)


def told(found: Plan) -> list[tuple[str, str]]:
    return [(notice.kind, notice.receiver) for notice in found.notices]


def test_the_first_alert_tells_every_receiver_of_its_rule_once() -> None:
    opened = go_on(NOTHING, change("firing"), notify=("slack", "pager", "slack"))
    assert told(opened) == [("trigger", "slack"), ("trigger", "pager")]


def test_windows_and_segments_that_join_tell_nobody_and_the_last_to_leave_resolves() -> None:
    opened = go_on(NOTHING, change("firing"))
    joined = go_on(opened, change("firing", window="24h"), change("firing", segment="origin=JFK"))
    assert joined.notices == ()
    left = go_on(joined, change("resolved", START + HOUR), change("resolved", START + HOUR, window="24h"))
    assert left.notices == ()
    closed = go_on(left, change("resolved", START + 2 * HOUR, segment="origin=JFK"))
    assert told(closed) == [("resolve", "slack"), ("resolve", "pager")]
    assert closed.incidents == {}


def test_models_versions_and_rules_are_incidents_of_their_own() -> None:
    found = go_on(
        NOTHING,
        change("firing"),
        change("firing", model="income"),
        change("firing", version="v8"),
        change("firing", rule="another"),
    )
    assert len(found.notices) == 8
    assert len({notice.dedup_key for notice in found.notices}) == 4


def test_trigger_and_resolve_share_a_dedup_key_and_a_later_incident_has_another() -> None:
    first = go_on(NOTHING, change("firing"))
    closed = go_on(first, change("resolved", START + HOUR))
    second = go_on(closed, change("firing", START + 2 * HOUR))
    keys = [found.notices[0].dedup_key for found in (first, closed, second)]
    assert keys[0] == keys[1] != keys[2]


def test_ids_are_the_same_whenever_the_same_change_is_planned_and_otherwise_differ() -> None:
    again = [go_on(NOTHING, change("firing")) for _ in range(2)]
    assert [notice.id for notice in again[0].notices] == [notice.id for notice in again[1].notices]
    closed = go_on(again[0], change("resolved", START + HOUR))
    assert len({notice.id for notice in (*again[0].notices, *closed.notices)}) == 4


def test_a_restart_in_mid_incident_does_not_page_again_and_resolves_under_the_same_key() -> None:
    opened = go_on(NOTHING, change("firing"))
    saved = msgspec.msgpack.encode((list(opened.incidents.items()), opened.cooldowns))
    incidents, cooldowns = msgspec.msgpack.decode(saved, type=tuple[list[tuple[IncidentKey, Incident]], dict[str, int]])
    restarted = Plan((), dict(incidents), cooldowns, ())
    assert go_on(restarted, change("firing", START + HOUR, window="24h")).notices == ()
    closed = go_on(restarted, change("resolved", START + 2 * HOUR))
    assert {notice.dedup_key for notice in closed.notices} == {opened.notices[0].dedup_key}


def test_pending_alerts_tell_nobody() -> None:
    (pending,) = transitions([rule(hold_ms=HOUR)], [evaluation(*DRIFTED)])
    assert go_on(NOTHING, pending) == NOTHING


def test_a_retraining_is_triggered_once_in_its_cooldown_for_each_model() -> None:
    only = ("retrain",)
    first = go_on(NOTHING, change("firing"), change("firing", model="income"), notify=only)
    assert told(first) == [("trigger", "retrain"), ("trigger", "retrain")]
    held = go_on(first, change("firing", START + DAY - 1, rule="another"), notify=only)
    assert held.notices == ()
    assert [(found.receiver, found.model, found.rule, found.reason) for found in held.suppressed] == [
        ("retrain", "flights", "another", "cooldown")
    ]
    later = go_on(held, change("firing", START + DAY, version="v8"), notify=only)
    assert told(later) == [("trigger", "retrain")]


def test_a_suppressed_trigger_does_not_make_the_cooldown_longer() -> None:
    only = ("retrain",)
    first = go_on(NOTHING, change("firing"), notify=only)
    held = go_on(first, change("firing", START + DAY // 2, version="v8"), notify=only)
    assert held.cooldowns == first.cooldowns


def test_a_cooldown_holds_back_only_the_receiver_that_has_one() -> None:
    both = ("slack", "retrain")
    first = go_on(NOTHING, change("firing"), notify=both)
    held = go_on(first, change("firing", START + HOUR, version="v8"), notify=both)
    assert told(held) == [("trigger", "slack")]
    closed = go_on(held, change("resolved", START + 2 * HOUR, version="v8"), notify=both)
    assert told(closed) == [("resolve", "slack")]


def test_a_retraining_is_never_told_of_the_end_nor_is_who_does_not_want_to_be() -> None:
    quiet = {**RECEIVERS, "slack": ReceiverPolicy("slack", resolves=False)}
    rules = {"feature drift": rule(notify=("slack", "pager", "retrain"))}
    opened = plan([change("firing")], {}, {}, rules, quiet)
    closed = plan([change("resolved", START + HOUR)], opened.incidents, opened.cooldowns, rules, quiet)
    assert told(opened) == [("trigger", "slack"), ("trigger", "pager"), ("trigger", "retrain")]
    assert told(closed) == [("resolve", "pager")]


def test_an_incident_of_a_rule_and_a_receiver_that_are_gone_ends_for_those_that_remain() -> None:
    opened = go_on(NOTHING, change("firing"))
    states = {change("firing").key: AlertState("firing", START, change("firing").evidence)}
    gone = drop_unknown(states, [], {"flights": ["1h"]}, START + HOUR).transitions
    closed = plan(gone, opened.incidents, {}, {}, {"slack": SLACK})
    assert told(closed) == [("resolve", "slack")]
    assert closed.notices[0].rule == Rule("feature drift")


def test_keys_fit_pagerduty_whatever_the_names() -> None:
    assert len(dedup_key_of(IncidentKey("r" * 500, "m" * 500, "é" * 500), START)) <= 255


changes = st.lists(
    st.tuples(st.sampled_from(["15m", "1h"]), st.sampled_from(["all", "origin=JFK"]), st.sampled_from(["v7", "v8"])),
    max_size=40,
)


@given(changes, st.integers(0, 40))
def test_triggers_and_resolves_alternate_and_an_incident_is_open_while_alerts_fire(
    toggles: list[tuple[str, str, str]], restart: int
) -> None:
    """Alerts toggle at random; wherever the daemon is restarted, every receiver hears of each incident once."""
    firing: set[AlertKey] = set()
    heard: dict[tuple[str, str], list[tuple[str, str]]] = {}
    now = NOTHING
    for place, (window, segment, version) in enumerate(toggles):
        key = AlertKey("feature drift", "flights", version, segment, window)
        state = "resolved" if key in firing else "firing"
        at = START + (place + 1) * 2 * HOUR
        if place == restart:
            pairs = msgspec.msgpack.decode(
                msgspec.msgpack.encode(list(now.incidents.items())), type=list[tuple[IncidentKey, Incident]]
            )
            now = Plan((), dict(pairs), now.cooldowns, ())
        now = go_on(now, change(state, at, window=window, segment=segment, version=version))
        firing ^= {key}
        for notice in now.notices:
            about = (notice.receiver, notice.transition.key.version)
            heard.setdefault(about, []).append((notice.kind, notice.dedup_key))
        assert _open(now.incidents) == firing
    for story in heard.values():
        assert [kind for kind, _ in story] == (["trigger", "resolve"] * len(story))[: len(story)]
        for trigger, resolve in zip(story[::2], story[1::2], strict=False):
            assert trigger[1] == resolve[1]
        assert len({key for _, key in story[::2]}) == len(story[::2])


def _open(incidents: Mapping[IncidentKey, Incident]) -> set[AlertKey]:
    return {alert for incident in incidents.values() for alert in incident.firing}


def test_no_retraining_is_called_on_a_fault_of_the_feed_but_people_are_paged() -> None:
    fault = replace(evaluation(*DRIFTED), fault="12.0% of records hold no feature of the model")
    (broken,) = transitions([rule()], [fault])
    found = go_on(NOTHING, broken, notify=("pager", "retrain"))
    assert told(found) == [("trigger", "pager")]
    assert [(held.receiver, held.reason) for held in found.suppressed] == [("retrain", fault.fault)]
    # It is the cooldown of nothing: the next incident of a whole feed may retrain at once.
    after = plan([change("firing", START + HOUR, rule="another")], {}, found.cooldowns,
                 {"another": rule("another", notify=("retrain",))}, RECEIVERS)  # fmt: skip
    assert told(after) == [("trigger", "retrain")]
