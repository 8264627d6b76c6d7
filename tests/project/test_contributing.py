"""The walks of CONTRIBUTING.md are complete: they name the files and lists that the code has, and no others."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
# Heading of a walk → the module with the one line to add, and the list that it is added to.
WALKS = {
    "Add a receiver": ("monitor/receivers/registry.py", "RECEIVERS"),
    "Add a finding": ("alerts/subjects.py", "SUBJECTS"),
}


def walk(heading: str) -> str:
    """The text under a heading."""
    (found,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXT, flags=re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize("heading", WALKS)
def test_a_walk_names_the_file_and_the_line(heading: str) -> None:
    path, name = WALKS[heading]
    assert f"`{path}`" in walk(heading)
    assert f"`{name}`" in walk(heading)
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    assert getattr(module, name)


@pytest.mark.parametrize("heading", WALKS)
def test_every_name_in_a_walk_exists(heading: str) -> None:
    paths = re.findall(r"`((?:monitor|alerts|tests|docs|detectors)/[\w./-]+|[\w.]+\.toml)`", walk(heading))
    assert len(paths) >= 4
    for path in paths:
        assert (ROOT / path).exists(), path
    code = "".join((ROOT / path).read_text() for path in paths if path.endswith(".py"))
    for name in re.findall(r"`([A-Za-z_]+)`", walk(heading)):
        assert name == "OPTION_file" or re.search(rf"\b{name}\b", code), name


def test_no_module_outside_its_package_names_a_receiver() -> None:
    kinds = {"slack", "pagerduty", "webhook"}
    outside = [path for path in (ROOT / "monitor").rglob("*.py") if path.parent.name != "receivers"]
    for path in sorted([*outside, *(ROOT / "alerts").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant):
                assert node.value not in kinds, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").rpartition(".")[2] not in kinds, path
