"""All kinds of receivers. The configuration, secrets, `check`, delivery and the contract tests follow this list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.receivers.log import LogReceiver
from monitor.receivers.pagerduty import PagerDutyReceiver
from monitor.receivers.slack import SlackReceiver
from monitor.receivers.webhook import WebhookReceiver

if TYPE_CHECKING:
    from monitor.receivers.base import ReceiverSection

RECEIVERS: tuple[type[ReceiverSection], ...] = (
    SlackReceiver,
    PagerDutyReceiver,
    WebhookReceiver,
    LogReceiver,
)
