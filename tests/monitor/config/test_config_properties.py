"""What `check` accepts runs: random configurations, with odd references, on a short log with labels."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pytest

from alerts.subjects import is_known
from monitor.backtest.report import render_report
from monitor.checks.finding_names import FAMILIES, SUBJECTS, metrics_of_classes, statistic_names
from monitor.checks.preflight import check
from monitor.common.errors import ConfigError
from tests.support.logs import SILENT
from tests.support.random_configs import draw
from tests.support.replays import run_files

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.config.model import ModelSection


def outcome(seed: int, folder: Path) -> str:
    """``refused``, or ``ran``; any error but a refusal by `check` is raised."""
    case = draw(seed, folder)
    try:
        config = check(folder / "leewayd.toml", {}, SILENT).config
    except ConfigError as error:
        _is_told_well(error, folder)
        return "refused"
    labels = [folder / "labels.jsonl"] if case.labels else []
    history, lines = run_files(config, [folder / "log.jsonl"], labels)
    render_report(history, "leewayd.toml", ["log.jsonl"])
    _names_are_known(config.models[0], [json.loads(line) for line in lines])
    return "ran"


def _is_told_well(error: ConfigError, folder: Path) -> None:
    assert error.problems
    for problem in error.problems:
        assert problem.startswith(str(folder / "leewayd.toml")), problem
        assert "\n" not in problem


def _names_are_known(model: ModelSection, lines: list[dict[str, object]]) -> None:
    """Rules are checked against lists of names, which must hold every name that a finding carries."""
    statistics = {*statistic_names(model), *metrics_of_classes(model)}
    found = {
        (str(part["subject"]), str(part["statistic"]))
        for line in lines
        if line["type"] == "evaluation"
        for part in line["findings"]  # type: ignore[attr-defined]
    }
    for subject, statistic in found:
        assert is_known(subject, statistic), (subject, statistic)
        assert subject in SUBJECTS or any(fnmatchcase(subject, f"{family}:*") for family in FAMILIES), subject
        assert statistic in statistics or statistic.partition(":")[0] in statistics, statistic


@pytest.mark.parametrize("seed", range(40))
def test_a_configuration_that_check_accepts_runs(seed: int, tmp_path: Path) -> None:
    outcome(seed, tmp_path)


@pytest.mark.slow  # some minutes
@pytest.mark.parametrize("seed", range(40, 1_000))
def test_many_configurations_that_check_accepts_run(seed: int, tmp_path: Path) -> None:
    outcome(seed, tmp_path)
