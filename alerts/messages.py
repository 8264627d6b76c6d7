"""The words of an alert, for somebody who was asleep a minute ago.

What, how much, how sure, since when, on how many rows, which features moved in what direction, where to look.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from alerts.evaluation import subject_of
from alerts.moments import utc as utc
from alerts.subjects import (
    LOST,
    SENTENCES,
    subject_named,
    words_of_metric,
    words_of_statistic,
    words_of_subject,
)

if TYPE_CHECKING:
    from alerts.evaluation import Finding
    from alerts.lifecycle import AlertKey, Evidence, Transition
    from alerts.policy import Notice
    from alerts.rules import Rule

_TOP = 3
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class AlertText:
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


def words(notice: Notice, dashboard_url: str | None) -> AlertText:
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
            ("It was", f"{_names(subjects, _more(evidence, 0))}, last seen in {_where(notice)}"),
        )
        return AlertText(f"Resolved: {tidy(rule.name)} on {model}", facts, (), links)
    facts = (
        ("Severity", rule.severity),
        ("Since", utc(notice.transition.since)),
        ("Seen in", _where(notice)),
        *_judged(notice),
        *([("Note", tidy(evidence.lost))] if evidence.lost and rule.statistic != LOST else []),
        *_shares_of_drift(subjects, rule),
    )
    findings = tuple(_line(finding, rule, key) for finding in subjects[:_TOP])
    more = _more(evidence, _TOP)
    if more > 0:
        findings = (*findings, f"and {more} more")
    return AlertText(summary(notice.transition, rule), facts, findings, links)


def summary(change: Transition, rule: Rule) -> str:
    """One line: which rule, which model, what about it."""
    name = change.key.model if change.key.version == "-" else f"{change.key.model} (version {change.key.version})"
    where = f"{tidy(rule.name)} on {tidy(name)}"
    if change.state == "resolved":
        return f"Resolved: {where}"
    subjects = _subjects(change.evidence)
    return f"{where}: {_headline(subjects, _more(change.evidence, 0), rule, change.key)}"


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
    """The worst finding of each subject, worst first; every metric of performance is a subject of its own."""
    seen: dict[tuple[str, str], Finding] = {}
    for finding in evidence.findings:
        seen.setdefault(subject_of(finding), finding)
    return list(seen.values())


def _more(evidence: Evidence, named: int) -> int:
    """How many subjects there are beside those named, kept as evidence or not."""
    return max(evidence.subjects, len(_subjects(evidence))) - named


def _is_metric(finding: Finding) -> bool:
    return subject_named(finding.subject).each


def _name(finding: Finding) -> str:
    """What a finding is about: ``age``, ``estimated ROC AUC``, ``equal opportunity difference by SEX``."""
    return tidy(words_of_subject(finding.subject, finding.statistic))


def _names(subjects: list[Finding], count: int) -> str:
    """``age``, ``age and wage``, ``age and 3 more`` of so many subjects, of which the worst are given."""
    if not subjects:
        return "nothing in particular"
    if count > 2:
        return f"{_name(subjects[0])} and {count - 1} more"
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


def _headline(subjects: list[Finding], count: int, rule: Rule, key: AlertKey) -> str:
    one = count == 1
    if not subjects:
        return "nothing in particular"
    first = subjects[0]
    metric, verb = _is_metric(first), "is" if one else "are"
    if rule.metric is not None:
        names = _names(subjects, count)
        what = names if metric else f"{_statistic(first)} of {names}"
        limit = f"{'surely ' if rule.sure else ''}{limit_of(rule)}"
        if one:
            return f"{what} is {_beside(first.value, rule.limit)}{_reference(first)}, {limit}"
        return f"{what} {verb if metric else 'is'} {limit}"
    if rule.when == "insufficient":
        return f"{_names(subjects, count)} {'has' if one else 'have'} too little data"
    if rule.when == "breached" and (metric or first.detail):
        more = "" if one else f"; and {count - 1} more"
        return f"{_news(first, key) if metric else tidy(first.detail)}{more}"
    if rule.when == "breached":
        return f"{_names(subjects, count)} {verb} out of bounds"
    return f"{_names(subjects, count)} {'has' if one else 'have'} drifted"


def _news(finding: Finding, key: AlertKey) -> str:
    """A breached metric in one sentence."""
    subject, name = subject_named(finding.subject), _name(finding)
    if subject.detail == "champion" and finding.detail:
        # The detail names the champion, which no number tells.
        told = tidy(finding.detail).removeprefix(f"{finding.statistic} is ")
        own = "" if key.version == "-" else f" of version {tidy(key.version)}"
        return f"{_metric(finding.statistic)}{own} is {told}"
    if subject.reference and not math.isnan(finding.reference):
        verb = "fell" if finding.value < finding.reference else "rose"
        return f"{name} {verb} to {_number(finding.value)} from {_number(finding.reference)} on the reference"
    side = "above" if finding.value > finding.threshold else "below"
    return f"{name} is {_beside(finding.value, finding.threshold)}, {side} {_number(finding.threshold)}"


def _line(finding: Finding, rule: Rule, key: AlertKey) -> str:
    name, detail = _name(finding), tidy(finding.detail)
    if finding.status == "insufficient":
        return f"{name}: {detail or 'too few rows to judge'}"
    subject, limit = subject_named(finding.subject), ""
    if rule.metric is not None:
        limit = f"; the limit is {_number(rule.limit)}"
        if rule.change_from_reference is not None:
            limit = f"; the limit is a {'fall' if rule.low_is_bad else 'rise'} by {_number(abs(rule.limit))}"
    elif not math.isnan(finding.threshold) and subject.detail != "champion":
        limit = f"; {'the limit is' if rule.when == 'breached' else 'it matters from'} {_number(finding.threshold)}"
    if subject.detail == "champion" and finding.status == "breached":
        return f"{_news(finding, key)} ({_sorted_bounds(finding)}){limit}"
    if subject.detail == "detail" and detail:
        return f"{_metric(finding.statistic)} is {detail}{limit}"
    proof = f"{_number(finding.value)}{_bounds(finding)}"
    if _is_metric(finding):
        told = f"; {detail}" if subject.detail == "both" and detail else ""
        return f"{name}{subject.aside} {proof}{_reference(finding)}{limit}{told}"
    if detail and finding.statistic in SENTENCES:
        return detail
    proof = f"{_statistic(finding)} {proof}{limit}"
    return f"{detail}. {proof[0].upper()}{proof[1:]}" if detail else f"{name}: {proof}"


def _reference(finding: Finding) -> str:
    return "" if math.isnan(finding.reference) else f" ({_number(finding.reference)} on the reference)"


def limit_of(rule: Rule) -> str:
    """What a rule on a number waits for, in words."""
    if rule.change_from_reference is None:
        return f"{'below' if rule.low_is_bad else 'above'} {_number(rule.limit)}"
    return f"a {'fall' if rule.low_is_bad else 'rise'} by {_number(abs(rule.limit))} or more"


def _sorted_bounds(finding: Finding) -> str:
    """How much worse a version surely is; which sign is worse depends on the metric."""
    low, high = sorted((abs(finding.lower), abs(finding.upper)))
    return f"surely between {_number(low)} and {_number(high)}"


def _bounds(finding: Finding) -> str:
    if math.isnan(finding.lower):
        return "" if math.isnan(finding.upper) else f", surely at most {_number(finding.upper)}"
    if math.isnan(finding.upper):
        return f", surely at least {_number(finding.lower)}"
    return f", surely between {_number(finding.lower)} and {_number(finding.upper)}"


def _metric(name: str) -> str:
    return tidy(words_of_metric(name))


def _statistic(finding: Finding) -> str:
    return tidy(words_of_statistic(finding.statistic))


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "unknown"
    return f"{value:,.0f}" if 1_000 <= abs(value) < 1e15 else f"{value:.3g}"


def _beside(value: float, limit: float) -> str:
    """A number with as many digits as it takes to tell it from its limit: 0.9198 is below 0.92."""
    told = (_number(value), *(f"{value:.{digits}g}" for digits in (4, 5, 6)))
    return next((text for text in told if text != _number(limit)), told[0])


def _where(notice: Notice) -> str:
    key, evidence = notice.transition.key, notice.transition.evidence
    where = f"window {key.window}, {_between(evidence.start, evidence.end)}, "
    segment = "" if key.segment == "all" else f" of segment {tidy(key.segment)}"
    if key.realised:
        return f"{where}{evidence.labelled_rows:,} of {evidence.rows:,} predictions{segment} labelled"
    return f"{where}{evidence.rows:,} rows{segment}"


def _judged(notice: Notice) -> tuple[tuple[str, str], ...]:
    """When performance was judged: what it speaks of may be long past."""
    if not notice.transition.key.realised:
        return ()
    late = _span(notice.transition.at - notice.transition.evidence.end)
    return (("Judged", f"{utc(notice.transition.at)}, {late} after the window's end, by the labels that had come"),)


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
