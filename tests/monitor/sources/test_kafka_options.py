"""``[kafka]``: what cannot work is refused with the reason, and a secret is never repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.checks.load import parse_config
from monitor.common.errors import ConfigError
from monitor.config.schema import Config
from monitor.sources.kafka_client import Access, KafkaAdminClient, KafkaConsumer, KafkaProducer, known_options
from monitor.sources.kafka_options import client_options

SASL = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_plain_username": "u"}
CANARY = "canary-password"


def parsed(folder: Path, client: dict[str, Any], **kafka: object) -> Config:
    section = {"bootstrap_servers": ["127.0.0.1:9092"], "predictions": ["p"], "client": client, **kafka}
    model = {"name": "m", "task": "binary", "reference": "r.csv", "columns": {"timestamp": "t", "prediction": "p"}}
    return parse_config({"kafka": section, "models": [model]}, folder)


def problems(folder: Path, client: dict[str, Any], **kafka: object) -> str:
    with pytest.raises(ConfigError) as error:
        parsed(folder, client, **kafka)
    return "\n".join(error.value.problems)


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ({"sasl_mechanisms": "PLAIN"}, "kafka.client.sasl_mechanisms: unknown option"),
        ({"ssl_ca_file": "x"}, "did you mean 'ssl_cafile'?"),
        ({"sasl_plain_passwordfile": "x"}, "did you mean 'sasl_plain_password_file'?"),
        ({"zzz": 1}, "kafka.client.zzz: unknown option of kafka-python"),
        ({"group_id": "x"}, "leewayd sets this itself; give kafka.group_id"),
        ({"auto_offset_reset": "latest"}, "leewayd sets this itself"),
        ({"enable_auto_commit": True}, "leewayd sets this itself"),
        ({"value_deserializer": "json"}, "leewayd sets this itself"),
        ({"max_partition_fetch_bytes": 1}, "ingest.max_message_bytes"),
        ({"ssl_context": "x"}, "a Python object"),
        ({"request_timeout_ms": "30s"}, "must be a whole number"),
        ({"request_timeout_ms": True}, "must be a whole number"),
        ({"retry_backoff_ms": -1}, "must be a whole number"),
        ({"retry_backoff_ms": 0}, "kafka.client.retry_backoff_ms: must be greater than 0"),
        ({"request_timeout_ms": 0}, "must be greater than 0"),
        ({"metadata_max_age_ms": 0}, "must be greater than 0"),
        ({"check_crcs": "yes"}, "must be true or false"),
        ({"client_id": 7}, "must be text in quotes"),
        ({"security_protocol": "SASL_TLS"}, "SASL_PLAINTEXT, SASL_SSL; did you mean 'SASL_SSL'?"),
        ({**SASL, "sasl_plain_password": CANARY, "sasl_mechanism": "plain"}, "must be one of PLAIN"),
        ({**SASL, "sasl_mechanism": "OAUTHBEARER"}, "token provider"),
        (SASL, "needs sasl_plain_password"),
        ({"security_protocol": "SASL_SSL"}, "needs sasl_mechanism"),
        ({"sasl_plain_password": CANARY, "sasl_plain_username": "u"}, "do nothing with security_protocol"),
        ({"ssl_cafile": "ca.pem"}, "do nothing with security_protocol = 'PLAINTEXT'; give SSL or SASL_SSL"),
        ({**SASL, "sasl_plain_password": CANARY, "sasl_plain_password_env": "P"}, "give only one of"),
        ({**SASL, "sasl_plain_password_file": ""}, "must be the name of a file or variable"),
    ],
)  # fmt: skip
def test_an_option_that_cannot_work_is_refused(client: dict[str, Any], told: str, tmp_path: Path) -> None:
    found = problems(tmp_path, client)
    assert told in found
    assert CANARY not in found


@pytest.mark.parametrize(
    "address", ["localhost", "not a url", "kafka://h:9092", "h:0", "h:70000", "h:x", "a:1,b:1", "::1:9092", "u@h:1", ""]
)
def test_an_address_that_is_no_host_and_port_is_refused(address: str, tmp_path: Path) -> None:
    assert "is not host:port" in problems(tmp_path, {}, bootstrap_servers=["ok.example.org:9092", address])


def test_names_that_no_topic_can_have_are_refused(tmp_path: Path) -> None:
    assert "is no topic's name" in problems(tmp_path, {}, predictions=["my topic"])
    assert "kafka.dead_letter" in problems(tmp_path, {}, dead_letter="a/b")


def test_every_address_and_option_that_can_work_is_taken(tmp_path: Path) -> None:
    config = parsed(
        tmp_path,
        {
            "security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "u",
            "sasl_plain_password_file": "secret", "ssl_cafile": "ca.pem", "fetch_min_bytes": 100, "linger_ms": 5,
            "isolation_level": "read_committed", "client_id": "me", "acks": -1,
        },
        bootstrap_servers=["[::1]:9092", "kafka_1.internal:65535", "10.0.0.1:1"],
    )  # fmt: skip
    assert config.kafka is not None
    (tmp_path / "secret").write_text(f"{CANARY}\n")
    options = client_options(config.kafka, {})
    assert options["sasl_plain_password"] == CANARY
    assert "sasl_plain_password_file" not in options
    assert options["ssl_cafile"] == str(tmp_path / "ca.pem")
    # Each client takes what it knows, and what is configured wins over the defaults of leewayd.
    access = Access(config.kafka, {})
    for client in (KafkaConsumer, KafkaAdminClient, KafkaProducer):
        given = access.options(client)
        assert set(given) <= set(client.DEFAULT_CONFIG)
        assert given["client_id"] == "me"
    assert "fetch_min_bytes" in access.options(KafkaConsumer)
    assert "fetch_min_bytes" not in access.options(KafkaAdminClient)


def test_a_secret_comes_from_the_environment_and_its_lack_is_reported_by_name(tmp_path: Path) -> None:
    config = parsed(tmp_path, {**SASL, "sasl_plain_password_env": "KAFKA_PASSWORD"})
    assert config.kafka is not None
    assert client_options(config.kafka, {"KAFKA_PASSWORD": CANARY})["sasl_plain_password"] == CANARY
    with pytest.raises(ConfigError, match=r"kafka\.client\.sasl_plain_password_env: .*KAFKA_PASSWORD"):
        client_options(config.kafka, {})


def test_every_option_of_the_library_is_either_taken_or_refused_with_a_reason(tmp_path: Path) -> None:
    for name, default in known_options().items():
        value = default if isinstance(default, str | int) else 5 if name.endswith(("_ms", "_bytes")) else "x"
        # A mechanism without a password is never taken, so there always is an error to look at.
        client = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", name: value, "zzz": 1}
        assert problems(tmp_path, client).count("unknown option") == 1, name
