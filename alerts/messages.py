"""The words of an alert, for an engineer who was asleep a minute ago.

They state what changed and by how much, with confidence bounds; since when, on how many rows and in which direction;
and where to look.
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
        title: one line: the change, its size, the model.
        facts: label and text of each fact, in reading order.
        findings: one line for each of the most responsible subjects.
        links: label and URL.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]
    links: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """The whole alert, one item a line."""
        lines = [self.title]
        lines += [f"{label}: {fact}" for label, fact in self.facts]
        lines += [f"- {finding}" for finding in self.findings]
        lines += [f"{label}: {url}" for label, url in self.links]
        return "\n".join(lines)


def words(notice: Notice, dashboard_url: str | None) -> AlertText:
    """The words of a notice.

    Args:
        notice: the change of an incident.
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
    """One line: the rule, the model, the change."""
    name = change.key.model if change.key.version == "-" else f"{change.key.model} (version {change.key.version})"
    where = f"{tidy(rule.name)} on {tidy(name)}"
    if change.state == "resolved":
        return f"Resolved: {where}"
    subjects = _subjects(change.evidence)
    return f"{where}: {_headline(subjects, _more(change.evidence, 0), rule, change.key)}"


def cut(text: str, limit: int) -> str:
    """A text of at most ``limit`` characters; a longer one ends in ``…``."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def tidy(text: str) -> str:
    """One printable line of bounded length: names and categories come from data.

    Line breaks, control characters, characters that change the direction of writing, and halves of surrogate
    pairs become spaces, so that no value can forge a line.
    """
    shown = "".join(char if char.isprintable() else " " for char in text[: 2 * _LONGEST])
    return cut(" ".join(shown.split()), _LONGEST)


def _subjects(evidence: Evidence) -> list[Finding]:
    """The worst finding of each subject, worst first; every metric of performance counts as a subject."""
    seen: dict[tuple[str, str], Finding] = {}
    for finding in evidence.findings:
        seen.setdefault(subject_of(finding), finding)
    return list(seen.values())


def _more(evidence: Evidence, named: int) -> int:
    """The number of subjects beyond the first ``named``, kept as evidence or not."""
    return max(evidence.subjects, len(_subjects(evidence))) - named


def _is_metric(finding: Finding) -> bool:
    return subject_named(finding.subject).each


def _name(finding: Finding) -> str:
    """The subject of a finding: ``age``, ``estimated ROC AUC``, ``equal opportunity difference by SEX``."""
    return tidy(words_of_subject(finding.subject, finding.statistic))


def _names(subjects: list[Finding], count: int) -> str:
    """``age``, ``age and wage``, ``age and 3 more``: the worst of ``count`` subjects by name, the others by number."""
    if not subjects:
        return "nothing in particular"
    if count > 2:
        return f"{_name(subjects[0])} and {count - 1} more"
    return " and ".join(_name(finding) for finding in subjects)


def _shares_of_drift(subjects: list[Finding], rule: Rule) -> tuple[tuple[str, str], ...]:
    """Each feature's share of the proven drift, which is the sum of the lower bounds; empty for a single feature."""
    proven = [finding for finding in subjects if finding.statistic == "psi" and finding.lower > 0]
    if rule.metric is not None or len(proven) < 2:
        return ()
    proven.sort(key=lambda finding: -finding.lower)
    total = sum(finding.lower for finding in proven)
    shares = ", ".join(f"{_name(finding)} {finding.lower / total:.0%}" for finding in proven[:_TOP])
    return (("Share of the proven drift", shares),)


def _headline(subjects: list[Finding], count: int, rule: Rule, key: AlertKey) -> str:
    one = count == 1
    if not subjects:
        return "nothing in particular"
    first = subjects[0]
    metric, verb = _is_metric(first), "is" if one else "are"
    if rule.metric is not None:
        names = _names(subjects, count)
        subject = names if metric else f"{_statistic(first)} of {names}"
        limit = f"{'significantly ' if rule.sure else ''}{limit_of(rule)}"
        if one:
            return f"{subject} is {_beside(first.value, rule.limit)}{_reference(first)}, {limit}"
        return f"{subject} {verb if metric else 'is'} {limit}"
    if rule.when == "insufficient":
        return f"{_names(subjects, count)} {'has' if one else 'have'} too little data"
    if rule.when == "breached" and (metric or first.detail):
        more = "" if one else f"; and {count - 1} more"
        return f"{_breach(first, key) if metric else tidy(first.detail)}{more}"
    if rule.when == "breached":
        return f"{_names(subjects, count)} {verb} out of bounds"
    return f"{_names(subjects, count)} {'has' if one else 'have'} drifted"


