"""Apache Kafka for tests: one broker that is its own controller (KRaft), on loopback, with its own data."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import time
import uuid
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError

from tests.servers.found import KAFKA_JARS, free_port
from tests.servers.process import ServerFailedError, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

Codec = Literal["none", "gzip", "snappy", "lz4", "zstd"]

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# A killed broker comes back only when its own old session has ended: let that be soon.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
# Deleted topics and records leave the disk soon.
log.segment.delete.delay.ms=1000
log.cleaner.dedupe.buffer.size=4194304
"""


USER, PASSWORD = "leewayd", "canary-secret-of-the-broker"
_SECURED = """\
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  username="admin" password="admin" user_{user}="{password}";
ssl.keystore.type=PKCS12
ssl.keystore.location={store}
ssl.keystore.password={store_password}
ssl.key.password={store_password}
"""
_STORE_PASSWORD = "not-a-secret"


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A key with its self-signed certificate for 127.0.0.1: a PKCS#12 store for the broker, PEM for clients."""
    store, certificate = folder / f"{name}.p12", folder / f"{name}.pem"
    own = ["-alias", "broker", "-keystore", str(store), "-storetype", "PKCS12", "-storepass", _STORE_PASSWORD]
    for arguments in (
        ["-genkeypair", "-keyalg", "EC", "-dname", "CN=127.0.0.1", "-ext", "SAN=ip:127.0.0.1", "-validity", "3650"],
        ["-exportcert", "-rfc", "-file", str(certificate)],
    ):
        subprocess.run(["keytool", *arguments, *own], check=True, capture_output=True, timeout=60)
    return store, certificate


class Message(NamedTuple):
    """A message to produce; ``timestamp_ms`` None lets the producer's clock decide."""

    key: bytes | None
    value: bytes | None
    partition: int = 0
    timestamp_ms: int | None = None


