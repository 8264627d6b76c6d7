"""The words of an alert, as the person who is paged reads them; the usual ones are in `test_contract` of receivers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from alerts.evaluation import Finding
from alerts.messages import AlertText, _between, _span, cut, summary, tidy, words
from alerts.moments import rfc3339, utc
from alerts.policy import Notice
from alerts.rules import Rule
from tests.support.alerts import (
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
    transitions,
    trigger,
)


def said(told: Rule, *findings: Finding, **of: object) -> AlertText:
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
    assert said(told, metric(0.741), rows=2_304, labelled_rows=2_300).text().splitlines() == [
        "number on flights (version v7): ROC AUC is 0.741, below 0.8",
        "Severity: error",
        "Since: 2013-04-02 06:00 UTC",
        "Seen in: window 1h, 2013-04-02 05:00 to 06:00 UTC, 2,300 of 2,304 predictions labelled",
        "Judged: 2013-04-02 06:00 UTC, under a minute after the window's end, with the labels received by then",
        "- ROC AUC 0.741, confidence interval 0.729 to 0.753, threshold 0.8",
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


def test_a_breached_bound_is_told_with_its_limit_where_no_reference_is_known() -> None:
    breach = structs.replace(metric(0.7), status="breached", threshold=0.8)
    assert said(rule(when="breached"), breach).title.endswith(": ROC AUC is 0.7, below 0.8")


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
        (0.1, 0.3, "age: PSI 0.2, confidence interval 0.1 to 0.3, threshold 0.02"),
        (0.1, NAN, "age: PSI 0.2, lower confidence bound 0.1, threshold 0.02"),
        (NAN, 0.3, "age: PSI 0.2, upper confidence bound 0.3, threshold 0.02"),
        (NAN, NAN, "age: PSI 0.2, threshold 0.02"),
    ],
)
def test_how_sure_a_number_is_is_told_by_the_bounds_that_there_are(lower: float, upper: float, told: str) -> None:
    assert with_finding(Finding("feature:age", "psi", 0.2, lower, upper, 0.02, "drifted")) == told


def test_a_statistic_that_is_not_judged_tells_no_limit() -> None:
    finding = Finding("feature:age", "mean_shift", 0.2, NAN, NAN, NAN, "ok")
    assert with_finding(finding) == "age: mean shift 0.2"


def test_a_value_that_could_not_be_computed_is_unknown() -> None:
    assert with_finding(Finding("score", "ks", NAN, NAN, NAN, 0.05, "drifted")).startswith(
        "score: KS distance unknown,"
    )


def test_a_rules_own_limit_is_told_and_not_the_threshold_of_the_finding() -> None:
    finding = Finding("feature:age", "psi", 0.4, 0.35, 0.45, 0.02, "drifted", "age moved up")
    line = with_finding(finding, rule(when=None, metric="psi", above=0.3))
    assert line == "age moved up. PSI 0.4, confidence interval 0.35 to 0.45, threshold 0.3"


# Performance


def told(finding: Finding, of: Rule | None = None, **where: object) -> tuple[str, str]:
    """Title without the name of rule and model, and the line of the finding."""
    found = said(of or rule("r", when="breached"), finding, **where)
    return found.title.partition(": ")[2], found.findings[0]


FALLEN = Finding(
    "performance", "accuracy", 0.741, 0.730, 0.752, 0.786, "breached",
    "accuracy fell to 0.741; it was 0.827 on the reference", reference=0.827,
)  # fmt: skip


def test_an_alert_on_realised_performance_says_of_which_predictions_and_how_many_have_labels() -> None:
    late = evaluation(FALLEN, rows=22_000, labelled_rows=21_930, window="28d", segment="SEX=1")
    late = replace(late, start=START - 63 * DAY, end=START - 35 * DAY)
    notice = notices([rule("performance", when="breached", severity="error")], [late])["trigger"]
    assert words(notice, None).text().splitlines() == [
        "performance on flights (version v7): accuracy fell to 0.741 from 0.827 on the reference",
        "Severity: error",
        "Since: 2013-04-02 06:00 UTC",
        (
            "Seen in: window 28d, 2013-01-29 06:00 to 2013-02-26 06:00 UTC, "
            "21,930 of 22,000 predictions of segment SEX=1 labelled"
        ),
        "Judged: 2013-04-02 06:00 UTC, 35 d after the window's end, with the labels received by then",
        "- accuracy 0.741, confidence interval 0.73 to 0.752 (0.827 on the reference), threshold 0.786",
    ]


def test_every_metric_of_performance_is_told_and_the_others_counted_in_the_title() -> None:
    auc = structs.replace(
        FALLEN, statistic="roc_auc", value=0.8, lower=0.79, upper=0.81, threshold=0.858, reference=0.903
    )
    found = said(rule("r", when="breached"), FALLEN, auc)
    assert found.title.endswith(": ROC AUC fell to 0.8 from 0.903 on the reference; and 1 more")
    assert [line.split(" 0.")[0] for line in found.findings] == ["ROC AUC", "accuracy"]


def test_a_metric_that_must_not_rise_rises() -> None:
    loss = Finding("performance", "log_loss", 0.6, 0.55, 0.65, 0.5, "breached", reference=0.4)
    assert told(loss)[0] == "log loss rose to 0.6 from 0.4 on the reference"


def test_estimated_performance_is_told_as_such_and_with_all_rows() -> None:
    estimate = structs.replace(FALLEN, subject="estimated_performance", statistic="roc_auc")
    title, line = told(estimate, rule("r", when="breached", estimated=True))
    assert title == "estimated ROC AUC fell to 0.741 from 0.827 on the reference"
    assert line.startswith("estimated ROC AUC (without labels) 0.741, confidence interval 0.73 to 0.752 (0.827 on")
    facts = dict(said(rule("r", when="breached", estimated=True), estimate).facts)
    assert facts["Seen in"].endswith("11,842 rows")
    assert "Judged" not in facts


@pytest.mark.parametrize(("version", "own"), [("4", " of version 4"), ("-", "")])
def test_a_worse_version_is_told_beside_the_champion(version: str, own: str) -> None:
    detail = "roc_auc is 0.031 worse than that of version 3 in this window"
    worse = Finding("version", "roc_auc", -0.031, -0.045, -0.017, 0.0, "breached", detail)
    title, line = told(worse, version=version)
    assert title == f"ROC AUC{own} is 0.031 worse than that of version 3 in this window"
    assert line == f"{title} (confidence interval 0.017 to 0.045)"
    loss = structs.replace(
        worse, statistic="mae", value=0.2, lower=0.1, upper=0.3, detail=detail.replace("roc_auc", "mae")
    )
    assert told(loss)[1].endswith("(confidence interval 0.1 to 0.3)")


def test_fairness_names_the_column_and_the_groups() -> None:
    unfair = Finding(
        "fairness:SEX", "demographic_parity_difference", 0.3, 0.25, 0.35, 0.2, "breached",
        "lowest for SEX=1, highest for SEX=2",
    )  # fmt: skip
    title, line = told(unfair)
    assert title == "demographic parity difference by SEX is 0.3, above 0.2"
    assert line == (
        "demographic parity difference by SEX 0.3, confidence interval 0.25 to 0.35, threshold 0.2; "
        "lowest for SEX=1, highest for SEX=2"
    )


def test_segments_that_are_worse_are_named() -> None:
    detail = "significantly worse than all rows (0.83): SEX=1 0.79 on 1,000 rows"
    title, line = told(
        Finding("segments", "accuracy", 1.0, NAN, NAN, NAN, "ok", detail),
        metric_rule("accuracy", above=0, subject="segments"),
    )
    assert title == "number of segments with significantly worse accuracy is 1, above 0"
    assert line == f"accuracy is {detail}; threshold 0"


@pytest.mark.parametrize(
    ("finding", "title", "line"),
    [
        (
            Finding("quality:age", "invalid_rate", 0.1, 0.08, 0.12, 0.01, "breached", "age: 10% of values are wrong"),
            "age: 10% of values are wrong",
            (
                "age: 10% of values are wrong. Share of values of the wrong type 0.1, "
                "confidence interval 0.08 to 0.12, threshold 0.01"
            ),
        ),
        (
            Finding("quality", "traffic_ratio", 0.2, 0.1, 0.3, 1.0, "breached"),
            "traffic is out of bounds",
            "traffic: traffic relative to the usual 0.2, confidence interval 0.1 to 0.3, threshold 1",
        ),
        (
            Finding("multivariate", "pca_reconstruction", 0.2, 0.1, 0.3, 0.02, "drifted", "rows lie farther out"),
            "the features' joint distribution has drifted",
            "rows lie farther out. Reconstruction error 0.2, confidence interval 0.1 to 0.3, threshold 0.02",
        ),
        (
            Finding("embedding:text", "mmd", 0.2, 0.1, 0.3, 0.02, "drifted"),
            "embedding text has drifted",
            "embedding text: kernel distance 0.2, confidence interval 0.1 to 0.3, threshold 0.02",
        ),
        (
            Finding("score", "cusum:a_b", 25.0, 25.0, NAN, 20.0, "drifted", "score: the share of 'a_b' has risen"),
            "score has drifted",
            (
                "score: the share of 'a_b' has risen. Cumulative sum of small changes of a_b 25, "
                "lower confidence bound 25, threshold 20"
            ),
        ),
    ],
)
def test_other_findings_are_told_by_their_own_sentence(finding: Finding, title: str, line: str) -> None:
    assert told(finding, rule("r", when=finding.status)) == (title, line)


@pytest.mark.parametrize(
    ("limits", "title", "limit"),
    [
        ({"below": 0.8}, "accuracy is 0.741 (0.827 on the reference), below 0.8", " 0.8"),
        ({"below": 0.8, "sure": True}, "accuracy is 0.741 (0.827 on the reference), significantly below 0.8", " 0.8"),
        (
            {"change_from_reference": -0.05},
            "accuracy is 0.741 (0.827 on the reference), a fall by 0.05 or more",
            ": a fall by 0.05",
        ),
    ],
)
def test_a_rule_on_a_metric_tells_its_limit_and_the_reference(limits: dict[str, float], title: str, limit: str) -> None:
    found = told(FALLEN, metric_rule("accuracy", **limits))
    assert found[0] == title
    assert found[1].endswith(f"(0.827 on the reference), threshold{limit}")


def test_a_number_just_beyond_its_limit_is_told_with_the_digits_that_show_it() -> None:
    assert told(metric(0.9198), metric_rule(below=0.92))[0] == "ROC AUC is 0.9198, below 0.92"


@pytest.mark.parametrize(
    ("name", "human"),
    [
        ("roc_auc", "ROC AUC"), ("roc_auc_ovr_macro", "ROC AUC ovr macro"), ("precision:3", "precision of class 3"),
        ("f1_macro", "F1 macro"), ("f1:a_b", "F1 of class a_b"), ("log_loss", "log loss"), ("mae", "MAE"),
        ("pinball_0.1", "pinball loss 0.1"), ("mape", "MAPE"), ("map", "MAP"),
        ("balanced_accuracy", "balanced accuracy"),
        ("label_share", "share of predictions that have a label"),
    ],
)  # fmt: skip
def test_metrics_have_human_names(name: str, human: str) -> None:
    assert told(metric(0.7, name), metric_rule(name, below=0.8))[0] == f"{human} is 0.7, below 0.8"


def test_great_numbers_are_told_in_full() -> None:
    assert told(metric(12_345.6, "mse"), metric_rule("mse", above=9_000))[0] == "MSE is 12,346, above 9,000"


# How the drift is shared out


def test_shares_are_of_what_is_proven_largest_first_and_three_at_most() -> None:
    # Lower bounds 0.35, 0.175, 0.0875, 0.0875.
    found = said(
        rule(),
        *(psi(f"feature:{name}", value, "drifted") for name, value in (("b", 0.2), ("a", 0.4), ("c", 0.1), ("d", 0.1))),
    )
    assert dict(found.facts)["Share of the proven drift"] == "a 50%, b 25%, c 12%"


def test_what_proves_no_drift_has_no_share_of_it() -> None:
    unproven = structs.replace(CARRIER, lower=0.0)
    unknown = structs.replace(CARRIER, subject="feature:x", lower=NAN)
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


def test_the_true_number_of_subjects_is_told_however_few_are_kept() -> None:
    found = [psi(f"feature:f{place}", 0.1 + place / 1000, "drifted") for place in range(60)]
    found += [structs.replace(one, statistic="ks") for one in found]
    (change,) = transitions([rule()], [evaluation(*found)])
    assert len(change.evidence.findings) == 50
    assert (change.evidence.matched, change.evidence.subjects) == (120, 60)
    assert summary(change, rule()).endswith("f59 and 59 more have drifted")
    notice = notices([rule()], [evaluation(*found)])["trigger"]
    assert words(notice, None).findings[-1] == "and 57 more"
    # Evidence that an older version saved does not know the number.
    older = replace(change, evidence=replace(change.evidence, subjects=0))
    assert "more have drifted" in summary(older, rule())
