"""The words of an alert, for somebody who was asleep a minute ago."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from alerts.evaluation import Finding
    from alerts.policy import Notice
    from alerts.rules import Evidence

_TOP = 3
_NAMES = {"psi": "PSI", "missing": "change of the missing share", "jensen_shannon": "Jensen-Shannon distance"}


@dataclass(frozen=True, slots=True)
class Words:
    """An alert as text; plain, without any receiver's markup.

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
    """``2013-04-02T07:00:00Z``."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def words(notice: Notice, dashboard_url: str | None) -> Words:
    """The words of a notice.

    Args:
        notice: what happened.
        dashboard_url: may hold ``{model}``, ``{version}``, ``{segment}`` and ``{window}``.
    """
    key, evidence = notice.transition.key, notice.transition.evidence
    model = key.model if key.version == "-" else f"{key.model} (version {key.version})"
    subjects = _subjects(evidence)
    if notice.kind == "resolve":
        title = f"Resolved: {notice.rule.name} on {model}"
        lasted = _span(notice.at - notice.opened)
        facts: tuple[tuple[str, str], ...] = (
            ("Why", notice.transition.reason or "back within bounds"),
            ("Lasted", f"{lasted}, from {utc(notice.opened)} to {utc(notice.at)}"),
        )
        return Words(title, facts, (), _links(notice, dashboard_url))
    title = f"{notice.rule.name} on {model}: {_headline(subjects, evidence)}"
    where = f"window {key.window}, {utc(evidence.start)} to {utc(evidence.end)}, {evidence.rows:,} rows"
    facts = (
        ("Severity", notice.rule.severity),
        ("Since", utc(notice.transition.since)),
        ("Seen in", where if key.segment == "all" else f"{where}, segment {key.segment}"),
    )
    findings = tuple(_line(finding) for finding in subjects[:_TOP])
    more = len(subjects) - _TOP
    if more > 0:
        findings = (*findings, f"and {more} more")
    return Words(title, facts, findings, _links(notice, dashboard_url))


def summary(notice_title: str, limit: int) -> str:
    """A title cut to a receiver's limit."""
    return notice_title if len(notice_title) <= limit else notice_title[: limit - 1] + "…"


def _subjects(evidence: Evidence) -> list[Finding]:
    """The worst finding of each subject, worst first."""
    seen: dict[str, Finding] = {}
    for finding in evidence.findings:
        seen.setdefault(finding.subject, finding)
    return list(seen.values())


def _headline(subjects: list[Finding], evidence: Evidence) -> str:
    if not subjects:
        return "no details"
    name = subjects[0].subject.removeprefix("feature:")
    if len(subjects) == 1:
        verb = {"drifted": "has drifted", "breached": "is out of bounds", "insufficient": "has too little data"}
        return f"{name} {verb.get(subjects[0].status, 'crossed its threshold')}"
    return f"{name} and {len(subjects) - 1} more"


def _number(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.3g}"


def _line(finding: Finding) -> str:
    name = _NAMES.get(finding.statistic, finding.statistic.replace("_", " "))
    what = finding.detail or finding.subject.removeprefix("feature:")
    if finding.status == "insufficient":
        return what
    proof = f"{name} {_number(finding.value)}"
    if not math.isnan(finding.lower):
        proof += f", surely at least {_number(finding.lower)}"
    if not math.isnan(finding.threshold):
        proof += f" (matters from {_number(finding.threshold)})"
    return f"{what}. {proof}"


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
            url = url.replace(f"{{{name}}}", quote(getattr(key, name), safe=""))
        links.append(("Dashboard", url))
    if notice.rule.runbook is not None:
        links.append(("Runbook", notice.rule.runbook))
    return tuple(links)
