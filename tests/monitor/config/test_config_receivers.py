"""Receivers and links as configured: impossible URLs, headers and secrets are refused, and no secret is repeated."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerting.receivers import make_alerting_setup
from monitor.checks.load import parse_config
from monitor.common.errors import ConfigError
from monitor.common.secrets import is_variable
from tests.support.paths import CONFIGS
from tests.support.process import leewayd, write_config

MINIMAL = CONFIGS / "good" / "minimal.toml"
SLACK_URL = "https://hooks.slack.com/services/T0A1B2C3D/B0A1B2C3D/aBcDeFgHiJkLmNoPqRsTuVwX"
KEY = "R0ABCDEF0123456789ABCDEF01234567"


def problems(receiver: dict[str, Any], environment: dict[str, str] | None = None, **more: Any) -> list[str]:
    """What `leewayd check` says of a receiver."""
    raw = tomllib.loads(MINIMAL.read_text())
    raw["receivers"] = [{"name": "team", **receiver}]
    raw |= more
    try:
        parsed = parse_config(raw, MINIMAL.parent)
        make_alerting_setup(parsed, environment or {}, structlog.get_logger())
    except ConfigError as error:
        return error.problems
    return []


def webhook(**options: Any) -> dict[str, Any]:
    return {"type": "webhook", **({} if {"url_env", "url_file"} & set(options) else {"url": "http://h/"}), **options}


# URLs


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("not a url", "a URL must not hold spaces"),
        ("", "a URL must begin with https:// or http://"),
        ("ftp://h/", "a URL must begin with https:// or http://"),
        ("https://h:port/", "this is not a URL"),
        ("http://169.254.169.254/latest", "clouds hand out credentials at this address"),
    ],
)
def test_a_url_that_cannot_work_is_refused_with_its_place(url: str, reason: str) -> None:
    (problem,) = problems(webhook(url=url))
    assert problem.startswith(f'receiver "team": url: {reason}')
    (problem,) = problems({"type": "pagerduty", "url": url, "routing_key_env": "KEY"}, {"KEY": KEY})
    assert problem.startswith(f'receiver "team": url: {reason}')


@pytest.mark.parametrize("url", ["not a url", "hooks.slack.com/x", "https://u:p@h/", "https://h/\x00x"])
def test_a_secret_url_that_cannot_work_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    file = tmp_path / "slack_url"
    file.write_text(url)
    for options in ({"url_env": "SLACK_URL"}, {"url_file": str(file)}):
        for kind in ("slack", "webhook"):
            (problem,) = problems({"type": kind, **options}, {"SLACK_URL": url})
            (option,) = options
            assert problem.startswith(f'receiver "team": the secret that {option} names cannot be used: ')
            assert url not in problem


def test_links_of_messages_must_be_urls() -> None:
    rule = {"name": "drift", "when": "drifted", "notify": ["team"]}
    assert problems(webhook(), rules=[{**rule, "runbook": "see the wiki"}])[0].startswith(
        'rule "drift": runbook: a URL'
    )
    assert problems(webhook(), alerts={"dashboard_url": "grafana"})[0].startswith("alerts.dashboard_url: a URL must")
    fine = {"dashboard_url": "https://{model}.example.org/d?v={version}&s={segment}&w={window}"}
    assert problems(webhook(), alerts=fine, rules=[{**rule, "runbook": "https://wiki/x"}]) == []


def test_private_addresses_are_refused_where_they_are_not_allowed() -> None:
    assert problems(webhook(url="http://10.0.0.1/")) == []
    strict = {"allow_private": False}
    assert "private" in problems(webhook(url="http://10.0.0.1/"), alerts=strict)[0]
    assert "private" in problems(webhook(url_env="URL"), {"URL": "http://127.1/"}, alerts=strict)[0]
    assert problems(webhook(url="http://8.8.8.8/"), alerts=strict) == []


# Tokens, keys and headers


@pytest.mark.parametrize("token", ["a\r\nX-Forged: 1", "a\nb", "a\x00b", "snow☃man"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_repeated(token: str) -> None:
    (problem,) = problems(webhook(token_env="TOKEN"), {"TOKEN": token})
    assert problem.startswith('receiver "team": the secret that token_env names cannot be used: it holds')
    assert token not in problem


@pytest.mark.parametrize(("name", "value"), [("X-Team", "a\r\nb"), ("X-Team", "☃"), ("X Team", "us"), ("", "us")])
def test_a_header_that_cannot_be_sent_is_refused(name: str, value: str) -> None:
    (problem,) = problems(webhook(headers={"Accept": "*/*", name: value}))
    assert problem.startswith('receiver "team": headers: number 2: ')
    assert value not in problem


@pytest.mark.parametrize("key", ["short", KEY + "0", KEY[:-1] + "-", KEY[:-1] + "é", "x" * 20 + "\r\n" + "y" * 10])
def test_a_routing_key_of_another_shape_is_refused_and_not_repeated(key: str) -> None:
    (problem,) = problems({"type": "pagerduty", "routing_key_env": "PAGERDUTY_KEY"}, {"PAGERDUTY_KEY": key})
    assert problem.endswith("a PagerDuty routing key has 32 letters and digits")
    assert key not in problem


# Secrets in the wrong place


@pytest.mark.parametrize(
    "secret", [SLACK_URL, KEY, KEY.lower(), "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "xoxb-1-2-a"]
)
@pytest.mark.parametrize("option", ["url_env", "token_env", "routing_key_env"])
def test_a_secret_in_place_of_the_name_of_its_variable_is_never_repeated(option: str, secret: str) -> None:
    receiver: dict[str, Any] = {"type": "pagerduty"} if option == "routing_key_env" else webhook(url_env="URL")
    found = problems({**receiver, option: secret}, {"URL": "http://h/"})
    assert found[0].startswith(f'receiver "team": {option} must be the NAME of an environment variable')
    assert not any(secret in problem for problem in found)


@pytest.mark.parametrize(
    "secret", [SLACK_URL, KEY, "xoxb-1-2-a", "hunter2", "dir/aGVsbG8gd29ybGQ", "a\x00b", "T0/B0/secret"]
)
@pytest.mark.parametrize("option", ["url_file", "token_file", "routing_key_file"])
def test_a_secret_in_place_of_the_name_of_its_file_is_never_repeated(option: str, secret: str) -> None:
    receiver: dict[str, Any] = {"type": "pagerduty"} if option == "routing_key_file" else webhook(url_env="URL")
    if option == "url_file":
        receiver = {"type": "slack"}
    (problem, *rest) = problems({**receiver, option: secret}, {"URL": "http://h/"})
    assert option in problem
    assert rest == []
    for part in (secret, *secret.split("/")):
        assert not part or part in ("https:", "dir") or part not in problem


@pytest.mark.parametrize("secret", ["hunter2", "Tr0ub4dor"])
def test_a_short_secret_in_place_of_a_variable_is_not_repeated_either(secret: str) -> None:
    (problem,) = problems(webhook(token_env=secret))
    assert problem == 'receiver "team": the environment variable that token_env names is not set'


def test_names_that_are_names_are_told(tmp_path: Path) -> None:
    assert problems({"type": "slack", "url_env": "SLACK_URL"}) == [
        'receiver "team": the environment variable SLACK_URL is not set'
    ]
    missing, empty, binary = tmp_path / "slack_url", tmp_path / "empty", tmp_path / "binary"
    empty.write_text(" \n")
    binary.write_bytes(b"\xff\xfe\x00")
    for file, reason in ((missing, f"cannot read {missing}"), (empty, f"{empty} is empty"),
                         (binary, f"{binary} is not text in UTF-8"), (tmp_path, "cannot read")):  # fmt: skip
        (problem,) = problems({"type": "slack", "url_file": str(file)})
        assert problem.startswith(f'receiver "team": {reason}')


@pytest.mark.parametrize("name", ["SLACK_URL", "url", "_x", "MY_APP_2024_TOKEN", "TEAM1_PAGERDUTY_ROUTING_KEY"])
def test_names_of_variables_are_accepted(name: str) -> None:
    assert is_variable(name)


@given(st.text(max_size=80))
def test_no_text_in_place_of_a_variable_raises(text: str) -> None:
    assert is_variable(text) in (True, False)


def test_check_refuses_what_cannot_work_with_exit_code_2(tmp_path: Path) -> None:
    path = write_config(
        tmp_path,
        f"""
[[receivers]]
name = "chat"
type = "slack"
url_env = "{SLACK_URL}"
[[receivers]]
name = "hook"
type = "webhook"
url = "not a url"
headers = {{ X = "a\\r\\nb" }}
""",
    )
    done = leewayd("check", path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "3 problems"
    for part in ("hooks.slack.com", "T0A1B2C3D", "Traceback", "not a url"):
        assert part not in done.stdout + done.stderr
