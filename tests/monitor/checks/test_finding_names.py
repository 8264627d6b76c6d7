"""No finding is produced that `alerts.subjects` does not list, and it lists what the detectors compute."""

from __future__ import annotations

import ast
import importlib
from dataclasses import replace
from types import ModuleType

import pytest

from alerts.evaluation import Finding
from alerts.subjects import SUBJECTS, UNKNOWN, is_known, subject_named
from detectors.drift import judge
from detectors.drift.optional_statistics import OPTIONAL
from detectors.joint import judge as multivariate_judge
from detectors.performance.fairness import MEASURES
from detectors.quality import rates as quality
from monitor.alerting.alerting import Alerting
from monitor.alerting.receivers import AlertingSetup
from tests.support.paths import ROOT
from tests.support.snapshots import evaluation

STATISTICS = {subject.name: subject.statistics for subject in SUBJECTS}


def made() -> list[tuple[str, str, str | None]]:
    """File and line of every finding that the daemon's code makes, its subject, and its statistic if that is fixed."""
    found = []
    for path in sorted((ROOT / "monitor").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"]
        if not calls:
            continue
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for call in calls:
            subject, statistic = (text(part, module) for part in call.args[:2])
            if subject is not None:
                found.append((f"{path.relative_to(ROOT)}:{call.lineno}", subject, statistic))
    return found


def text(node: ast.expr, module: ModuleType) -> str | None:
    """The value of a constant or of a module's name; of a text with fields, these as ``x``; None if it is not known."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values)  # type: ignore[misc]
    if isinstance(node, ast.Constant):
        return str(node.value)
    known = getattr(module, node.id, None) if isinstance(node, ast.Name) else None
    return known if isinstance(known, str) else None


MADE = made()


@pytest.mark.parametrize(("place", "subject", "statistic"), MADE, ids=[line for line, *_ in MADE])
def test_every_finding_in_the_code_is_listed(place: str, subject: str, statistic: str | None) -> None:
    assert subject_named(subject) is not UNKNOWN, place
    assert statistic is None or is_known(subject, statistic), place


def test_the_search_for_findings_finds_them() -> None:
    assert {subject for _, subject, _ in MADE} >= {"quality", "labels", "version", "segments", "fairness:x"}
    assert len(MADE) >= 12


def test_what_the_detectors_compute_is_listed() -> None:
    assert set(judge.STATISTICS) | set(OPTIONAL) <= set(STATISTICS["feature:"])
    assert {name for name, number in STATISTICS["feature:"].items() if number.optional} == set(OPTIONAL)
    assert set(multivariate_judge.STATISTICS) == set(STATISTICS["multivariate"]) == set(STATISTICS["embedding:"])
    assert set(quality.STATISTICS) == set(STATISTICS["quality:"])
    assert set(MEASURES) == set(STATISTICS["fairness:"])


def test_an_unknown_finding_is_logged_once_and_stops_nothing() -> None:
    events: list[tuple[str, str]] = []

    class Log:
        def error(self, event: str, **fields: str) -> None:
            events.append((event, fields["statistic"]))

    alerting = Alerting(AlertingSetup({}, {}, {}, None), None, Log(), lambda: 0.0)  # type: ignore[arg-type]
    nan = float("nan")
    unknown = Finding("weather", "rain", 1.0, nan, nan, 0.5, "drifted")
    judged = replace(evaluation(), findings=(*evaluation().findings, unknown))
    for _ in range(3):
        alerting.observe(judged, 0)
    assert events == [("unknown finding", "rain")]
