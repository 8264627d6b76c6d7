"""The options of ``[kafka.client]``.

kafka-python's options, except the ones that leewayd sets or that a file cannot express.
"""

from __future__ import annotations

import difflib
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.common.errors import ConfigError
from monitor.common.secrets import read_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.config.schema import KafkaSection

    Client = Mapping[str, str | int | bool]

SECRETS = ("sasl_plain_username", "sasl_plain_password", "ssl_password")
"""Options that may come from a file or the environment: ``sasl_plain_password_file``, ``sasl_plain_password_env``."""
_PATHS = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile")
_OURS = {
    "bootstrap_servers": "give kafka.bootstrap_servers",
    "bootstrap_timeout_ms": "a connection is tried again every few seconds",
    "group_id": "give kafka.group_id",
    "group_instance_id": "partitions are assigned by leewayd",
    "partition_assignment_strategy": "partitions are assigned by leewayd",
    "auto_offset_reset": "leewayd uses its own positions, and kafka.start says where to begin without one",
    "enable_auto_commit": "leewayd commits offsets after it has saved its state",
    "auto_commit_interval_ms": "leewayd commits offsets after it has saved its state",
    "allow_auto_create_topics": "leewayd creates no topic",
    "key_deserializer": "leewayd reads raw bytes",
    "value_deserializer": "leewayd reads raw bytes",
    "key_serializer": "leewayd writes raw bytes",
    "value_serializer": "leewayd writes raw bytes",
    "max_poll_records": "give ingest.max_poll_messages",
    "max_partition_fetch_bytes": "it follows from ingest.max_message_bytes",
    "fetch_max_bytes": "it follows from ingest.max_message_bytes",
    "receive_message_max_bytes": "give ingest.max_batch_bytes",
    "consumer_timeout_ms": "leewayd waits as long as it needs",
    "enable_idempotence": "dead letters are sent without it",
    "transactional_id": "dead letters are sent without transactions",
    "transaction_timeout_ms": "dead letters are sent without transactions",
    "max_block_ms": "a broker that is away must not stop the loop",
    "max_request_size": "the dead-letter topic says how large a message may be",
    "metrics_enabled": "see /metrics",
}
_OBJECTS = frozenset({
    "api_version", "default_offset_commit_callback", "kafka_client", "metric_reporters", "partitioner",
    "sasl_oauth_token_provider", "selector", "socket_options", "ssl_context",
})  # fmt: skip
_CHOICES: dict[str, tuple[str, ...]] = {
    "security_protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "sasl_mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI"),
    "client_dns_lookup": ("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
    "isolation_level": ("read_uncommitted", "read_committed"),
    "compression_type": ("gzip", "snappy", "lz4", "zstd"),
}
_INTEGERS = ("_ms", "_bytes")
_NEVER_ZERO = frozenset({
    "connections_max_idle_ms", "delivery_timeout_ms", "fetch_max_wait_ms", "heartbeat_interval_ms",
    "max_poll_interval_ms", "metadata_max_age_ms", "metrics_sample_window_ms", "reconnect_backoff_max_ms",
    "reconnect_backoff_ms", "request_timeout_ms", "retry_backoff_ms", "session_timeout_ms",
})  # fmt: skip
"""Options that must not be 0: every request would fail, or the client would retry without a pause."""
_HOST_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/@,\[\]]+):(\d{1,5})")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def kafka_problems(config: KafkaSection, known: Mapping[str, Any]) -> list[str]:
    """Faults in ``[kafka]``, one line each; values of options are not repeated, because they may be secrets.

    Args:
        config: as configured.
        known: option → default, of all clients that leewayd opens.
    """
    problems = []
    for address in config.bootstrap_servers:
        match = _HOST_PORT.fullmatch(address)
        if match is None or not 0 < int(match[1]) < 65_536:
            problems.append(
                f'kafka.bootstrap_servers: {address!r} is not host:port, such as "kafka-1.example.org:9092"'
            )
    named = {"predictions": config.predictions, "labels": config.labels, "dead_letter": [config.dead_letter or "none"]}
    problems += [
        f"kafka.{key}: {topic!r} is no topic's name; a name holds letters, digits, dots, hyphens and underscores"
        for key, topics in named.items()
        for topic in topics
        if not _TOPIC.fullmatch(topic) or topic in (".", "..")
    ]
    return problems + _option_problems(config.client, known)


def _option_problems(client: Client, known: Mapping[str, Any]) -> list[str]:
    problems = []
    for name, value in client.items():
        fault = _fault(name, value, known)
        if fault:
            problems.append(f"kafka.client.{name}: {fault}")
    return problems + _together(client)


