"""Debian's Prometheus for tests: scrapes one page every second, answers PromQL."""

from __future__ import annotations

import http.client
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tests.servers.found import free_port
from tests.servers.process import ServerFailedError, ServerProcess

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG = """\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
rule_files: {rules}
scrape_configs:
  - job_name: {job}
    metrics_path: {path}
    static_configs:
      - targets: [{target}]
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer: its labels (``__name__`` among them, if it has one) and its points.

    Attributes:
        points: (epoch seconds, value); exactly one for an instant query.
    """

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def value(self) -> float:
        """The last point's value."""
        return self.points[-1][1]


class PrometheusServer:
    """One Prometheus; start it with :meth:`start` or a ``with`` block.

    Args:
        scrape_url: the metrics page to scrape, ``http://host:port/metrics``.
        directory: gets its configuration, storage and log.
        rules_file: recording and alerting rules to load.
        job: the ``job`` label of all that is scraped.

    Attributes:
        url: where it answers.
    """

    def __init__(self, scrape_url: str, directory: Path, rules_file: Path | None = None, job: str = "leewayd") -> None:
        self._directory = directory
        target = urllib.parse.urlsplit(scrape_url)
        # JSON strings and lists are YAML too, whatever characters a path holds.
        self._config = _CONFIG.format(
            rules=json.dumps([str(rules_file.resolve())] if rules_file else []),
            job=json.dumps(job),
            path=json.dumps(target.path or "/metrics"),
            target=json.dumps(target.netloc),
        )
        port = free_port()
        self._listen = f"127.0.0.1:{port}"
        self.url = f"http://{self._listen}"
        self._process: ServerProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout: float = 60.0) -> None:
        """Starts it and waits until it answers.

        Raises:
            ServerFailedError: it did not come up; the message ends with its last log lines.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "prometheus.yml"
        config.write_text(self._config)
        self._process = ServerProcess(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={self._directory / 'tsdb'}",
                f"--web.listen-address={self._listen}",
                "--log.level=warn",
            ],
            self._directory / "prometheus.log",
            self._directory,
        )
        self._process.wait_until(self._is_ready, "ready", timeout)

    def stop(self) -> None:
        """SIGTERM and wait."""
        if self._process is not None:
            self._process.terminate()

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """The answer at epoch seconds ``at``, or now; a scalar is one sample without labels.

        Raises:
            ServerFailedError: Prometheus refused the expression.
        """
        parameters = {"query": expression} | ({} if at is None else {"time": repr(at)})
        return self._answer("query", parameters)

    def query_range(self, expression: str, start: float, end: float, step: float = 1.0) -> list[Sample]:
        """The answer to a range query, every ``step`` seconds from ``start`` to ``end`` (epoch seconds)."""
        return self._answer(
            "query_range", {"query": expression, "start": repr(start), "end": repr(end), "step": repr(step)}
        )

    def label_values(self, label: str, selector: str) -> list[str]:
        """The values of a label among the series that a selector matches, sorted."""
        data = self._get(f"label/{label}/values", {"match[]": selector})
        return [str(value) for value in data]

    def rules(self) -> list[dict[str, Any]]:
        """Every loaded rule as Prometheus' API tells it: ``name``, ``type``, ``health``, ``state``, …"""
        groups = self._get("rules", {})["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def wait_for_target_up(self, timeout: float = 30.0) -> None:
        """Waits until the page has been scraped with success.

        Raises:
            ServerFailedError: no successful scrape in time.
        """
        self.wait_for("up == 1", timeout)

    def wait_for(self, expression: str, timeout: float = 30.0) -> list[Sample]:
        """Waits until an expression answers something, and gives the answer.

        Raises:
            ServerFailedError: still nothing after ``timeout`` seconds.
        """
        if self._process is None:
            raise ServerFailedError("Prometheus was not started")
        self._process.wait_until(lambda: bool(self.query(expression)), f"an answer to {expression}", timeout)
        return self.query(expression)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as response:
                return bool(response.status == http.HTTPStatus.OK)
        except OSError:
            return False

    def _answer(self, endpoint: str, parameters: Mapping[str, str]) -> list[Sample]:
        data = self._get(endpoint, parameters)
        result = data["result"]
        if data["resultType"] in ("scalar", "string"):
            return [Sample({}, ((float(result[0]), float(result[1])),))]
        return [
            Sample(
                series["metric"],
                tuple((float(at), float(value)) for at, value in series.get("values") or [series["value"]]),
            )
            for series in result
        ]

    def _get(self, endpoint: str, parameters: Mapping[str, str]) -> Any:
        url = f"{self.url}/api/v1/{endpoint}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            refusal = error.read().decode(errors="replace")
            raise ServerFailedError(f"Prometheus refused {parameters}: {refusal}") from None


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs promtool; its status and output are the caller's to judge."""
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
