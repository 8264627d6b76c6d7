"""The schema of the TOML file: sections, keys, their meaning and their defaults."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Union

from pydantic import Field, model_validator

from alerts.subjects import BREACHABLE, ESTIMATED
from monitor.common.durations import DAY, HOUR
from monitor.common.nearest import quoted
from monitor.common.option_types import Duration, Name, Number, PositiveDuration, Section, Windows
from monitor.config.model import ModelSection
from monitor.receivers.registry import RECEIVERS

Severity = Literal["info", "warning", "error", "critical"]


class StateSection(Section):
    """The state directory, and how often it is saved."""

    dir: Path = Path("./state")
    checkpoint: PositiveDuration = 5_000
    backup: PositiveDuration = 900_000
    keep_removed: Duration = 7 * DAY


class HttpSection(Section):
    """The server of /metrics, /healthz and /readyz."""

    listen: str = "127.0.0.1:9464"
    max_connections: int = Field(64, ge=4, le=4096)
    header_timeout: PositiveDuration = Field(5_000, le=HOUR)
    hang_after: Annotated[Duration, Field(ge=10_000)] = 60_000
    max_metric_series: int = Field(20_000, ge=100, le=10_000_000)

    @model_validator(mode="after")
    def _address(self) -> HttpSection:
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f'listen: got {quoted(self.listen)}; write host:port, such as "127.0.0.1:9464"')
        return self


class IngestSection(Section):
    """Limits on what is read."""

    max_message_bytes: int = Field(1_048_576, ge=1024, le=2**31 - 1)
    max_rows_per_message: int = Field(10_000, ge=1, le=2**31 - 1)
    max_poll_messages: int = Field(5_000, ge=1, le=2**31 - 1)
    max_future_skew: Duration = 300_000
    max_past: PositiveDuration = 7_300 * DAY
    idle_partition_timeout: PositiveDuration = 60_000
    max_batch_bytes: int = Field(64 * 1_048_576, ge=1_048_576, le=1_073_741_824)


class KafkaSection(Section):
    """The broker and its topics."""

    bootstrap_servers: list[str] = Field(min_length=1)
    predictions: list[str] = Field(min_length=1)
    labels: list[str] = []
    group_id: str = "leewayd"
    start: Literal["earliest", "latest"] = "earliest"
    refresh: PositiveDuration = 30_000
    dead_letter: str | None = None
    client: dict[str, str | int | bool] = {}


class FileSection(Section):
    """Files instead of a broker: each is one partition."""

    predictions: list[Path] = Field(min_length=1)
    labels: list[Path] = []
    follow: bool = False


class RuleSection(Section):
    """A rule: the findings that become an alert."""

    name: Name
    when: Literal["drifted", "breached", "insufficient"] | None = None
    metric: str | None = None
    above: Number | None = None
    below: Number | None = None
    change_from_reference: Number | None = None
    recover: Number | None = None
    sure: bool = False
    estimated: bool = False
    subject: str = "*"
    statistic: str = "*"
    models: list[str] = []
    windows: Windows = []
    segment: str = "*"
    hold: Duration = Field(0, alias="for")
    resolve_after: Duration | None = None
    severity: Severity = "warning"
    notify: list[str] = []
    runbook: str | None = None

    @model_validator(mode="after")
    def _one_condition(self) -> RuleSection:
        if (self.when is None) == (self.metric is None):
            raise ValueError('give either when = "drifted", or metric = "..." with above or below')
        limits = {"above": self.above, "below": self.below, "change_from_reference": self.change_from_reference}
        given = {key: limit for key, limit in limits.items() if limit is not None}
        if self.metric is None and (given or self.recover is not None or self.sure):
            raise ValueError("above, below, change_from_reference, recover and sure go with metric")
        if self.metric is not None and len(given) != 1:
            raise ValueError("a metric rule needs exactly one of above, below and change_from_reference")
        if given.get("change_from_reference") == 0:
            raise ValueError("change_from_reference must be negative, for a fall, or positive, for a rise")
        for key, limit in given.items():
            rises = key == "above" or (key == "change_from_reference" and limit > 0)
            if self.recover is not None and (self.recover > limit if rises else self.recover < limit):
                raise ValueError(f"recover must not lie {'above' if rises else 'below'} the threshold `{key}`")
        return self

    @model_validator(mode="after")
    def _findable(self) -> RuleSection:
        if self.estimated and self.subject not in ("*", ESTIMATED):
            raise ValueError(f"estimated = true looks at {ESTIMATED!r} alone: leave subject out")
        subject = ESTIMATED if self.estimated else self.subject
        family = subject.partition(":")[0]
        if self.when in ("drifted", "breached") and not set("*?[") & set(family):
            right = "breached" if family in BREACHABLE else "drifted"
            if self.when != right:
                raise ValueError(f'{subject!r} is never {self.when}: give when = "{right}"')
        measured = any(fnmatchcase(name, subject) for name in ("performance", ESTIMATED))
        if self.change_from_reference is not None and not measured:
            raise ValueError(f"change_from_reference goes with performance: subject = {subject!r} has no reference")
        return self


if TYPE_CHECKING:
    from monitor.receivers.base import ReceiverSection

    Receiver = ReceiverSection
else:
    Receiver = Annotated[Union[RECEIVERS], Field(discriminator="type")]  # noqa: UP007 - of a tuple


class AlertsSection(Section):
    """Links in alert texts, and limits on receivers.

    ``{model}``, ``{version}``, ``{segment}`` and ``{window}`` are filled in.
    """

    dashboard_url: str | None = None
    source_name: str = "leewayd"
    allow_private: bool = True


class LogSection(Section):
    """The daemon's own log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Config(Section):
    """The whole file."""

    state: StateSection = StateSection()
    http: HttpSection = HttpSection()
    log: LogSection = LogSection()
    ingest: IngestSection = IngestSection()
    kafka: KafkaSection | None = None
    file: FileSection | None = None
    alerts: AlertsSection = AlertsSection()
    models: list[ModelSection] = Field(min_length=1)
    rules: list[RuleSection] = []
    receivers: list[Receiver] = []
