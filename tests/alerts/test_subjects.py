"""The list of subjects: its words never raise, and rules, metrics and messages agree with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.subjects import (
    BREACHABLE,
    EACH,
    ONLY_BY_NAME,
    REALISED,
    SUBJECTS,
    UNKNOWN,
    Metric,
    is_known,
    subject_named,
    title_of,
    words_of_metric,
    words_of_statistic,
    words_of_subject,
)


@pytest.mark.parametrize(
    ("subject", "statistic", "words"),
    [
        ("feature:age", "psi", "age"),
        ("feature:{metric}", "psi", "{metric}"),
        ("feature:a:b", "psi", "a:b"),
        ("score:yes", "ks", "score:yes"),
        ("performance", "roc_auc", "ROC AUC"),
        ("performance", "precision:3", "precision of class 3"),
        ("estimated_performance", "f1_macro", "estimated F1 macro"),
        ("version", "mae", "MAE compared with the champion"),
        ("segments", "accuracy", "number of segments with significantly worse accuracy"),
        ("fairness:SEX", "disparate_impact_ratio", "disparate impact ratio by SEX"),
        ("quality:age", "missing_rate", "quality of age"),
        ("quality", "rejected", "records"),
        ("quality", "traffic_ratio", "traffic"),
        ("embedding:text", "mmd", "embedding text"),
        ("never heard of", "it", "never heard of"),
    ],
)
def test_a_finding_is_named_in_words(subject: str, statistic: str, words: str) -> None:
    assert words_of_subject(subject, statistic) == words


def test_statistics_and_metrics_are_named_in_words() -> None:
    assert words_of_statistic("cusum:yes") == "cumulative sum of small changes of yes"
    assert words_of_statistic("mean_shift") == "mean shift"
    assert words_of_metric("pinball_0.5") == "pinball loss 0.5"
    assert words_of_metric("accuracy") == "accuracy"


def test_reports_name_subjects_without_their_kind() -> None:
    named = {"feature:quality:x": "quality:x", "quality:age": "age", "quality": "quality", "fairness:S": "fairness:S"}
    assert {subject: title_of(subject) for subject in named} == named
    assert title_of("multivariate") == "all features together"


@given(st.text(), st.text())
def test_no_name_whatever_raises(subject: str, statistic: str) -> None:
    assert isinstance(words_of_subject(subject, statistic), str)
    assert isinstance(words_of_statistic(statistic), str)
    assert isinstance(title_of(subject), str)
    assert is_known(subject, statistic) in (True, False)


def test_what_is_not_listed_is_drift_and_known_to_be_unknown() -> None:
    for subject in ("weather", "weather:rain", "performance:x", "feature"):
        assert subject_named(subject) is UNKNOWN
        assert not is_known(subject, "psi")
    assert not is_known("quality", "psi")
    assert not is_known("feature:age", "psi:yes")
    assert is_known("feature:age", "adwin:yes")


def test_kinds_follow_from_the_list() -> None:
    assert {"performance", "version", "segments", "fairness", "labels"} == REALISED
    assert REALISED | {"estimated_performance", "quality"} == BREACHABLE
    assert {"estimated_performance", "version", "segments"} == ONLY_BY_NAME
    assert (REALISED | {"estimated_performance"}) - {"labels"} == EACH


def test_entries_agree_with_themselves() -> None:
    assert len({subject.name for subject in SUBJECTS}) == len(SUBJECTS)
    for subject in SUBJECTS:
        assert subject.statistics or subject.metrics_of_task, subject.name
        # A family is of one kind, whatever stands after its colon: rules look at no more than the family.
        for other in SUBJECTS:
            if other.family == subject.family:
                assert (other.bad, other.realised, other.by_name) == (subject.bad, subject.realised, subject.by_name)
        if isinstance(subject.shown, Metric):
            assert len(subject.shown.labels) == 1 + subject.name.endswith(":"), subject.name
        elif not subject.own:
            assert (subject.shown == "drift") == (subject.bad == "drifted"), subject.name
