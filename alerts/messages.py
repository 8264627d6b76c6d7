"""The words of an alert, for somebody who was asleep a minute ago.

What, how much, how sure, since when, on how many rows, which features moved in what direction, where to look.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from alerts.evaluation import Finding
    from alerts.policy import Notice
    from alerts.rules import Evidence, Rule, Transition

_TOP = 3
_LONGEST = 500
_NAMES = {
    "psi": "PSI",
    "missing": "change of the missing share",
    "jensen_shannon": "Jensen-Shannon distance",
    "ks": "KS distance",
    "wasserstein": "Wasserstein distance",
    "chi2": "chi-squared",
    "roc_auc": "ROC AUC",
}


@dataclass(frozen=True, slots=True)
class Words:
    """An alert as text; plain, printable, without any receiver's markup.

    Attributes:
        title: one line: what, how bad, which model.
        facts: label and text of each fact, in reading order.
        findings: one line for each of the most responsible subjects.
        links: label and URL.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]
    links: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """Everything on lines of its own."""
        lines = [self.title]
        lines += [f"{label}: {fact}" for label, fact in self.facts]
        lines += [f"- {finding}" for finding in self.findings]
        lines += [f"{label}: {url}" for label, url in self.links]
        return "\n".join(lines)


def utc(milliseconds: int) -> str:
    """``2013-04-02 07:00 UTC``."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def rfc3339(milliseconds: int) -> str:
    """``2013-04-02T07:00:00Z``; milliseconds are given when there are any."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    left = milliseconds % 1000
    return f"{moment}.{left:03d}Z" if left else f"{moment}Z"


def words(notice: Notice, dashboard_url: str | None) -> Words:
    """The words of a notice.

    Args:
        notice: what happened.
        dashboard_url: may hold ``{model}``, ``{version}``, ``{segment}`` and ``{window}``.
    """
    key, evidence, rule = notice.transition.key, notice.transition.evidence, notice.rule
    model = tidy(key.model if key.version == "-" else f"{key.model} (version {key.version})")
    subjects = _subjects(evidence)
    links = _links(notice, dashboard_url)
    if notice.kind == "resolve":
        facts: tuple[tuple[str, str], ...] = (
            ("Why", tidy(notice.transition.reason)),
            ("Lasted", f"{_span(notice.at - notice.opened)}, {_between(notice.opened, notice.at)}"),
            ("It was", f"{_names(subjects)}, last seen in {_where(notice)}"),
        )
        return Words(f"Resolved: {tidy(rule.name)} on {model}", facts, (), links)
    facts = (
        ("Severity", rule.severity),
        ("Since", utc(notice.transition.since)),
        ("Seen in", _where(notice)),
        *_shares_of_drift(subjects, rule),
    )
    findings = tuple(_line(finding, rule) for finding in subjects[:_TOP])
    more = len(subjects) - _TOP
    if more > 0:
        findings = (*findings, f"and {more} more")
    return Words(summary(notice.transition, rule), facts, findings, links)


def summary(change: Transition, rule: Rule) -> str:
    """One line: which rule, which model, what about it."""
    name = change.key.model if change.key.version == "-" else f"{change.key.model} (version {change.key.version})"
    where = f"{tidy(rule.name)} on {tidy(name)}"
    if change.state == "resolved":
        return f"Resolved: {where}"
    return f"{where}: {_headline(_subjects(change.evidence), rule)}"


