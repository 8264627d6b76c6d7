"""Links and receivers that cannot work are refused by their place; what they hold is not repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.checks.receiver_problems import link_problems
from monitor.config.schema import Config
from tests.support.config import raw_config


def problems(folder: Path, **sections: Any) -> list[str]:
    return link_problems(Config.model_validate(raw_config(folder, **sections)))


def test_good_links_have_no_problem(tmp_path: Path) -> None:
    rule = {"name": "r", "when": "drifted", "runbook": "https://wiki.test/drift?x=1#a"}
    alerts = {"dashboard_url": "https://grafana.test/d/x?var-model={model}&from={window}"}
    assert problems(tmp_path, rules=[rule], alerts=alerts) == []


@pytest.mark.parametrize("url", ["grafana.test/d", "ftp://grafana.test", "https://", "https://se cret.test/"])
def test_a_link_that_cannot_work_is_named_by_its_place(tmp_path: Path, url: str) -> None:
    rule = {"name": "late", "when": "drifted", "runbook": url}
    found = problems(tmp_path, rules=[rule], alerts={"dashboard_url": url})
    assert [problem.rpartition(": ")[0].split(":")[0] for problem in found] == ["alerts.dashboard_url", 'rule "late"']


def test_receivers_speak_for_themselves_and_keep_their_secrets(tmp_path: Path) -> None:
    receiver = {"name": "hook", "type": "webhook", "url": "http://user:do-not-repeat@receiver.test/hook"}
    found = problems(tmp_path, receivers=[receiver])
    assert found
    assert "do-not-repeat" not in " ".join(found)
