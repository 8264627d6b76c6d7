"""The command line, as a process: exit codes and what a person reads."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from monitor.cli.main import app
from tests.support.census import PREDICTIONS, REFERENCE
from tests.support.process import leewayd, write_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.kafka import KafkaBroker


def test_help_tells_every_command_and_version_is_told() -> None:
    told = leewayd("--help")
    assert told.returncode == 0
    for command in ("run", "check", "init", "backtest", "schema", "demo", "reference"):
        assert command in told.stdout
    assert leewayd("--version").stdout.startswith("leewayd ")


def commands(command: typer.core.TyperCommand, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


@pytest.mark.parametrize(("path", "command"), list(commands(typer.main.get_command(app))))
def test_help_swallows_no_bracket(path: tuple[str, ...], command: Any) -> None:
    told = CliRunner().invoke(
        app, [*path, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}, prog_name="leewayd"
    )
    shown = "".join(re.sub(r"[│╭╮╰╯─]", "", told.stdout).split())
    for text in (command.help, *(parameter.help for parameter in command.params if hasattr(parameter, "help"))):
        words = (text or "").replace("\\[", "[").split()
        # An option's help shares its lines with no other text, but is broken at any word.
        assert all(word in shown for word in words), text
    for wide in told.stdout.splitlines():
        assert len(wide) <= 80


def test_run_help_names_the_file_section() -> None:
    assert "With [file]: stop" in leewayd("run", "--help").stdout


def test_names_in_brackets_are_shown_in_tables(tmp_path: Path) -> None:
    path = write_config(tmp_path, '[[rules]]\nname = "[prod] drift"\nwhen = "drifted"')
    log = tmp_path / "log.jsonl"
    log.write_text("")
    assert "[prod] drift" in leewayd("backtest", path, "-i", log).stdout


def test_wrong_usage_exits_with_2() -> None:
    for arguments in (("run",), ("no-such-command",), ("run", "--no-such-option", "x")):
        assert leewayd(*arguments).returncode == 2


def test_check_of_a_good_configuration_says_what_it_found(tmp_path: Path) -> None:
    done = leewayd("check", write_config(tmp_path))
    assert done.returncode == 0, done.stderr
    assert 'model "income": 18 subjects, reference of' in done.stdout
    assert "ok (6 rules, 1 receivers)" in done.stdout
    assert "note:" not in done.stdout
    path = tmp_path / "config.toml"
    path.write_text(path.read_text().replace('windows = ["28d"]', 'windows = ["28d", "364d"]'))
    assert "fewer than 5 windows of 364d, so their rows are assumed independent" in leewayd("check", path).stdout


def test_check_tells_every_fault_of_references_and_secrets_at_once(tmp_path: Path) -> None:
    more = """
[[receivers]]
name = "team"
type = "slack"
url_env = "NO_SUCH_VARIABLE"
[[receivers]]
name = "call"
type = "pagerduty"
routing_key_file = "no-such-file"
"""
    path = write_config(tmp_path, more, columns='features = ["AGE"]')
    done = leewayd("check", path)
    assert done.returncode == 2
    assert "NO_SUCH_VARIABLE is not set" in done.stderr
    assert "no-such-file" in done.stderr
    assert 'columns.features[0]: the reference has no column "AGE"; did you mean "AGEP"?' in done.stderr
    assert done.stderr.rstrip().endswith("3 problems")
    assert "Traceback" not in done.stderr


def test_run_refuses_a_bad_configuration_before_anything_starts(tmp_path: Path) -> None:
    path = write_config(tmp_path, "[kafkaa]\nx = 1")
    done = leewayd("run", path)
    assert done.returncode == 2
    assert 'kafkaa: unknown key; did you mean "kafka"?' in done.stderr
    assert not (tmp_path / "state").exists()


def test_exit_needs_a_source_that_ends(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    plain = path.read_text()
    for text in (
        plain.replace("[file]\n", "[file]\nfollow = true\n"),
        plain.replace("[file]", '[kafka]\nbootstrap_servers = ["never:9092"]').replace(str(PREDICTIONS), "t"),
    ):
        path.write_text(text)
        done = leewayd("run", path, "--exit", timeout=30)
        assert done.returncode == 2
        assert "--exit needs [file] without follow" in done.stderr
        assert not (tmp_path / "state").exists()


def test_a_rule_for_a_feature_that_no_reference_has_is_refused_by_every_command(tmp_path: Path) -> None:
    path = write_config(tmp_path, '[[rules]]\nname = "r"\nwhen = "drifted"\nsubject = "feature:AGE"')
    line = path.read_text().splitlines().index('subject = "feature:AGE"') + 1
    wanted = f'{path}:{line}: rules[0].subject: no reference has a subject "feature:AGE"; did you mean "AGEP"?'
    for arguments in (
        ("check", path), ("run", path, "--exit"), ("backtest", path, "-i", PREDICTIONS),
        ("backtest", path, "-i", PREDICTIONS, "--model", "income"),
    ):  # fmt: skip
        done = leewayd(*arguments)
        assert done.returncode == 2, arguments
        assert done.stderr.strip() == wanted, arguments
    assert not (tmp_path / "state").exists()


def test_a_backtest_of_one_model_says_nothing_of_rules_for_the_other(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    text = path.read_text()
    model = text[text.index("[[models]]") :]
    other = model.replace('"income"', '"other"').replace("[models.columns]", '[models.columns]\nmodel = "m"')
    rules = """
