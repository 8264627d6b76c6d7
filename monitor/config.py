"""The configuration: what may stand in the TOML file, what it means and what it defaults to."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Union

from pydantic import Field, model_validator

from alerts.subjects import BREACHABLE, ESTIMATED
from monitor.config_model import model_problems
from monitor.config_types import (
    Budget,
    Column,
    Columns,
    Cost,
    Duration,
    Effect,
    Name,
    Number,
    PositiveDuration,
    Rows,
    Section,
    Windows,
)
from monitor.durations import DAY, HOUR, format_duration
from monitor.nearest import quoted
from monitor.receivers.registry import RECEIVERS

if TYPE_CHECKING:
    from monitor.receivers.base import ReceiverSection

Severity = Literal["info", "warning", "error", "critical"]


class StateSection(Section):
    """Where the state is kept and how often it is saved."""

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
    refresh: Duration = 30_000
    dead_letter: str | None = None
    client: dict[str, str | int | bool] = {}


class FileSection(Section):
    """Files instead of a broker: each is one partition."""

    predictions: list[Path] = Field(min_length=1)
    labels: list[Path] = []
    follow: bool = False


class ColumnsSection(Section):
    """Names in the reference; dotted paths in a record."""

    timestamp: Column
    prediction: Column
    id: Column | None = None
    version: Column | None = None
    model: Column | None = None
    score: Column | dict[str, Column] | None = None
    label: Column | None = None
    lower: Column | None = None
    upper: Column | None = None
    features: Columns | None = None
    features_at: str = ""
    embeddings: Columns = []
    exclude: Columns = []
    types: dict[str, Literal["numeric", "categorical"]] = {}

    def scores(self) -> dict[str, str]:
        """Subject name → column: ``score``, or ``score:CLASS`` for each class of a table."""
        if self.score is None:
            return {}
        if isinstance(self.score, str):
            return {"score": self.score}
        return {f"score:{name}": column for name, column in self.score.items()}


class DriftSection(Section):
    """When a change counts as drift."""

    min_effect: Effect = 0.02
    min_missing: float = Field(0.01, ge=0, le=1)
    min_rows: Rows = 100
    false_alarms_per_30d: Budget = 1.0
    season: Literal["hour_of_day", "hour_of_week"] | None = None
    rolling: Duration | None = Field(None, ge=DAY)
    burn_in: Duration | None = None
    multivariate: bool = True
    min_multivariate: Effect = 0.1
    sequential: bool = True
    sequential_pane: PositiveDuration | None = None
    min_shift: Effect = 0.05
    show: list[
        Literal[
            "hellinger", "total_variation", "l_infinity", "kullback_leibler", "energy", "cramers_v", "mean_shift",
            "median_shift",
        ]
    ] = []  # fmt: skip


class LabelsSection(Section):
    """How labels find their predictions, and how long they may take."""

    topics: list[str] = []
    id: str | None = None
    label: str | None = None
    timestamp: str | None = None
    max_delay: PositiveDuration = 7 * DAY
    retention: Duration | None = None
    maturity: float = Field(0.95, gt=0, le=1)
    sample: float = Field(1.0, gt=0, le=1)

    @property
    def retention_ms(self) -> int:
        """How long predictions wait for their labels: twice the greatest usual delay unless it is given."""
        return 2 * self.max_delay if self.retention is None else self.retention

    @model_validator(mode="after")
    def _kept_long_enough(self) -> LabelsSection:
        if self.retention is not None and self.retention < self.max_delay:
            raise ValueError(
                f'retention: got "{format_duration(self.retention)}"; '
                f'it must not be shorter than max_delay, "{format_duration(self.max_delay)}"'
            )
        return self


class Costs(Section):
    """What each outcome of a binary prediction is worth."""

    true_positive: Cost = 0.0
    false_positive: Cost = 0.0
    false_negative: Cost = 0.0
    true_negative: Cost = 0.0


class PerformanceSection(Section):
    """How performance is measured, and when it is bad."""

    windows: Windows = []
    metrics: Columns = []
    max_loss: float = Field(0.05, gt=0, le=1_000, allow_inf_nan=False)
    min_labels: Rows = 100
    false_alarms_per_30d: Budget = 1.0
    positive: str | int | bool | None = None
    threshold: Number | None = None
    beta: float = Field(2.0, ge=0.01, le=100, allow_inf_nan=False)
    lift_share: float = Field(0.1, gt=0, le=1)
    costs: Costs | None = None
    quantiles: list[Annotated[float, Field(gt=0, lt=1)]] = Field([0.1, 0.5, 0.9], max_length=20)
    k: int = Field(10, ge=1, le=50)
    protected: Columns = []
    champion: str | None = None

    @model_validator(mode="after")
    def _levels(self) -> PerformanceSection:
        # Metrics are named by their level with six digits, such as pinball_0.5.
        names = [f"{level:g}" for level in self.quantiles]
        if len(set(names)) != len(names):
            raise ValueError("quantiles: two levels are equal to six digits")
        return self


class ModelSection(Section):
    """One model to watch."""

    name: Name
    task: Literal["binary", "multiclass", "regression", "ranking"]
    reference: Path | None = None
    references: dict[str, Path] = {}
    learn_rows: int | None = Field(None, ge=1_000, le=200_000)
    topics: list[str] = []
    pane: Duration = 60_000
    windows: Windows = Field(["15m", "1h", "24h"], min_length=1)
    lateness: Duration = 120_000
    segments: Columns = Field([], max_length=50)
    max_series: int = Field(200, ge=1, le=1_000_000)
    columns: ColumnsSection
    drift: DriftSection = DriftSection()
    labels: LabelsSection = LabelsSection()
    performance: PerformanceSection = PerformanceSection()

    @property
    def performance_windows(self) -> list[str]:
        """Windows on which performance is measured: the model's own unless others are given."""
        return self.performance.windows or self.windows

    @model_validator(mode="after")
    def _fits_together(self) -> ModelSection:
        if problems := list(model_problems(self)):
            raise ValueError("\n".join(problems))
        return self


class RuleSection(Section):
    """When a finding becomes an alert."""

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
    Receiver = ReceiverSection
else:
    Receiver = Annotated[Union[RECEIVERS], Field(discriminator="type")]  # noqa: UP007 - of a tuple


class AlertsSection(Section):
    """What alert texts link to, and where alerts may go.

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
