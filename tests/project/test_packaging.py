"""What is installed: these packages, under names that nobody else owns."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from importlib.metadata import packages_distributions

from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages() -> set[str]:
    return {".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("[a-z]*/**/__init__.py")}


def installed() -> set[str]:
    wanted = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    return {name for name in packages() if any(fnmatch(name, pattern) for pattern in wanted)}


def test_every_package_is_installed_and_no_other() -> None:
    found = {name for name in packages() if name.split(".")[0] in ("monitor", "detectors", "alerts")}
    assert installed() == found


def test_packages_are_typed() -> None:
    for name in ("monitor", "detectors", "alerts"):
        assert (ROOT / name / "py.typed").exists()
        assert PROJECT["tool"]["setuptools"]["package-data"][name] == ["py.typed"]


def test_no_other_distribution_owns_the_import_names() -> None:
    owners = packages_distributions()
    for name in ("monitor", "detectors", "alerts"):
        assert set(owners.get(name, ["leewayd"])) == {"leewayd"}


def test_locks_hold_every_dependency_with_hashes_and_no_foreign_index() -> None:
    for file, wanted in (
        ("requirements.lock", PROJECT["project"]["dependencies"]),
        ("requirements-dev.lock", PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]),
    ):
        text = (ROOT / file).read_text()
        pinned = {line.partition("==")[0] for line in text.splitlines() if "==" in line and line[0].isalpha()}
        for requirement in wanted:
            name = requirement.partition(">")[0].partition("=")[0].lower()
            assert name in pinned, (file, name)
        assert "http" not in text
        assert "--hash=sha256:" in text


def test_the_wheel_would_not_hold_tests_or_dashboards() -> None:
    assert not {"tests", "dashboards", "benchmarks"} & installed()