[[rules]]
name = "first"
when = "drifted"
models = ["other"]
subject = "feature:ONLY_OTHER"
[[rules]]
name = "any"
when = "drifted"
subject = "feature:ONLY_OTHER"
[[rules]]
name = "own"
when = "drifted"
models = ["income"]
subject = "feature:AGE"
"""
    path.write_text(text.replace("[models.columns]", '[models.columns]\nmodel = "m"') + other + rules)
    done = leewayd("backtest", path, "-i", PREDICTIONS, "--model", "income")
    assert done.returncode == 2
    assert "rules[2].subject" in done.stderr
    assert "ONLY_OTHER" not in done.stderr
    number = len(path.read_text().splitlines())
    assert done.stderr.startswith(f"{path}:{number}: ")


def test_schema_is_json() -> None:
    assert json.loads(leewayd("schema").stdout)["type"] == "object"


def test_a_profile_is_built_shown_and_taken_for_the_reference(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    target = tmp_path / "income.profile.json"
    done = leewayd("reference", "build", path, "-o", target)
    assert done.returncode == 0, done.stderr
    assert "rows as counts of 18 subjects" in done.stdout
    shown = leewayd("reference", "show", target)
    assert shown.returncode == 0
    for text in ("segments: SEX=", "feature:AGEP", "numeric", "score"):
        assert text in shown.stdout
    path.write_text(path.read_text().replace(str(REFERENCE), str(target)))
    assert leewayd("check", path).returncode == 0
    assert leewayd("reference", "show", path).returncode == 2


def test_a_replay_runs_to_its_end_and_leaves_its_state(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    pd.read_parquet(PREDICTIONS)[:30_000].to_parquet(tmp_path / "log.parquet")
    path.write_text(path.read_text().replace(str(PREDICTIONS), str(tmp_path / "log.parquet")))
    done = leewayd("run", path, "--exit", timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events[0] == "http server started"
    assert "replay finished" in events
    assert events[-1] == "daemon stopped"
    assert (tmp_path / "state" / "leewayd.db").exists()


@pytest.fixture(scope="module")
def demo() -> subprocess.CompletedProcess[str]:
    return leewayd("demo", "--exit", "--listen", "127.0.0.1:0", timeout=600)


@pytest.mark.slow  # a minute or two: nine months of flights
def test_the_demo_tells_its_story_and_exits_with_0(demo: subprocess.CompletedProcess[str]) -> None:
    done = demo
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout
    assert text.index("FIRING") < text.index("retraining called")
    assert "Nine months in one sitting" in text


@pytest.mark.slow
@pytest.mark.kafka
def test_the_demo_tells_the_same_story_through_a_broker(
    demo: subprocess.CompletedProcess[str], kafka: KafkaBroker
) -> None:
    brokered = leewayd("demo", "--exit", "--listen", "127.0.0.1:0", "--kafka", kafka.bootstrap, timeout=600)
    assert brokered.returncode == 0, brokered.stdout + brokered.stderr

    def story(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith(("FIRING", "RESOLVED"))]

    assert story(brokered.stdout) == story(demo.stdout)
    assert len(story(demo.stdout)) > 2
