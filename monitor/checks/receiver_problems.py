"""Faults in what the configuration says about receivers and links: impossible URLs, headers, misplaced secrets.

Every message names the place and the reason, and never the value: it may be a secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alerts.http import header_fault, url_fault

if TYPE_CHECKING:
    from monitor.config.schema import Config, LogReceiver, PagerDutyReceiver, SlackReceiver, WebhookReceiver

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{(model|version|segment|window)\}")


def link_problems(config: Config) -> list[str]:
    """Everything that can be said about receivers and links without reading a secret."""
    problems = []
    if config.alerts.dashboard_url is not None:
        filled = _PLACEHOLDER.sub("x", config.alerts.dashboard_url)
        problems += _url("alerts.dashboard_url", filled, allow_private=True)
    for rule in config.rules:
        if rule.runbook is not None:
            problems += _url(f'rule "{rule.name}": runbook', rule.runbook, allow_private=True)
    for receiver in config.receivers:
        problems += one_receiver(receiver, config.alerts.allow_private)
    return problems


def one_receiver(
    receiver: SlackReceiver | PagerDutyReceiver | WebhookReceiver | LogReceiver, allow_private: bool
) -> list[str]:
    """What `link_problems` says about one receiver."""
    place = f'receiver "{receiver.name}"'
    problems = []
    url = getattr(receiver, "url", None)
    if url is not None:
        problems += _url(f"{place}: url", url, allow_private=allow_private)
    for option in ("url", "token", "routing_key"):
        variable, file = getattr(receiver, f"{option}_env", None), getattr(receiver, f"{option}_file", None)
        if variable is not None and not is_variable(variable):
            problems.append(
                f"{place}: {option}_env wants the NAME of an environment variable, such as {option.upper()}; this is "
                "none, and may be the secret itself"
            )
        # A path has lost one of the slashes by now.
        if file is not None and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", str(file)):
            problems.append(f"{place}: {option}_file wants the name of a file that holds the secret, not a URL")
    if receiver.type == "webhook":
        for number, (name, value) in enumerate(receiver.headers.items(), 1):
            if fault := header_fault(name, value):
                problems.append(f"{place}: headers: number {number}: {fault}")
    return problems


def _url(place: str, text: str, *, allow_private: bool) -> list[str]:
    fault = url_fault(text, allow_private=allow_private)
    return [f"{place}: {fault}"] if fault else []


def is_variable(name: str) -> bool:
    """Whether a text can be meant as the name of an environment variable, and is not a key that was pasted in."""
    if _VARIABLE.fullmatch(name) is None:
        return False
    # Keys and tokens have long runs of letters and digits; names are made of words.
    return not any(len(word) >= 20 and re.search(r"\d", word) for word in name.split("_"))
