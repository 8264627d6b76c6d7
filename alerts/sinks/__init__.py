"""The places that notifications go to. A new one is a module here and a line in `RENDER`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.sinks import log, pagerduty, slack, webhook

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerts.messages import Words
    from alerts.policy import Notice

Sink = slack.Slack | pagerduty.PagerDuty | webhook.Webhook | log.Log

RENDER: dict[type, Callable[[Notice, Words], bytes]] = {
    slack.Slack: slack.render,
    pagerduty.PagerDuty: pagerduty.render,
    webhook.Webhook: webhook.render,
    log.Log: log.render,
}
"""Kind of sink → its payload for a notice: JSON without any secret, fixed when the notice is planned."""
