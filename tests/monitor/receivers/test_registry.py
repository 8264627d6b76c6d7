"""One line in the registry is all that a receiver's file needs: configuration, secrets, payload and answer follow."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.config.schema import Config
from monitor.receivers.registry import RECEIVERS

BELONGS = "put it in a file or the environment and name that"
ROOT = Path(__file__).resolve().parents[3]
# The configuration is built from the registry when it is imported, so a process of its own adds the line before that.
WITH_THE_TOY = """
import json, sys
from pathlib import Path
from monitor.receivers import registry
from tests.monitor.receivers.toy import ToyReceiver

registry.RECEIVERS = (*registry.RECEIVERS, ToyReceiver)

from tests.monitor.receivers.toy_run import run

print(json.dumps(run(Path(sys.argv[1]))))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("toy")
    done = subprocess.run(
        [sys.executable, "-c", WITH_THE_TOY, str(folder)], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_receiver_of_the_registry_gets_notifications_and_its_answers_are_read(run: dict[str, object]) -> None:
    title = "drift on income (version 3): age has drifted"
    assert (
        run["requests"]
        == [
            {
                "url": "https://bells.example.org/attic",
                "body": {"ring": "trigger", "say": title, "code": "4711"},
                "timeout": 3.0,
            }
        ]
        * 3
    )
    assert run["results"] == {"parked": 1, "retried": 1, "delivered": 1}
    assert run["payload"] == {"ring": "trigger", "say": title}


def test_its_section_is_checked_like_any_other(run: dict[str, object]) -> None:
    assert run["problems"] == {
        "no place of the secret": ['receiver "bell": give exactly one of bell_code_file, bell_code_env'],
        "two places of the secret": ['receiver "bell": give exactly one of bell_code_file, bell_code_env'],
        "the secret itself": [
            f"receivers[0].bell_code: the code of the bell is a secret: {BELONGS} with bell_code_file or bell_code_env"
        ],
        "an unusable secret": ['receiver "bell": the secret that bell_code_env names cannot be used: digits'],
        "no such type": [
            'receivers[0].type: got "toys"; did you mean "toy"?',
        ],
        "an unknown key": ['receivers[0].rom: unknown key; did you mean "room"?'],
        "no time": ['receiver "bell": timeout: got "0s"; must be longer than "0s" and at most "1h"'],
    }


def test_a_relative_path_of_its_secret_is_taken_from_the_folder_of_the_configuration(run: dict[str, object]) -> None:
    assert run["file_in_folder"] is True


def test_the_registry_lists_every_file_of_the_package() -> None:
    files = {path.stem for path in (ROOT / "monitor" / "receivers").glob("*.py")} - {"__init__", "base", "registry"}
    assert {section.__module__.rpartition(".")[2] for section in RECEIVERS} == files


def test_every_receiver_is_documented_and_has_an_example() -> None:
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "alerts.md").read_text(), flags=re.MULTILINE)
    example = (ROOT / "config.example.toml").read_text()
    for name in types():
        assert name in table
        assert f'type = "{name}"' in example


def types() -> list[str]:
    schema = Config.model_json_schema()
    names = list(schema["properties"]["receivers"]["items"]["discriminator"]["mapping"])
    assert len(names) == len(RECEIVERS)
    return names