def cut(text: str, limit: int) -> str:
    """A text of at most ``limit`` characters; what is missing shows."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def tidy(text: str) -> str:
    """One printable line of bounded length: names and categories come from data.

    Line breaks, control characters, characters that turn the direction of writing, and halves of surrogate
    pairs become spaces, so that no value can forge a line of its own.
    """
    shown = "".join(char if char.isprintable() else " " for char in text[: 2 * _LONGEST])
    return cut(" ".join(shown.split()), _LONGEST)


def _subjects(evidence: Evidence) -> list[Finding]:
    """The worst finding of each subject, worst first."""
    seen: dict[str, Finding] = {}
    for finding in evidence.findings:
        seen.setdefault(finding.subject, finding)
    return list(seen.values())


def _name(finding: Finding) -> str:
    return tidy(finding.subject.removeprefix("feature:"))


def _names(subjects: list[Finding]) -> str:
    """``age``, ``age and wage``, ``age and 3 more``."""
    if not subjects:
        return "nothing in particular"
    if len(subjects) > 2:
        return f"{_name(subjects[0])} and {len(subjects) - 1} more"
    return " and ".join(_name(finding) for finding in subjects)


def _shares_of_drift(subjects: list[Finding], rule: Rule) -> tuple[tuple[str, str], ...]:
    """How the proven part of the drift (the lower bounds) is shared out among the features; nothing for one alone."""
    proven = [finding for finding in subjects if finding.statistic == "psi" and finding.lower > 0]
    if rule.metric is not None or len(proven) < 2:
        return ()
    proven.sort(key=lambda finding: -finding.lower)
    total = sum(finding.lower for finding in proven)
    told = ", ".join(f"{_name(finding)} {finding.lower / total:.0%}" for finding in proven[:_TOP])
    return (("Share of the proven drift", told),)


def _headline(subjects: list[Finding], rule: Rule) -> str:
    one = len(subjects) == 1
    if rule.metric is not None:
        side = "above" if rule.above is not None else "below"
        limit = _number(rule.above if rule.above is not None else rule.below)
        if one:
            value = _number(subjects[0].value)
            return f"{_statistic(rule.metric)} of {_name(subjects[0])} is {value}, {side} {limit}"
        return f"{_statistic(rule.metric)} of {_names(subjects)} is {side} {limit}"
    verb = {
        "drifted": "has drifted" if one else "have drifted",
        "breached": "is out of bounds" if one else "are out of bounds",
        "insufficient": "has too little data" if one else "have too little data",
    }
    return f"{_names(subjects)} {verb[rule.when or 'drifted']}"


def _line(finding: Finding, rule: Rule) -> str:
    name, detail = _name(finding), tidy(finding.detail)
    if finding.status == "insufficient":
        return f"{name}: {detail or 'too few rows to judge'}"
    limit = ""
    if rule.metric is not None:
        limit = f"; the limit is {_number(rule.above if rule.above is not None else rule.below)}"
    elif not math.isnan(finding.threshold):
        limit = f"; it matters from {_number(finding.threshold)}"
    proof = f"{_statistic(finding.statistic)} {_number(finding.value)}{_bounds(finding)}{limit}"
    return f"{detail}. {proof[0].upper()}{proof[1:]}" if detail else f"{name}: {proof}"


def _bounds(finding: Finding) -> str:
    if math.isnan(finding.lower):
        return "" if math.isnan(finding.upper) else f", surely at most {_number(finding.upper)}"
    if math.isnan(finding.upper):
        return f", surely at least {_number(finding.lower)}"
    return f", surely between {_number(finding.lower)} and {_number(finding.upper)}"


def _statistic(name: str) -> str:
    return _NAMES.get(name, tidy(name.replace("_", " ")))


def _number(value: float | None) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{value:.3g}"


def _where(notice: Notice) -> str:
    key, evidence = notice.transition.key, notice.transition.evidence
    where = f"window {key.window}, {_between(evidence.start, evidence.end)}, {evidence.rows:,} rows"
    return where if key.segment == "all" else f"{where} of segment {tidy(key.segment)}"


def _between(start: int, end: int) -> str:
    """``2013-04-02 06:00 to 07:00 UTC``; the date is told once when it is the same."""
    first, last = utc(start), utc(end)
    return f"{first.removesuffix(' UTC')} to {last[11:] if first[:10] == last[:10] else last}"


def _span(milliseconds: int) -> str:
    minutes = max(milliseconds, 0) // 60_000
    days, rest = divmod(minutes, 1440)
    hours, left = divmod(rest, 60)
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (left, "min")) if count]
    return " ".join(parts[:2]) or "under a minute"


def _links(notice: Notice, dashboard_url: str | None) -> tuple[tuple[str, str], ...]:
    links = []
    key = notice.transition.key
    if dashboard_url is not None:
        url = dashboard_url
        for name in ("model", "version", "segment", "window"):
            text = getattr(key, name).encode("utf-8", "replace").decode()
            url = url.replace(f"{{{name}}}", quote(text, safe=""))
        links.append(("Dashboard", url))
    if notice.rule.runbook is not None:
        links.append(("Runbook", notice.rule.runbook))
    return tuple(links)
