"""Rules and receivers of the configuration → those of `alerts`, with their secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alerts.http import token_fault, url_fault
from alerts.matching import Rule
from alerts.policy import ReceiverPolicy
from alerts.sinks import Sink
from alerts.sinks.log import Log
from alerts.sinks.pagerduty import PagerDuty, routing_key_fault
from alerts.sinks.slack import Slack
from alerts.sinks.webhook import Webhook
from monitor.common.errors import ConfigError
from monitor.config.secrets import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from monitor.config.schema import (
        Config,
        LogReceiver,
        PagerDutyReceiver,
        RuleSection,
        SlackReceiver,
        WebhookReceiver,
    )


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
    for receiver in config.receivers:
        try:
            sinks[receiver.name] = _sink(receiver, config, environment, log)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    receivers = {receiver.name: _policy(receiver) for receiver in config.receivers}
    return Routing({rule.name: make_rule(rule) for rule in config.rules}, receivers, sinks, config.alerts.dashboard_url)


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


def _policy(receiver: SlackReceiver | PagerDutyReceiver | WebhookReceiver | LogReceiver) -> ReceiverPolicy:
    if receiver.type == "webhook":
        return ReceiverPolicy(
            receiver.name, receiver.send_resolved, receiver.purpose == "retrain", receiver.cooldown_ms
        )
    return ReceiverPolicy(receiver.name, receiver.send_resolved)


def _sink(
    receiver: SlackReceiver | PagerDutyReceiver | WebhookReceiver | LogReceiver,
    config: Config,
    environment: Mapping[str, str] | None,
    log: FilteringBoundLogger,
) -> Sink:
    name, timeout = receiver.name, receiver.timeout / 1000

    def secret(option: str, fault: Callable[[str], str]) -> str | None:
        file, variable = getattr(receiver, f"{option}_file"), getattr(receiver, f"{option}_env")
        place = f'receiver "{name}"'
        if environment is None:
            return ""
        value = read_secret(place, file, variable, environment, option)
        if value is not None and (why := fault(value)):
            source = f"{option}_env" if variable is not None else f"{option}_file"
            raise ConfigError([f"{place}: the secret that {source} names cannot be used: {why}"])
        return value

    def url_of(value: str) -> str:
        return url_fault(value, allow_private=config.alerts.allow_private)

    if receiver.type == "slack":
        return Slack(name, _need(secret("url", url_of)), timeout)
    if receiver.type == "pagerduty":
        key = secret("routing_key", routing_key_fault)
        return PagerDuty(name, _need(key), receiver.url, config.alerts.source_name, timeout)
    if receiver.type == "webhook":
        url = receiver.url if receiver.url is not None else _need(secret("url", url_of))
        token = secret("token", token_fault)
        return Webhook(name, url, token, dict(receiver.headers), timeout)
    return Log(name, lambda kind, text: log.warning("alert", receiver=name, kind=kind, text=text))


def _need(secret: str | None) -> str:
    # The configuration has been checked to name exactly one place of the secret.
    assert secret is not None
    return secret
