"""What all tests share: the real servers, and which tests run at all."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.servers.found import missing_for_kafka, missing_for_prometheus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.kafka import KafkaBroker

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

# A file that imports one of these starts processes, or runs the whole pipeline.
_MEANS = {
    "process": ("tests.support.process", "tests.support.daemon_process", "tests.servers."),
    "pipeline": tuple(
        f"tests.support.{name}"
        for name in ("crashes", "daemons", "file_logs", "machine", "random_configs", "replays", "state_runs")
    ),
}
_NEEDS = {"kafka": missing_for_kafka, "prometheus": missing_for_prometheus}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves slow tests out, unless --slow asks for them or one is named on the command line by its id.

    Files that hold slow tests, or tests that need a broker, come first: none of them begins when the other worker ends.
    """
    for item in items:
        if isinstance(item, pytest.Function):
            for mark in _marks(item):
                item.add_marker(mark)
    long = {mark: {item.path for item in items if item.get_closest_marker(mark)} for mark in ("slow", "kafka")}
    items.sort(key=lambda item: (item.path not in long["slow"], item.path not in long["kafka"]))
    if config.getoption("--slow"):
        return
    named = {argument for argument in config.args if "::" in argument}
    slow = [item for item in items if item.get_closest_marker("slow") and item.nodeid.split("[")[0] not in named]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in set(slow)]


def _marks(test: pytest.Function) -> list[str]:
    """The marks that follow from what the file of a test imports, and from the broker."""
    imported = {str(getattr(value, "__module__", "")) for value in vars(test.module).values()}
    marks = [mark for mark, modules in _MEANS.items() if any(name.startswith(modules) for name in imported)]
    return [*marks, "process"] if "kafka" in test.fixturenames else marks


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test whose server cannot be had is skipped, saying why; in CI it fails."""
    for marker, missing in _NEEDS.items():
        if item.get_closest_marker(marker) is not None:
            _require(missing())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says once more, where nobody can overlook it, which servers were missing."""
    wanted = [
        (marker, reason)
        for marker, missing in _NEEDS.items()
        if (reason := missing()) is not None
        and any(marker in report.keywords for report in terminalreporter.stats.get("skipped", ()))
    ]
    for marker, reason in wanted:
        terminalreporter.section(f"TESTS SKIPPED: no {marker}", red=True, bold=True)
        terminalreporter.line(reason)


def _require(missing: str | None) -> None:
    if missing is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true, and {missing}", pytrace=False)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A running broker for the whole session; a test that stops or kills one starts its own."""
    _require(missing_for_kafka())
    # Imported late: tests that need no broker need no Kafka client either.
    from tests.servers.kafka import KafkaBroker

    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


_numbers = itertools.count(1)


@pytest.fixture
def topic(request: pytest.FixtureRequest, kafka: KafkaBroker) -> Callable[..., str]:
    """Makes a topic of this test's own: ``topic()``, ``topic("labels", partitions=2, config={...})``."""
    test = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:80]

    def make(name: str = "topic", partitions: int = 1, config: dict[str, str] | None = None) -> str:
        return kafka.create_topic(f"{test}-{name}-{next(_numbers)}", partitions, config)

    return make
