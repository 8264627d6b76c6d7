"""A notification to the toy receiver, from its lines in a configuration to its answers; run with the toy registered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from alerts.delivery import Courier
from alerts.http import HttpResponse
from alerts.outbox import Report
from monitor.alerting.alerting import Alerting
from monitor.alerting.outbox import RESULTS
from monitor.alerting.receivers import make_alerting_setup
from monitor.checks.load import parse_config
from monitor.common.errors import ConfigError
from tests.support.logs import SILENT
from tests.support.snapshots import evaluation

if TYPE_CHECKING:
    from pathlib import Path

    from alerts.http import HttpRequest
    from alerts.outbox import OutboxEntry

ENVIRONMENT = {"BELL_CODE": "4711", "LETTERS": "abc"}
LOG = SILENT
NOW = 1_800_000_000_000
MINUTE = 60_000


def raw(**options: object) -> dict[str, Any]:
    bell = {"name": "bell", "type": "toy", "room": "attic", "timeout": "3s", **options}
    return {
        "file": {"predictions": ["log.jsonl"]},
        "models": [{
            "name": "m", "task": "binary", "reference": "r.csv", "columns": {"timestamp": "t", "prediction": "p"},
        }],
        "rules": [{"name": "drift", "when": "drifted", "notify": ["bell"]}],
        "receivers": [bell],
    }  # fmt: skip


class AtOnce:
    """Attempts in the calling thread."""

    def __init__(self, courier: Courier) -> None:
        self._courier, self._reports = courier, list[Report]()

    def submit(self, entry: OutboxEntry) -> None:
        self._reports.append(Report(entry, self._courier.attempt(entry)))

    def reports(self) -> list[Report]:
        done, self._reports = self._reports, []
        return done


def problems(folder: Path, **options: object) -> list[str]:
    try:
        make_alerting_setup(parse_config(raw(**options), folder), ENVIRONMENT, LOG)
    except ConfigError as error:
        return error.problems
    return []


def run(folder: Path) -> dict[str, object]:
    """What the tests look at."""
    requests: list[HttpRequest] = []
    answers = [HttpResponse(200, {}, b"wrong code"), HttpResponse(503, {}, b""), HttpResponse(200, {}, b"")]

    def transport(request: HttpRequest) -> HttpResponse:
        requests.append(request)
        return answers[len(requests) - 1]

    routing = make_alerting_setup(parse_config(raw(bell_code_env="BELL_CODE"), folder), ENVIRONMENT, LOG)
    alerting = Alerting(routing, AtOnce(Courier(routing.sinks, transport, lambda: NOW / 1000)), LOG, lambda: 0.0)
    alerting.observe(evaluation(), NOW)
    (entry,) = alerting.outbox.values()
    for turn in range(8):
        alerting.mark_saved()
        alerting.deliver(NOW + turn * 6 * MINUTE)
    file = parse_config(raw(bell_code_file="code"), folder).receivers[0]
    return {
        "requests": [
            {"url": sent.url, "body": json.loads(sent.body), "timeout": sent.timeout_seconds} for sent in requests
        ],
        "results": {result: count for result in RESULTS if (count := alerting.results["bell", result])},
        "payload": json.loads(entry.payload),
        "file_in_folder": getattr(file, "bell_code_file") == folder / "code",  # noqa: B009 - not of the base
        "problems": {
            "no place of the secret": problems(folder),
            "two places of the secret": problems(folder, bell_code_file="code", bell_code_env="BELL_CODE"),
            "the secret itself": problems(folder, bell_code="4711"),
            "an unusable secret": problems(folder, bell_code_env="LETTERS"),
            "no such type": problems(folder, type="toys"),
            "an unknown key": problems(folder, bell_code_env="BELL_CODE", rom="attic"),
            "no time": problems(folder, bell_code_env="BELL_CODE", timeout="0s"),
        },
    }  # fmt: skip
