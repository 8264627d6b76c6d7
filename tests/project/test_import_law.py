"""Who may import whom: read off the syntax trees, so that a breach fails before anything runs."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGES = ("monitor", "detectors", "alerts", "dashboards")
ROOMS = (
    {"common"},
    {"receivers"},
    {"config"},
    {"rows"},
    {"windows", "sources"},
    {"reference"},
    {"decode", "labels"},
    {"evaluate", "alerting", "state", "serve"},
    {"checks"},
    {"daemon"},
    {"backtest"},
    {"cli"},
)
"""The packages of the daemon, lowest first. Each may import those above it in this list, and neither its neighbours on
the same line nor anything below; imports for type checkers count."""
# Each outside thing is known to one module, so that it can be replaced in one place.
SOLE_IMPORTERS = {
    "kafka": "monitor/sources/kafka_client.py",
    "prometheus_client": "monitor/serve/metrics.py",
    "sqlite3": "monitor/state/store.py",
    "urllib3": "alerts/http.py",
    "pandas": "monitor/reference/tables.py",
    "structlog": "monitor/common/logs.py",
}
FORBIDDEN = {
    "detectors": {"monitor", "alerts", "dashboards"},
    "alerts": {"monitor", "detectors", "dashboards"},
    "monitor": {"dashboards"},
    "dashboards": {"monitor", "detectors", "alerts"},
}
# Pure numpy and scipy: no clock, no input or output, no log, no configuration.
DETECTORS_MAY = {
    "__future__", "collections", "dataclasses", "functools", "itertools", "math", "re", "types", "typing", "numpy",
    "scipy", "detectors",
}  # fmt: skip


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@cache
def imports(path: Path, *, typing_only: bool = True) -> set[str]:
    """Names of the modules that a file imports, and of what it takes from them; without those under
    ``if TYPE_CHECKING`` if so asked."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and not typing_only and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def top(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_one_way(package: str) -> None:
    for path in sources(package):
        assert not top(imports(path)) & {"tests", "benchmarks"}, path
        assert not top(imports(path)) & FORBIDDEN[package], path


def test_detectors_are_pure() -> None:
    for path in sources("detectors"):
        assert top(imports(path)) <= DETECTORS_MAY, path


@pytest.mark.parametrize(("library", "owner"), SOLE_IMPORTERS.items())
def test_each_library_has_one_importer(library: str, owner: str) -> None:
    importers = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in sources(package)
        if library in top(imports(path, typing_only=False))
    }
    assert importers == {owner}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_rooms_import_one_way() -> None:
    rank = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
    assert {path.name for path in (ROOT / "monitor").iterdir() if (path / "__init__.py").exists()} == rank.keys()
    breaches = []
    for path in sources("monitor"):
        own = path.relative_to(ROOT / "monitor").parts[0]
        for name in imports(path) if own in rank else ():
            room = name.split(".")[1] if name.startswith("monitor.") else own
            if room in rank and room != own and rank[room] >= rank[own]:
                breaches.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not breaches, "\n".join(breaches)


def test_no_module_imports_in_a_circle() -> None:
    """Imports for type checkers count: a circle of types is a circle for whoever reads."""
    graph = {module_name(path): imports(path) for package in PACKAGES for path in sources(package)}
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name in done:
            return
        for wanted in sorted(graph[name] & graph.keys() - {name}):  # a package names its own submodules
            walk(wanted, (*trail, name))
        done.add(name)

    for name in graph:
        walk(name, ())


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_are_short_enough_to_be_read(package: str) -> None:
    for path in sources(package):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path