class KafkaBroker:
    """One broker; start it with :meth:`start` or a ``with`` block.

    Args:
        directory: gets the configuration, the data and the log of the broker; survives restarts.
        store: a key store of `make_certificate`; with it the broker also listens with SASL and with TLS.
        settings: further lines of the broker's configuration.

    Attributes:
        bootstrap: ``host:port`` for clients; the same after every restart.
        sasl, tls: of the listeners that ask for the password of `USER`, and that speak TLS.
    """

    def __init__(self, directory: Path, store: Path | None = None, settings: str = "") -> None:
        self._directory, self._store, self._settings = directory, store, settings
        self._port, self._controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self._port}"
        self.sasl, self.tls = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self._process: ServerProcess | None = None
        self._admin: KafkaAdminClient | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the broker's process is alive."""
        return self._process is not None and self._process.running

    def start(self, timeout: float = 180.0) -> None:
        """Starts the broker on its data, formatted the first time, and waits until it serves clients.

        Raises:
            ServerFailedError: it did not come up; the message ends with its last log lines.
        """
        if self.running:
            raise ServerFailedError("this broker runs already")
        self._directory.mkdir(parents=True, exist_ok=True)
        properties = self._directory / "server.properties"
        if not properties.exists():
            self._format(properties)
        process = ServerProcess(
            [
                *_java("-Xmx512m", "-XX:+UseSerialGC"),
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                # The one class that says when the broker is up.
                "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
                "kafka.Kafka",
                str(properties),
            ],
            self._directory / "broker.log",
            self._directory,
        )
        self._process = process
        process.wait_until(lambda: "Kafka Server started" in process.output(), "Kafka Server started", timeout)

    def stop(self) -> None:
        """SIGTERM and wait: a clean stop. The data stay."""
        self._close_admin()
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL and wait: a crash. The data stay."""
        self._close_admin()
        if self._process is not None:
            self._process.kill()

    def restart(self, timeout: float = 180.0) -> None:
        """A clean stop and a start on the same ports and data."""
        self.stop()
        self.start(timeout)

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """Makes a topic and waits until clients can use it; gives its name.

        Also right after :meth:`delete_topic` of the same name: it waits until the old one is gone.
        """
        options = {"num_partitions": partitions, "replication_factor": 1, "configs": dict(config or {})}
        for _ in _attempts(f"topic {name} could not be made"):
            try:
                self._client().create_topics({name: options})
            except TopicAlreadyExistsError:
                continue
            break
        self._wait_for_partitions(name, partitions)
        return name

    def delete_topic(self, name: str) -> None:
        """Deletes a topic with all its records and waits until it is gone."""
        self._client().delete_topics([name])
        for _ in _attempts(f"topic {name} is still there"):
            if name not in self._client().list_topics():
                return

    def delete_records(self, topic: str, before: Mapping[int, int]) -> None:
        """Lets retention pass: drops every record with an offset below ``before[partition]``."""
        self._client().delete_records({TopicPartition(topic, part): offset for part, offset in before.items()})

    def add_partitions(self, topic: str, total: int) -> None:
        """Raises a topic's number of partitions to ``total`` and waits until clients can use them."""
        self._client().create_partitions({topic: total})
        self._wait_for_partitions(topic, total)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Per partition the offset that the next message will get."""
        with contextlib.closing(KafkaConsumer(bootstrap_servers=self.bootstrap)) as consumer:
            partitions = [TopicPartition(topic, part) for part in consumer.partitions_for_topic(topic) or ()]
            return {where.partition: offset for where, offset in consumer.end_offsets(partitions).items()}

    def produce(
        self,
        topic: str,
        messages: Iterable[Message | tuple[bytes | None, bytes | None, int, int | None]],
        codec: Codec = "lz4",
    ) -> int:
        """Sends (key, value, partition, timestamp_ms) messages, in order in a partition; gives their number.

        Returns when the broker has confirmed every one.

        Raises:
            KafkaError: a message was refused.
        """
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if codec == "none" else codec,
            linger_ms=20,
            batch_size=256 * 1024,
            max_request_size=64 * 1024 * 1024,
        )
        with contextlib.closing(producer):
            sent = [
                producer.send(topic, key=key, value=value, partition=partition, timestamp_ms=timestamp_ms)
                for key, value, partition, timestamp_ms in messages
            ]
            producer.flush()
            for future in sent:
                future.get(timeout=0)
        return len(sent)

    def consume(self, topic: str, timeout: float = 30.0) -> list[Message]:
        """Everything a topic holds now, partition by partition in order of offset."""
        ends = self.end_offsets(topic)
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="none", max_poll_records=10_000)
        found: dict[int, list[Message]] = {part: [] for part in ends}
        with contextlib.closing(consumer):
            where = [TopicPartition(topic, part) for part in ends]
            consumer.assign(where)
            consumer.seek_to_beginning(*where)
            deadline = time.monotonic() + timeout
            while any(consumer.position(place) < ends[place.partition] for place in where):
                if time.monotonic() > deadline:
                    raise ServerFailedError(f"{topic} could not be read to its end within {timeout:g} s")
                for place, records in consumer.poll(200).items():
                    found[place.partition] += [Message(r.key, r.value, r.partition, r.timestamp) for r in records]
        return [message for part in sorted(found) for message in found[part]]

    def _format(self, properties: Path) -> None:
        listeners, secured = f"PLAINTEXT://{self.bootstrap}", ""
        if self._store is not None:
            listeners += f",SASL_PLAINTEXT://{self.sasl},SSL://{self.tls}"
            secured = _SECURED.format(user=USER, password=PASSWORD, store=self._store, store_password=_STORE_PASSWORD)
        text = _PROPERTIES.format(
            port=self._port, controller=self._controller, data=self._directory / "data", listeners=listeners
        )
        properties.write_text(text + secured + self._settings)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        done = subprocess.run(
            [
                *_java("-Xmx128m", "-XX:TieredStopAtLevel=1"),
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                *("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            properties.unlink()
            raise ServerFailedError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")

    def _client(self) -> KafkaAdminClient:
        if self._admin is None:
            self._admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        return self._admin

    def _close_admin(self) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _wait_for_partitions(self, topic: str, total: int) -> None:
        for _ in _attempts(f"topic {topic} has no leader for each of {total} partitions"):
            try:
                (description,) = self._client().describe_topics([topic])
            except (UnknownTopicOrPartitionError, ValueError):
                continue
            partitions = description.get("partitions", [])
            if len(partitions) == total and all(part["leader_id"] >= 0 for part in partitions):
                return


def _java(*options: str) -> list[str]:
    return ["java", *options, "-cp", f"{KAFKA_JARS}/*"]


def _attempts(failure: str, timeout: float = 20.0) -> Iterator[None]:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        yield
        time.sleep(0.05)
    raise ServerFailedError(f"{failure} after {timeout:g} s")


__all__ = ["Codec", "KafkaBroker", "KafkaError", "Message"]