def _breach(finding: Finding, key: AlertKey) -> str:
    """A breached metric in one sentence."""
    subject, name = subject_named(finding.subject), _name(finding)
    if subject.detail == "champion" and finding.detail:
        # Only the detail names the champion.
        comparison = tidy(finding.detail).removeprefix(f"{finding.statistic} is ")
        version = "" if key.version == "-" else f" of version {tidy(key.version)}"
        return f"{_metric(finding.statistic)}{version} is {comparison}"
    if subject.reference and not math.isnan(finding.reference):
        verb = "fell" if finding.value < finding.reference else "rose"
        return f"{name} {verb} to {_number(finding.value)} from {_number(finding.reference)} on the reference"
    side = "above" if finding.value > finding.threshold else "below"
    return f"{name} is {_beside(finding.value, finding.threshold)}, {side} {_number(finding.threshold)}"


def _line(finding: Finding, rule: Rule, key: AlertKey) -> str:
    name, detail = _name(finding), tidy(finding.detail)
    if finding.status == "insufficient":
        return f"{name}: {detail or 'too few rows to judge'}"
    subject, threshold = subject_named(finding.subject), ""
    if rule.metric is not None:
        threshold = f", threshold {_number(rule.limit)}"
        if rule.change_from_reference is not None:
            threshold = f", threshold: a {'fall' if rule.low_is_bad else 'rise'} by {_number(abs(rule.limit))}"
    elif not math.isnan(finding.threshold) and subject.detail != "champion":
        threshold = f", threshold {_number(finding.threshold)}"
    if subject.detail == "champion" and finding.status == "breached":
        return f"{_breach(finding, key)} ({_sorted_bounds(finding)}){threshold}"
    if subject.detail == "detail" and detail:
        return f"{_metric(finding.statistic)} is {detail}{threshold.replace(',', ';', 1)}"
    numbers = f"{_number(finding.value)}{_bounds(finding)}"
    if _is_metric(finding):
        suffix = f"; {detail}" if subject.detail == "both" and detail else ""
        return f"{name}{subject.aside} {numbers}{_reference(finding)}{threshold}{suffix}"
    if detail and finding.statistic in SENTENCES:
        return detail
    numbers = f"{_statistic(finding)} {numbers}{threshold}"
    return f"{detail}. {numbers[0].upper()}{numbers[1:]}" if detail else f"{name}: {numbers}"


def _reference(finding: Finding) -> str:
    return "" if math.isnan(finding.reference) else f" ({_number(finding.reference)} on the reference)"


def limit_of(rule: Rule) -> str:
    """The condition of a rule on a number: ``below 0.8``, ``a fall by 0.05 or more``."""
    if rule.change_from_reference is None:
        return f"{'below' if rule.low_is_bad else 'above'} {_number(rule.limit)}"
    return f"a {'fall' if rule.low_is_bad else 'rise'} by {_number(abs(rule.limit))} or more"


def _sorted_bounds(finding: Finding) -> str:
    """How much worse a version is, as an interval without signs: the metric decides which sign is worse."""
    low, high = sorted((abs(finding.lower), abs(finding.upper)))
    return f"confidence interval {_number(low)} to {_number(high)}"


def _bounds(finding: Finding) -> str:
    if math.isnan(finding.lower):
        return "" if math.isnan(finding.upper) else f", upper confidence bound {_number(finding.upper)}"
    if math.isnan(finding.upper):
        return f", lower confidence bound {_number(finding.lower)}"
    return f", confidence interval {_number(finding.lower)} to {_number(finding.upper)}"


def _metric(name: str) -> str:
    return tidy(words_of_metric(name))


def _statistic(finding: Finding) -> str:
    return tidy(words_of_statistic(finding.statistic))


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "unknown"
    return f"{value:,.0f}" if 1_000 <= abs(value) < 1e15 else f"{value:.3g}"


def _beside(value: float, limit: float) -> str:
    """A number with enough digits to differ from its limit: 0.9198 is below 0.92."""
    texts = (_number(value), *(f"{value:.{digits}g}" for digits in (4, 5, 6)))
    return next((text for text in texts if text != _number(limit)), texts[0])


def _where(notice: Notice) -> str:
    key, evidence = notice.transition.key, notice.transition.evidence
    where = f"window {key.window}, {_between(evidence.start, evidence.end)}, "
    segment = "" if key.segment == "all" else f" of segment {tidy(key.segment)}"
    if key.realised:
        return f"{where}{evidence.labelled_rows:,} of {evidence.rows:,} predictions{segment} labelled"
    return f"{where}{evidence.rows:,} rows{segment}"


def _judged(notice: Notice) -> tuple[tuple[str, str], ...]:
    """When performance was judged, which may be long after the window."""
    if not notice.transition.key.realised:
        return ()
    late = _span(notice.transition.at - notice.transition.evidence.end)
    return (
        ("Judged", f"{utc(notice.transition.at)}, {late} after the window's end, with the labels received by then"),
    )


def _between(start: int, end: int) -> str:
    """``2013-04-02 06:00 to 07:00 UTC``; the second date is left out if it equals the first."""
    first, last = utc(start), utc(end)
    return f"{first.removesuffix(' UTC')} to {last[11:] if first[:10] == last[:10] else last}"


def _span(milliseconds: int) -> str:
    days, rest = divmod(max(milliseconds, 0) // 60_000, 1440)
    hours, minutes = divmod(rest, 60)
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if count]
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
