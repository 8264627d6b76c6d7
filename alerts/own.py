"""Notifications about leewayd itself: another receiver fails, or incidents ended before delivery. Pure."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

from alerts.evaluation import Finding
from alerts.lifecycle import AlertKey, Evidence, Transition
from alerts.messages import AlertText, tidy
from alerts.moments import utc
from alerts.policy import Kind, Notice, ReceiverPolicy, notice_id
from alerts.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from alerts.parking import ReceiverFault

_OWN = "leewayd"
FAILING = Rule("receiver failing", severity="error")
_SUMMARY = Rule("past incidents", severity="info")


def fault_key(receiver: str, since: int) -> str:
    """The dedup key of the alert about a failing receiver."""
    return f"leeway-receiver-{_digest(receiver, str(since))}"


def failing_notice(to: ReceiverPolicy, receiver: str, fault: ReceiverFault) -> tuple[Notice, AlertText]:
    """The alert about a failing receiver.

    Args:
        to: the receiver that gets the alert.
        receiver: the failing receiver.
        fault: start and reason of the fault.
    """
    title = f"leewayd cannot notify {tidy(receiver)}: {tidy(fault.reason)}"
    facts = [("Severity", FAILING.severity), ("Since", utc(fault.since))]
    if fault.lost:
        facts.append(("Dropped", tidy(fault.lost)))
    else:
        facts.append(("Effect", "its notifications wait for a week at most, and are sent when it works again"))
    return _notice(to, "trigger", receiver, fault, fault.since), AlertText(title, tuple(facts), (), ())


def recovered_notice(to: ReceiverPolicy, receiver: str, fault: ReceiverFault, now: int) -> tuple[Notice, AlertText]:
    """The end of the alert about a failing receiver.

    Args:
        to: the receiver that gets the notification.
        receiver: the receiver that failed.
        fault: start and reason of the fault.
        now: epoch ms.
    """
    facts = (("Why", "the receiver accepts notifications again"), ("Lasted", f"{utc(fault.since)} to {utc(now)}"))
    return _notice(to, "resolve", receiver, fault, now), AlertText(
        f"Resolved: leewayd notifies {tidy(receiver)}", facts, (), ()
    )


def summary_notice(
    to: ReceiverPolicy, ids: Sequence[str], titles: Sequence[str], incidents: int, at: int
) -> tuple[Notice, AlertText]:
    """One notification for incidents that began and ended while the receiver refused everything.

    Args:
        to: the receiver.
        ids: ids of the notifications that the summary replaces.
        titles: titles of the latest incidents.
        incidents: number of incidents.
        at: epoch ms.
    """
    one = incidents == 1
    title = (
        f"{incidents:,} {'incident' if one else 'incidents'} began and ended while this receiver refused notifications"
    )
    more = incidents - len(titles)
    lines = (*map(tidy, titles), *((f"and {more:,} earlier",) if more > 0 else ()))
    key = f"leeway-summary-{_digest(to.name, *ids)}"
    findings = tuple(_finding("incident", title) for title in titles)
    notice = _own_notice(to, "summary", key, _SUMMARY, at, at, findings)
    return notice, AlertText(title, (("Now", "all incidents have ended"),), lines, ())


def _notice(to: ReceiverPolicy, kind: Kind, receiver: str, fault: ReceiverFault, at: int) -> Notice:
    findings = (_finding(f"receiver:{receiver}", fault.reason),)
    return _own_notice(to, kind, fault.dedup_key, FAILING, at, fault.since, findings)


def _own_notice(
    to: ReceiverPolicy, kind: Kind, key: str, rule: Rule, at: int, since: int, findings: tuple[Finding, ...]
) -> Notice:
    state: Literal["firing", "resolved"] = "firing" if kind == "trigger" else "resolved"
    reason = "" if kind == "trigger" else "over"
    alert = AlertKey(rule.name, _OWN, "-", "all", "-")
    evidence = Evidence(since, at, 0, findings, matched=len(findings))
    change = Transition(alert, state, at, rule.severity, since, evidence, reason)
    firing = int(kind == "trigger")
    return Notice(notice_id(key, kind, to.name), to.name, kind, key, at, since, change, rule, firing, retrains=False)


def _finding(subject: str, detail: str) -> Finding:
    unknown = math.nan
    return Finding(subject, "delivery", unknown, unknown, unknown, unknown, "breached", tidy(detail))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:24]
