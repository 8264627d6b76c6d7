"""Tests stand alone: what two of them need is in `tests.support`, and none reaches into what it tests."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted((ROOT / "tests").rglob("*.py"))}


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, and every name that may be one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_test(module: str) -> bool:
    return module.startswith("tests.") and module.rpartition(".")[2].startswith(("test_", "conftest"))


def test_no_module_imports_a_test_module() -> None:
    found = {name: [module for module in imports(tree) if is_test(module)] for name, tree in TESTS.items()}
    assert {name: modules for name, modules in found.items() if modules} == {}


def test_what_is_installed_imports_no_test() -> None:
    for package in ("alerts", "detectors", "monitor"):
        for path in (ROOT / package).rglob("*.py"):
            found = set(imports(ast.parse(path.read_text())))
            assert not {module for module in found if module.partition(".")[0] == "tests"}, path


def privates(tree: ast.AST) -> Iterator[str]:
    """Private attributes that are asked of anything but the object itself."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
        ):
            yield ast.unparse(node)


def test_no_test_asks_for_a_private_attribute() -> None:
    # Recipes of fixtures run on other libraries and on old versions of this one.
    asked = {name: list(privates(tree)) for name, tree in TESTS.items() if "/make" not in name}
    assert {name: attributes for name, attributes in asked.items() if attributes} == {}
