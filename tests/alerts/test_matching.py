"""Which findings a rule looks at, and what it learns from them."""

from __future__ import annotations

import math

import pytest

from alerts.evaluation import Finding
from alerts.matching import covers, look
from alerts.rules import Rule
from alerts.subjects import SUBJECTS

NAN = math.nan
DRIFT = Rule("d", when="drifted")


def finding(subject: str, status: str = "drifted", lower: float = 0.1, threshold: float = 0.02) -> Finding:
    return Finding(subject, "psi", lower, lower, NAN, threshold, status)  # type: ignore[arg-type]


@pytest.mark.parametrize("subject", [subject for subject in SUBJECTS if not subject.own], ids=lambda found: found.name)
def test_a_rule_for_everything_covers_a_subject_by_what_the_list_says_of_it(subject: object) -> None:
    name, bad, realised = subject.name + "x" * subject.name.endswith(":"), subject.bad, subject.realised  # type: ignore[attr-defined]
    for when in ("drifted", "breached"):
        for late in (False, True):
            wanted = when == (bad or "drifted") and late == realised and subject.name != "estimated_performance"  # type: ignore[attr-defined]
            assert covers(Rule("r", when=when), name, "it", realised=late) == wanted, (when, late)


def test_what_matches_comes_worst_first() -> None:
    found = [finding("feature:a", lower=0.1), finding("feature:b", lower=0.4), finding("feature:c", "ok")]
    view = look(DRIFT, found, frozenset(), firing=False, realised=False)
    assert view is not None
    assert [part.subject for part in view.matched] == ["feature:b", "feature:a"]


def test_nothing_is_learned_from_too_little_data() -> None:
    few = [finding("feature:a", "insufficient")]
    assert look(DRIFT, few, frozenset(), firing=False, realised=False) is None
    assert look(DRIFT, few, frozenset({("feature:a", "psi")}), firing=True, realised=False) is None


def test_what_had_matched_and_is_silent_now_is_unseen() -> None:
    found = [finding("feature:a", "insufficient"), finding("feature:b")]
    view = look(DRIFT, found, frozenset({("feature:a", "psi")}), firing=True, realised=False)
    assert view is not None
    assert view.unseen == {("feature:a", "psi")}


def test_what_is_shown_without_a_threshold_is_not_looked_at() -> None:
    assert look(DRIFT, [finding("feature:a", threshold=NAN)], frozenset(), firing=False, realised=False) is None
