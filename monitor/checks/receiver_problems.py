"""Faults in the configuration of receivers and links: impossible URLs, headers, misplaced secrets.

Every message contains the key and the reason, and never the value, which may be a secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alerts.http import url_fault

if TYPE_CHECKING:
    from monitor.config.schema import Config

_PLACEHOLDER = re.compile(r"\{(model|version|segment|window)\}")


def link_problems(config: Config) -> list[str]:
    """All faults of receivers and links that can be found without reading a secret."""
    problems = [problem for receiver in config.receivers for problem in receiver.problems(config.alerts.allow_private)]
    if config.alerts.dashboard_url is not None:
        problems += _url("alerts.dashboard_url", _PLACEHOLDER.sub("x", config.alerts.dashboard_url))
    for rule in config.rules:
        if rule.runbook is not None:
            problems += _url(f'rule "{rule.name}": runbook', rule.runbook)
    return problems


def _url(key: str, text: str) -> list[str]:
    fault = url_fault(text)
    return [f"{key}: {fault}"] if fault else []
