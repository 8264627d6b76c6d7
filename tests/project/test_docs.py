"""The documentation is true: its links lead somewhere, its commands exist, its configuration runs."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detectors.layout import MISSING
from monitor.checks.load import parse_config
from monitor.decode.readers import ModelReader
from monitor.decode.topics import TopicDecoder
from monitor.reference.build import load_reference
from monitor.reference.by_version import single
from monitor.rows.records import Messages, Partition
from tests.support.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md"),
                *(ROOT / "tests" / "data").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")])  # fmt: skip


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        name, _, fragment = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), flags=re.MULTILINE)
            assert fragment in {anchor(heading) for heading in headings}, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_make_targets_and_files_that_pages_name_exist(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, flags=re.MULTILINE):
        assert target in targets, target
    for path in re.findall(r"`((?:monitor|detectors|alerts|dashboards|tests|deploy|benchmarks)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_tests_that_pages_name_exist(page: Path) -> None:
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text()):
        tree = ast.parse((ROOT / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def test_every_fault_has_one_row_with_a_test() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    rows = re.findall(r"^\| (\d+) \|(.*)\|$", page, flags=re.MULTILINE)
    assert sorted(int(number) for number, _ in rows) == list(range(1, 28))
    for number, cells in rows:
        assert re.search(r"`tests/[\w/]+\.py::test_\w+`", cells.rpartition(" | ")[2]), number


def test_what_the_table_of_faults_says_is_seen_exists() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    metrics, rules = (ROOT / "docs" / "metrics.md").read_text(), (ROOT / "docs" / "runbook.md").read_text()
    code = "".join(path.read_text() for package in ("monitor", "alerts") for path in (ROOT / package).rglob("*.py"))
    for metric in re.findall(r"`(leeway_\w+)", page):
        assert f"`{metric}`" in metrics, metric
    for alert in re.findall(r"\bLeewayd[A-Z]\w+", page):
        assert f"## {alert}\n" in rules, alert
    for event in re.findall(r"\*([a-z ]+)\*", page):
        # Of a notification the code names what became of it.
        assert f'"{event.removeprefix("notification ")}"' in code, event


def test_ci_runs_what_the_readme_tells() -> None:
    told = (ROOT / "README.md").read_text()
    for line in (ROOT / ".ci" / "run").read_text().splitlines():
        if line.startswith(("make demo", "make test")):
            assert line.split()[1].removesuffix("-all") in told


def test_the_first_configuration_of_the_readme_reads_the_message_of_the_readme(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    (message,) = re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)
    (toml,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    dice = np.random.default_rng(1)
    pd.DataFrame(
        {
            "age": dice.integers(18, 90, 500),
            "city": dice.choice(["Lyon", "Nice"], 500),
            "income": dice.normal(30_000, 5_000, 500),
            "class": dice.integers(0, 2, 500),
            "p": dice.random(500),
            "label": dice.integers(0, 2, 500),
        }
    ).to_parquet(tmp_path / "train.parquet")
    config = parse_config(tomllib.loads(toml), tmp_path)
    profile = load_reference(config.models[0])
    assert set(profile.layout.subjects) == {"feature:age", "feature:city", "feature:income", "prediction", "score"}
    router = TopicDecoder(
        [ModelReader(config.models[0], single(profile), with_ids=False)], config.ingest, keep_rejected=False
    )
    value = json.dumps(json.loads(message)).encode()
    decoded = router.decode(Messages(Partition("predictions", 0), np.array([0]), [value]), 1_900_000_000_000)
    assert decoded.rejects == {}
    assert MISSING not in decoded.models[0].codes
    assert decoded.models[0].versions.tolist() == ["7"]