def _fault(name: str, value: str | int | bool, known: Mapping[str, Any]) -> str:
    if _secret_of(name) is not None:
        return "" if isinstance(value, str) and value else "must be the name of a file or variable"
    if name in _OURS:
        return f"leewayd sets this itself; {_OURS[name]}"
    if name in _OBJECTS:
        return "takes a Python object, which a configuration file cannot hold"
    if name not in known:
        usable = sorted({*known, *(f"{secret}_{way}" for secret in SECRETS for way in ("file", "env"))} - _OURS.keys())
        near = difflib.get_close_matches(name, usable, n=1, cutoff=0.5)
        return (
            f"unknown option of kafka-python; did you mean {near[0]!r}?" if near else "unknown option of kafka-python"
        )
    if name in _CHOICES and value not in _CHOICES[name]:
        if name == "sasl_mechanism" and value == "OAUTHBEARER":
            return "OAUTHBEARER needs a token provider in Python, which a configuration file cannot hold"
        near = difflib.get_close_matches(str(value), _CHOICES[name], n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"must be one of {', '.join(_CHOICES[name])}{hint}"
    return _wrong_type(name, value, known[name])


def _wrong_type(name: str, value: str | int | bool, default: object) -> str:
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "must be true or false"
    if isinstance(default, int | float) or name.endswith(_INTEGERS):
        if isinstance(value, bool) or not isinstance(value, int) or (value < 0 and name != "acks"):
            return "must be a whole number, not negative"
        if value == 0 and name in _NEVER_ZERO:
            return "must be greater than 0"
        return ""
    return "" if isinstance(value, str) else "must be text in quotes"


def _together(client: Client) -> list[str]:
    protocol = str(client.get("security_protocol", "PLAINTEXT"))
    problems = []
    for secret in SECRETS:
        ways = [name for name in (secret, f"{secret}_file", f"{secret}_env") if name in client]
        if len(ways) > 1:
            problems.append(f"kafka.client: give only one of {', '.join(ways)}")
    if protocol not in _CHOICES["security_protocol"]:
        return problems
    given = {_secret_of(name) or name for name in client}
    for prefix, protocols in (("sasl_", "SASL_PLAINTEXT or SASL_SSL"), ("ssl_", "SSL or SASL_SSL")):
        idle = sorted(name for name in client if name.startswith(prefix))
        if idle and prefix.removesuffix("_").upper() not in protocol.split("_"):
            problems.append(
                f"kafka.client: {', '.join(idle)} do nothing with security_protocol = {protocol!r}; give {protocols}"
            )
    mechanism = client.get("sasl_mechanism")
    if protocol.startswith("SASL") and mechanism is None:
        problems.append(f"kafka.client: security_protocol = {protocol!r} needs sasl_mechanism")
    if protocol.startswith("SASL") and mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        lacking = [name for name in ("sasl_plain_username", "sasl_plain_password") if name not in given]
        if lacking:
            problems.append(
                f"kafka.client: sasl_mechanism = {mechanism!r} needs {' and '.join(lacking)}, "
                "as they are or by _file or _env"
            )
    if mechanism == "GSSAPI" and find_spec("gssapi") is None:
        problems.append(
            "kafka.client: sasl_mechanism = 'GSSAPI' needs the Python package gssapi, which is not installed"
        )
    return problems


def _secret_of(name: str) -> str | None:
    """The option that a ``_file`` or ``_env`` stands for."""
    base = name.removesuffix("_file") if name.endswith("_file") else name.removesuffix("_env")
    return base if base != name and base in SECRETS else None


def anchored_options(client: Client, folder: Path) -> dict[str, str | int | bool]:
    """The options, with relative paths resolved against the folder of the configuration file."""
    paths = {*_PATHS, *(f"{secret}_file" for secret in SECRETS)}
    return {name: str(folder / str(value)) if name in paths else value for name, value in client.items()}


def client_options(config: KafkaSection, environment: Mapping[str, str]) -> dict[str, str | int | bool]:
    """The options for kafka-python, with secrets read now.

    Raises:
        ConfigError: with all secrets that cannot be read.
    """
    options: dict[str, str | int | bool] = {}
    problems: list[str] = []
    for name, value in config.client.items():
        secret = _secret_of(name)
        if secret is None:
            options[name] = value
            continue
        file, variable = (Path(str(value)), None) if name.endswith("_file") else (None, str(value))
        try:
            options[secret] = str(read_secret(f"kafka.client.{name}", file, variable, environment, secret))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return options
