"""Converts rules and receivers of the configuration to rules and receivers of `alerts`, and reads secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from alerts.policy import ReceiverPolicy
from alerts.rules import Rule
from alerts.sink import Sink
from monitor.common.errors import ConfigError
from monitor.receivers.base import Setting

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from monitor.config.schema import Config, RuleSection


@dataclass(frozen=True, slots=True)
class AlertingSetup:
    """Rules and receivers, as configured.

    Attributes:
        rules: name → rule.
        receivers: name → its policy.
        sinks: name → its sink.
        dashboard_url: link in texts.
    """

    rules: Mapping[str, Rule]
    receivers: Mapping[str, ReceiverPolicy]
    sinks: Mapping[str, Sink]
    dashboard_url: str | None


def make_alerting_setup(
    config: Config, environment: Mapping[str, str] | None, log: FilteringBoundLogger
) -> AlertingSetup:
    """Builds the setup of alerting.

    Args:
        config: validated.
        environment: of the process; None if nothing will be sent, so that no secret is needed.
        log: for receivers of type log.

    Raises:
        ConfigError: with all secrets that cannot be read or are invalid.
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
    return AlertingSetup({rule.name: make_rule(rule) for rule in config.rules}, policies, sinks, alerts.dashboard_url)


def _write(log: FilteringBoundLogger, receiver: str, kind: str, text: str) -> None:
    log.warning("alert", receiver=receiver, kind=kind, text=text)


def make_rule(section: RuleSection) -> Rule:
    """A rule of the configuration, option by option; ``for`` becomes ``hold_ms``, ``resolve_after`` ``resolve_ms``."""
    names = [field.name for field in fields(Rule) if field.name in type(section).model_fields]
    values = ((name, getattr(section, name)) for name in names)
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values}
    resolve_ms = section.hold if section.resolve_after is None else section.resolve_after
    return Rule(**given, hold_ms=section.hold, resolve_ms=resolve_ms)
