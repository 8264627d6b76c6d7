"""The report of a backtest: one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from alerts.messages import limit_of, summary
from alerts.moments import utc
from alerts.subjects import title_of
from detectors.layout import BINS, GONE, HIGH, LOW, without_value
from monitor.backtest.charts import area_chart, density_chart, interval_chart, number, pairs_chart, spans_chart
from monitor.backtest.html import table, where
from monitor.backtest.report_alerts import alerted_table
from monitor.backtest.report_performance import performance_section, quality_section
from monitor.backtest.report_style import STYLE
from monitor.backtest.summary import summary_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from alerts.rules import Rule
    from monitor.backtest.history import History, Leeway, Worst
    from monitor.reference.profile import Profile

_MOST_FLAGGED = 25
_MOST_CATEGORIES = 12
_WORTH_SHOWING = 0.005
# No script and no external content, even if names in the log contain HTML: only text and this style sheet.
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"


def render_report(history: History, config_name: str, inputs: Sequence[str]) -> str:
    """The whole page.

    Args:
        history: of a finished replay.
        config_name, inputs: configuration and log files, for the heading.
    """
    ends = [end for track in history.tracks.values() for end in (track.ends[0], track.ends[-1])]
    body = [
        f"<h1>Backtest of {escape(config_name)}</h1>",
        f'<p class="lead">{escape(_verdict(history))}</p>',
        f"<p>{escape(', '.join(inputs))}. {escape(_counts(history))}</p>",
    ]
    if ends:
        body += [
            _section("Alerts over time", _alert_spans(history, min(ends), max(ends))),
            _section("Rules", _rules_table(history)),
            _section("Alerts", _alerts_table(history) + alerted_table(history)),
            _section("What drifted", _flagged(history)),
            *([_section("Performance", performance)] if (performance := performance_section(history)) else []),
            _section("Data quality, labels, traffic, and features together", quality_section(history)),
            _section("Leeway left", _leeway_table(history.leeways())),
            _section("Traffic", _traffic(history)),
        ]
    else:
        body.append("<p>No window was judged; the reasons are in the section “What was read”.</p>")
    if history.snapshot is not None:
        lines = ([f"<b>{escape(title)}</b>", escape(text)] for title, text in summary_lines(history.snapshot))
        body.append(_section("What was read", table(("", "Records"), lines)))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>leewayd backtest: {escape(config_name)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _verdict(history: History) -> str:
    fired = sum(change.state == "firing" for change in history.transitions)
    count = len(history.notices)
    if not fired:
        return "No alert would have fired."
    first = min(change.at for change in history.transitions if change.state == "firing")
    alerts = "1 alert" if fired == 1 else f"{fired} alerts"
    notes = "1 notification" if count == 1 else f"{count} notifications"
    return f"{alerts} would have fired, the first on {utc(first)}; {notes} would have been sent."


def _counts(history: History) -> str:
    if history.snapshot is None:
        return ""
    rows = sum(sum(model.rows.values()) for model in history.snapshot.models)
    late = sum(model.late for model in history.snapshot.models)
    rejects = sum(history.snapshot.rejects.values())
    windows = sum(len(track.ends) for track in history.tracks.values())
    return f"{rows:,} rows counted, {late:,} late, {rejects:,} rejected; {windows:,} windows judged."


def _firing_spans(history: History, rule: str, last: int) -> list[tuple[int, int]]:
    """Spans with at least one firing alert of a rule."""
    open_since: dict[object, int] = {}
    spans: list[tuple[int, int]] = []
    for change in history.transitions:
        if change.key.rule != rule:
            continue
        if change.state == "firing":
            open_since[change.key] = change.at
        elif change.state == "resolved" and change.key in open_since:
            spans.append((open_since.pop(change.key), change.at))
    spans += [(start, last) for start in open_since.values()]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _alert_spans(history: History, first: int, last: int) -> str:
    spans = [(name, _firing_spans(history, name, last)) for name in history.rules]
    return spans_chart(spans, first, last, "Times with a firing alert, by rule")


def _rules_table(history: History) -> str:
    last = max(track.ends[-1] for track in history.tracks.values())

    def row(name: str, rule: Rule) -> list[str]:
        fired = [change for change in history.transitions if change.key.rule == name and change.state == "firing"]
        sent = sum(notice.rule.name == name for notice in history.notices)
        firing = sum(end - start for start, end in _firing_spans(history, name, last)) / 86_400_000
        condition = rule.when or f"{rule.metric} {limit_of(rule)}"
        return [
            escape(name), escape(condition), str(len(fired)), utc(fired[0].at) if fired else "–",
            f"{firing:.1f} d", str(sent),
        ]  # fmt: skip

    head = ("Rule", "Condition", "Alerts", "First", "Firing for", "Notifications")
    return table(head, (row(name, rule) for name, rule in history.rules.items()), frozenset({2, 4, 5}))


def _alerts_table(history: History) -> str:
    changes = [change for change in history.transitions if change.state != "pending"]
    if not changes:
        return '<p class="quiet">None.</p>'
    rows = (
        [
            utc(change.at),
            f"<span class={change.state}>{change.state}</span>",
            escape(summary(change, history.rules[change.key.rule])),
            escape(f"{change.key.segment}, {change.key.window}"),
            f"{change.evidence.rows:,}",
        ]
        for change in changes[:200]
    )
    more = f'<p class="quiet">and {len(changes) - 200} more</p>' if len(changes) > 200 else ""
    return table(("At", "State", "What", "Where", "Rows"), rows, frozenset({4})) + more


def _flagged(history: History) -> str:
    if not history.worst:
        return '<p class="quiet">Nothing: no lower bound reached its threshold.</p>'
    ranked = sorted(history.worst.values(), key=lambda worst: -worst.margin / max(worst.finding.threshold, 1e-9))
    many = len(history.references) > 1
    cards = [_card(history, worst, many) for worst in ranked[:_MOST_FLAGGED]]
    more = len(ranked) - _MOST_FLAGGED
    note = f'<p class="quiet">and {more} more, in the table below</p>' if more > 0 else ""
    count = len({name[:2] for name in history.worst})
    drifted = f"<p>{count:,} {'subject has' if count == 1 else 'subjects have'} drifted.</p>"
    legend = (
        '<p class="legend"><i class="k-value"></i>estimate <i class="k-judged"></i>judged bound '
        '<i class="k-band"></i>interval <i class="k-threshold"></i>threshold '
        '<i class="k-reference"></i>reference <i class="k-window"></i>worst window</p>'
    )
    return drifted + legend + "".join(cards) + note


def _card(history: History, worst: Worst, many_models: bool) -> str:
    finding, track = worst.finding, history.tracks[worst.track]
    name = title_of(finding.subject)
    missing = finding.statistic == "missing"
    kind = "missing values" if missing else finding.statistic.upper()
    chart = interval_chart(
        np.array(track.ends),
        track.series((finding.subject, finding.statistic)),
        finding.threshold,
        f"{kind} of {name} over time",
    )
    bounds = (
        f"lower confidence bound {number(finding.lower)}"
        if np.isnan(finding.upper)
        else f"confidence interval {number(finding.lower)} to {number(finding.upper)}"
    )
    quantity = "Change of the missing share" if missing else kind
    estimate = f"{quantity} {number(finding.value)}, {bounds}"
    when = f"worst in {where(worst.track, many_models)}, {utc(worst.start)} to {utc(worst.end)}, {worst.rows:,} rows"
    return (
        f"<article><h3>{escape(name)} <small>{escape(kind)}</small></h3>"
        f"<p>{escape(finding.detail)}. {escape(estimate)}; {escape(when)}.</p>"
        f"{chart}{_distributions(history.references[worst.track.model].of(worst.track.version), worst)}</article>"
    )


def _distributions(profile: Profile, worst: Worst) -> str:
    subject, bins_of_window = worst.finding.subject, worst.bins
    if bins_of_window is None:
        return ""
    index = profile.layout.subjects.index(subject)
    segment = worst.track.segment
    counts = profile.segments.get(segment, profile.counts)
    reference, window = counts.bins[index], bins_of_window
    label = f"Distribution of {subject} in the reference and in the worst window"
    if worst.finding.statistic == "missing":
        missing = [float(without_value(bins) / max(bins.sum(), 1)) for bins in (reference, window)]
        return pairs_chart(["missing or invalid"], missing[:1], missing[1:], label)
    q, p = (_value_shares(bins) for bins in (reference, window))
    if profile.layout.numeric[index]:
        location, scale = float(profile.layout.location[index]), float(profile.layout.scale[index])
        low, high = (location + z * scale for z in worst.extremes)
        width = int(profile.layout.width[index])
        edges, shares = np.array(profile.edges[subject]), [q[:width], p[:width]]
        # Values beyond the reference's range get their own bin, as far as the window reaches.
        if p[LOW] > _WORTH_SHOWING and low < edges[0]:
            edges = np.append(low, edges)
            shares = [np.append(outside, inside) for outside, inside in zip((q[LOW], p[LOW]), shares, strict=True)]
        if p[HIGH] > _WORTH_SHOWING and high > edges[-1]:
            edges = np.append(edges, high)
            shares = [np.append(inside, outside) for outside, inside in zip((q[HIGH], p[HIGH]), shares, strict=True)]
        note = f"{p[LOW]:.1%} of the window's values lie below the reference's range, {p[HIGH]:.1%} above."
        return density_chart(edges, shares[0], shares[1], label) + f'<p class="quiet">{note}</p>'
    names = {column: profile.category(subject, column) or "?" for column in range(int(profile.layout.width[index]))}
    names |= {LOW: "(rare)", HIGH: "(not in the reference)"}
    columns = sorted(names, key=lambda column: -abs(p[column] - q[column]))[:_MOST_CATEGORIES]
    return pairs_chart(
        [names[column] for column in columns],
        [q[column] for column in columns],
        [p[column] for column in columns],
        label,
    )


def _value_shares(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    values = bins.astype(np.float64)
    values[list(GONE)] = 0.0
    shares: NDArray[np.float64] = values / max(values.sum(), 1.0)
    assert LOW >= BINS
    return shares


def _leeway_table(leeways: list[Leeway]) -> str:
    many = len({leeway.track.model for leeway in leeways}) > 1
    rows = (
        [
            escape(leeway.subject.removeprefix("feature:")),
            escape(leeway.statistic),
            f"<span class={'gone' if leeway.left <= 0 else 'left'}>{number(leeway.left)}</span>",
            number(leeway.lower),
            number(leeway.threshold),
            escape(where(leeway.track, many)),
            datetime.fromtimestamp(leeway.end / 1000, UTC).strftime("%Y-%m-%d %H:%M"),
        ]
        for leeway in leeways
    )
    head = ("Subject", "Statistic", "Leeway left", "Greatest lower bound", "Threshold", "Where", "When (UTC)")
    note = "<p>Threshold less the greatest lower bound of any window: how much the bound could still have risen.</p>"
    return note + table(head, rows, frozenset({2, 3, 4}))


def _traffic(history: History) -> str:
    charts = []
    for key, track in history.tracks.items():
        if key.segment == "all" and not key.realised:
            title = escape(where(key, len(history.references) > 1))
            chart = area_chart(np.array(track.ends), np.array(track.rows, dtype=np.float64), f"Rows in {title}")
            charts.append(f"<h3>Rows in {title}</h3>{chart}")
    return "".join(charts)
