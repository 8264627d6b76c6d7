"""Rules and receivers of the configuration → those of `alerts`, with their secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from alerts.matching import Rule
from alerts.policy import ReceiverPolicy
from alerts.sink import Sink
from monitor.errors import ConfigError
from monitor.receivers.base import Setting

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from monitor.config import Config, RuleSection


@dataclass(frozen=True, slots=True)
class Routing:
    """Rules and receivers, as configured.

    Attributes:
        rules: name → rule.
        receivers: name → what it wants to hear.
        sinks: name → where it is.
        dashboard_url: what texts link to.
    """

    rules: Mapping[str, Rule]
    receivers: Mapping[str, ReceiverPolicy]
    sinks: Mapping[str, Sink]
    dashboard_url: str | None


def make_routing(config: Config, environment: Mapping[str, str] | None, log: FilteringBoundLogger) -> Routing:
    """Everything that alerting needs to know.

    Args:
        config: validated.
        environment: of the process; None where nothing will be sent, so that no secret is needed.
        log: for receivers of type log.

    Raises:
        ConfigError: naming every secret that cannot be read or cannot be one.
    """
    sinks: dict[str, Sink] = {}
    problems: list[str] = []
    alerts = config.alerts
    for receiver in config.receivers:
        name = receiver.name
        try:
            secrets = receiver.secrets(environment, alerts.allow_private)
        except ConfigError as error:
            problems += error.problems
        else:
            sinks[name] = receiver.sink(Setting(secrets, alerts.source_name, partial(_write, log, name)))
    if problems:
        raise ConfigError(problems)
    policies = {receiver.name: receiver.policy for receiver in config.receivers}
    return Routing({rule.name: make_rule(rule) for rule in config.rules}, policies, sinks, alerts.dashboard_url)


def _write(log: FilteringBoundLogger, receiver: str, kind: str, text: str) -> None:
    log.warning("alert", receiver=receiver, kind=kind, text=text)


def make_rule(rule: RuleSection) -> Rule:
    """A rule of the configuration."""
    return Rule(
        name=rule.name,
        when=rule.when,
        metric=rule.metric,
        above=rule.above,
        below=rule.below,
        recover=rule.recover,
        subject=rule.subject,
        statistic=rule.statistic,
        models=tuple(rule.models),
        windows=tuple(rule.windows),
        segment=rule.segment,
        hold_ms=rule.hold,
        resolve_ms=rule.hold if rule.resolve_after is None else rule.resolve_after,
        severity=rule.severity,
        notify=tuple(rule.notify),
        runbook=rule.runbook,
        change_from_reference=rule.change_from_reference,
        sure=rule.sure,
        estimated=rule.estimated,
    )
