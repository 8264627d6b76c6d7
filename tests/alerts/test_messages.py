"""The words of an alert, as the person who is paged reads them; the usual ones are in `test_sinks`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.evaluation import Finding
from alerts.messages import Words, _between, _span, cut, rfc3339, summary, tidy, utc, words
from alerts.policy import Notice
from alerts.rules import Rule
from tests.alerts.samples import (
    CARRIER,
    DAY,
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
    notices,
    psi,
    resolve,
    rule,
    trigger,
)


def said(told: Rule, *findings: Finding, **of: object) -> Words:
    """The words of a trigger."""
    return words(notices([told], [evaluation(*findings, **of)])["trigger"], None)  # type: ignore[arg-type]


def with_finding(finding: Finding, told: Rule | None = None) -> str:
    """How a finding is told, whether the rules would have let it through or not."""
    notice = trigger()
    evidence = replace(notice.transition.evidence, findings=(finding,))
    notice = replace(notice, transition=replace(notice.transition, evidence=evidence), rule=told or notice.rule)
    return words(notice, None).findings[0]


# Whole texts


def test_a_number_that_fell_below_its_limit_is_told_with_both_and_how_sure_it_is() -> None:
    told = metric_rule(below=0.8, severity="error", runbook="https://wiki.example.org/auc")  # type: ignore[arg-type]
    assert said(told, metric(0.741), rows=2_304).text().splitlines() == [
        "number on flights (version v7): ROC AUC of performance is 0.741, below 0.8",
        "Severity: error",
        "Since: 2013-04-02 06:00 UTC",
        "Seen in: window 1h, 2013-04-02 05:00 to 06:00 UTC, 2,304 rows",
        "- performance: ROC AUC 0.741, surely between 0.729 and 0.753; the limit is 0.8",
        "Runbook: https://wiki.example.org/auc",
    ]


def test_a_number_that_several_subjects_have_crossed_names_the_first_ones() -> None:
    found = [metric(value, "missing", f"feature:{name}") for name, value in (("age", 0.5), ("wage", 0.4), ("sex", 0.3))]
    told = metric_rule("missing", above=0.2)
    assert said(told, *found[:2]).title.endswith(": change of the missing share of age and wage is above 0.2")
    assert said(told, *found).title.endswith(": change of the missing share of age and 2 more is above 0.2")


def test_too_little_data_is_told_as_what_it_is() -> None:
    few = Finding("feature:age", "psi", NAN, NAN, NAN, 0.02, "insufficient", "too few rows to judge age: 12 of 200")
    found = said(rule("starved", when="insufficient"), few, rows=12)
    assert found.title == "starved on flights (version v7): age has too little data"
    assert found.findings == ("age: too few rows to judge age: 12 of 200",)
    assert ("Seen in", "window 1h, 2013-04-02 05:00 to 06:00 UTC, 12 rows") in found.facts


def test_too_little_data_without_a_sentence_of_its_own_gets_one() -> None:
    few = Finding("score", "ks", NAN, NAN, NAN, 0.05, "insufficient")
    assert said(rule(when="insufficient"), few).findings == ("score: too few rows to judge",)


def test_a_breached_bound_is_told_as_out_of_bounds() -> None:
    breach = replace(metric(0.7), status="breached", threshold=0.8)
    assert said(rule(when="breached"), breach).title.endswith("performance is out of bounds")


def test_one_drifted_feature_is_told_in_the_singular_and_two_by_both_names() -> None:
    assert said(rule(), DELAY).title == "feature drift on flights (version v7): dep_delay has drifted"
    assert said(rule(), DELAY, CARRIER).title.endswith(": dep_delay and carrier have drifted")


def test_a_model_without_versions_is_told_without_one() -> None:
    assert said(rule(), DELAY, version="-").title.startswith("feature drift on flights: ")


def test_an_alert_on_a_segment_says_which() -> None:
    facts = dict(said(rule(), DELAY, segment="origin=JFK").facts)
    assert facts["Seen in"] == "window 1h, 2013-04-02 05:00 to 06:00 UTC, 11,842 rows of segment origin=JFK"


def test_an_alert_that_was_pending_tells_since_when_it_is_true_and_not_since_when_it_fires() -> None:
    looks = [evaluation(DELAY, at=START + hour * HOUR) for hour in range(4)]
    told = notices([rule(hold_ms=3 * HOUR)], looks)["trigger"]
    facts = dict(words(told, None).facts)
    assert facts["Since"] == "2013-04-02 06:00 UTC"
    assert facts["Seen in"].startswith("window 1h, 2013-04-02 08:00 to 09:00 UTC")


def test_a_resolve_that_does_not_know_what_it_was_says_so() -> None:
    notice = resolve()
    evidence = replace(notice.transition.evidence, findings=())
    found = words(replace(notice, transition=replace(notice.transition, evidence=evidence)), None)
    assert dict(found.facts)["It was"].startswith("nothing in particular, last seen in")


def test_a_resolve_lists_no_findings_any_more() -> None:
    assert words(resolve(), None).findings == ()


# The findings


def test_the_three_worst_features_are_told_with_direction_and_the_others_counted() -> None:
    found = said(rule(), *DRIFTED, psi("feature:hour", 0.05, "drifted", "hour moved down"))
    assert len(found.findings) == 4
    assert [name in line for name, line in zip(("rose", "moved up", "rose"), found.findings, strict=False)] == [
        True
    ] * 3
    assert found.findings[3] == "and 2 more"


def test_a_feature_that_two_statistics_find_is_told_once_by_its_worse() -> None:
    again = Finding("feature:dep_delay", "ks", 0.1, 0.05, 0.15, 0.05, "drifted", "the shape changed")
    found = said(rule(), DELAY, again, CARRIER)
    assert [line.split()[0].strip(":") for line in found.findings] == ["dep_delay", "carrier"]
    assert "PSI 0.214" in found.findings[0]
    assert "the shape changed" not in found.text()
    assert found.title.endswith("dep_delay and carrier have drifted")


@pytest.mark.parametrize(
    ("lower", "upper", "told"),
    [
        (0.1, 0.3, "age: PSI 0.2, surely between 0.1 and 0.3; it matters from 0.02"),
        (0.1, NAN, "age: PSI 0.2, surely at least 0.1; it matters from 0.02"),
        (NAN, 0.3, "age: PSI 0.2, surely at most 0.3; it matters from 0.02"),
        (NAN, NAN, "age: PSI 0.2; it matters from 0.02"),
    ],
)
def test_how_sure_a_number_is_is_told_by_the_bounds_that_there_are(lower: float, upper: float, told: str) -> None:
    assert with_finding(Finding("feature:age", "psi", 0.2, lower, upper, 0.02, "drifted")) == told


def test_a_statistic_that_is_not_judged_tells_no_limit() -> None:
    finding = Finding("feature:age", "mean_shift", 0.2, NAN, NAN, NAN, "ok")
    assert with_finding(finding) == "age: mean shift 0.2"


def test_a_value_that_could_not_be_computed_is_unknown() -> None:
    assert with_finding(Finding("score", "ks", NAN, NAN, NAN, 0.05, "drifted")).startswith(
        "score: KS distance unknown;"
    )


def test_a_rules_own_limit_is_told_and_not_the_threshold_of_the_finding() -> None:
    finding = Finding("feature:age", "psi", 0.4, 0.35, 0.45, 0.02, "drifted", "age moved up")
    line = with_finding(finding, rule(when=None, metric="psi", above=0.3))
    assert line == "age moved up. PSI 0.4, surely between 0.35 and 0.45; the limit is 0.3"


# How the drift is shared out


def test_shares_are_of_what_is_proven_largest_first_and_three_at_most() -> None:
    # Lower bounds 0.35, 0.175, 0.0875, 0.0875.
    found = said(
        rule(),
        *(psi(f"feature:{name}", value, "drifted") for name, value in (("b", 0.2), ("a", 0.4), ("c", 0.1), ("d", 0.1))),
    )
    assert dict(found.facts)["Share of the proven drift"] == "a 50%, b 25%, c 12%"


def test_what_proves_no_drift_has_no_share_of_it() -> None:
    unproven = replace(CARRIER, lower=0.0)
    unknown = replace(CARRIER, subject="feature:x", lower=NAN)
    assert "Share of the proven drift" not in dict(said(rule(), DELAY, unproven, unknown, WIND).facts)


def test_a_rule_on_a_number_tells_no_shares() -> None:
    found = said(rule(when=None, metric="psi", above=0.05), DELAY, CARRIER)
    assert "Share of the proven drift" not in dict(found.facts)


# Links


def test_every_part_of_a_series_can_be_in_the_dashboards_address() -> None:
    notice = notices([rule(runbook="https://w/{model}")], [evaluation(DELAY, model="a/b?c", segment="x=y&z")])[
        "trigger"
    ]
    found = words(notice, "https://g/d?m={model}&v={version}&s={segment}&w={window}&o={other}")
    assert found.links == (
        ("Dashboard", "https://g/d?m=a%2Fb%3Fc&v=v7&s=x%3Dy%26z&w=1h&o={other}"),
        # A runbook is for a rule: nothing is put into it.
        ("Runbook", "https://w/{model}"),
    )


def test_without_addresses_there_are_no_links() -> None:
    assert words(trigger(), None).links == ()


def test_a_resolve_links_to_the_same_places() -> None:
    assert words(resolve(), "https://g/{model}").links == (("Dashboard", "https://g/flights"),)


# Times


@pytest.mark.parametrize(
    ("milliseconds", "plain", "exact"),
    [
        (0, "1970-01-01 00:00 UTC", "1970-01-01T00:00:00Z"),
        (START, "2013-04-02 06:00 UTC", "2013-04-02T06:00:00Z"),
        (START + 1, "2013-04-02 06:00 UTC", "2013-04-02T06:00:00.001Z"),
        (START + 59_999, "2013-04-02 06:00 UTC", "2013-04-02T06:00:59.999Z"),
        (1_709_164_800_000, "2024-02-29 00:00 UTC", "2024-02-29T00:00:00Z"),
        (-1, "1969-12-31 23:59 UTC", "1969-12-31T23:59:59.999Z"),
        (253_402_300_799_999, "9999-12-31 23:59 UTC", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_told_in_utc_whatever_the_zone_of_the_machine(
    milliseconds: int, plain: str, exact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    assert (utc(milliseconds), rfc3339(milliseconds)) == (plain, exact)


def test_a_date_is_told_once_unless_it_changes() -> None:
    assert _between(START, START + HOUR) == "2013-04-02 06:00 to 07:00 UTC"
    assert _between(START, START + DAY) == "2013-04-02 06:00 to 2013-04-03 06:00 UTC"


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [
        (-HOUR, "under a minute"), (0, "under a minute"), (MINUTE - 1, "under a minute"), (MINUTE, "1 min"),
        (HOUR - 1, "59 min"), (HOUR, "1 h"), (HOUR + MINUTE, "1 h 1 min"), (DAY, "1 d"), (DAY + MINUTE, "1 d 1 min"),
        (27 * HOUR + 5 * MINUTE, "1 d 3 h"), (400 * DAY, "400 d"),
    ],
)  # fmt: skip
def test_a_span_is_told_by_its_two_greatest_units(milliseconds: int, told: str) -> None:
    assert _span(milliseconds) == told


# Text from data


@pytest.mark.parametrize(
    ("text", "limit", "told"),
    [("", 3, ""), ("abc", 3, "abc"), ("abcd", 3, "ab…"), ("abcd", 1, "…")],
)
def test_what_is_cut_shows_it(text: str, limit: int, told: str) -> None:
    assert cut(text, limit) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("age", "age"), ("  a \t b\r\nc ", "a b c"), ("a\u2028b\u2029c\x85d", "a b c d"), ("a\u202eb\u2066c", "a b c"),
        ("a\ud800b", "a b"), ("a\x00\x1b[31mb", "a [31mb"), ("größe", "größe"), ("年齢", "年齢"), ("\n", ""),
    ],
)  # fmt: skip
def test_text_from_data_becomes_one_printable_line(text: str, told: str) -> None:
    assert tidy(text) == told


@given(st.text(alphabet=st.characters(), max_size=1_200))
def test_no_text_from_data_makes_a_second_line_or_a_long_one(text: str) -> None:
    found = tidy(text)
    assert len(found) <= 500
    assert len(found.splitlines()) <= 1
    assert found.isprintable()
    # Twice is the same: what was saved tidied may be tidied again.
    assert tidy(found) == found


@given(st.text(min_size=1, max_size=80))
def test_no_name_from_data_forges_a_line_of_an_alert(text: str) -> None:
    finding = Finding(f"feature:{text}", "psi", 0.4, 0.3, 0.5, 0.02, "drifted", f"{text} moved up")
    found = said(rule(), finding, model=text, version=text, segment=text)
    assert len(found.text().splitlines()) == 1 + len(found.facts) + 1


def test_the_short_line_of_a_change_is_the_title_of_its_alert() -> None:
    for notice in (trigger(), resolve()):
        assert summary(notice.transition, notice.rule) == words(notice, None).title


def test_a_notice_of_any_kind_has_a_title_and_facts() -> None:
    found: list[Notice] = [trigger(), resolve()]
    for notice in found:
        told = words(notice, None)
        assert told.title
        assert all(label and fact for label, fact in told.facts)
