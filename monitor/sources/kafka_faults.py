"""Describes why Kafka cannot be read. kafka-python retries silently and reports reasons in its own log only."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING

from monitor.common.errors import ConfigError
from monitor.rows.records import SourceFault
from monitor.sources.kafka_client import REFUSED, AuthorizationError, KafkaConfigurationError, for_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

_LONGEST = 240
_REPEAT_SECONDS = 300.0
_UNKNOWN_TOPIC = 3
_LISTENED = ("kafka.net", "kafka.cluster")


class Trouble(logging.Handler):
    """Remembers the last error that kafka-python logged, from any of its threads."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last: BaseException | str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Stores the error of one line of the library's log."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        errors = [argument for argument in arguments if isinstance(argument, BaseException)]
        if errors and not _says_nothing(errors[-1]):
            # After a refused login the broker closes later connections, so the earlier error says more.
            hung_up = "socket disconnected" in str(errors[-1])
            self.last = self.last if hung_up and self.last is not None else errors[-1]
        elif record.name == "kafka.net.inet":
            self.last = record.getMessage()

    def listen(self) -> None:
        """Starts listening to the library's log."""
        for name in _LISTENED:
            logger = logging.getLogger(name)
            if self not in logger.handlers:
                logger.addHandler(self)
            if logger.getEffectiveLevel() > logging.WARNING:
                # Handled here, and not repeated in leewayd's own log.
                logger.setLevel(logging.WARNING)
                logger.propagate = False

    def close(self) -> None:
        """Stops listening."""
        for name in _LISTENED:
            logging.getLogger(name).removeHandler(self)
        super().close()


def _says_nothing(error: BaseException) -> bool:
    names = ("KafkaTimeoutError", "NodeNotReadyError", "Cancelled", "RequestTimedOutError")
    return type(error).__name__ in names or not str(error)


def fault_of(error: BaseException, trouble: BaseException | str | None, servers: Sequence[str]) -> SourceFault:
    """The fault of the connection.

    Args:
        error: as raised to leewayd, often only a time-out.
        trouble: the last error in the library's log.
        servers: addresses, for the text.
    """
    cause = trouble if _says_nothing(error) and trouble is not None else error
    said = _said(cause)
    where = f"Kafka at {', '.join(servers)}"
    if isinstance(cause, ConfigError):
        return SourceFault("secret", said)
    if isinstance(cause, REFUSED):
        return SourceFault("authentication", f"{where} refused the login: {said}")
    if isinstance(cause, AuthorizationError):
        return SourceFault("authorization", f"{where} does not allow it: {said}")
    if isinstance(cause, KafkaConfigurationError | ValueError | TypeError):
        return SourceFault("configuration", f"kafka-python does not take [kafka.client]: {said}")
    if isinstance(cause, ssl.SSLError | FileNotFoundError | PermissionError) or "Handshake failed" in said:
        return SourceFault("tls", f"{where}: no TLS connection: {said}")
    return SourceFault("unreachable", f"{where} cannot be reached: {said}")


def _said(cause: BaseException | str) -> str:
    text = cause if isinstance(cause, str) else f"{cause}" or type(cause).__name__
    shown = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def topics_fault(codes: Mapping[str, int], servers: Sequence[str]) -> SourceFault | None:
    """The fault of the topics, from the broker's error code of each; None if all topics can be read."""
    bad = {topic: code for topic, code in sorted(codes.items()) if code}
    if not bad:
        return None
    where = f"Kafka at {', '.join(servers)}"
    if unknown := [topic for topic, code in bad.items() if code == _UNKNOWN_TOPIC]:
        topics = f"topic {unknown[0]!r}" if len(unknown) == 1 else f"topics {', '.join(map(repr, unknown))}"
        return SourceFault("unknown_topic", f"{where} has no {topics}")
    topic, code = next(iter(bad.items()))
    error = for_code(code)
    reason = "authorization" if issubclass(error, AuthorizationError) else "unreachable"
    return SourceFault(reason, f"{where}: topic {topic!r} cannot be read: {error.__name__}")


class FaultLog:
    """Logs a fault at once, when it changes, and every five minutes for as long as it lasts.

    Args:
        log: past-tense events.
        monotonic: seconds.
    """

    def __init__(self, log: FilteringBoundLogger, monotonic: Callable[[], float]) -> None:
        self._log, self._monotonic = log, monotonic
        self.fault: SourceFault | None = None
        self._began = self._logged = 0.0

    def set(self, fault: SourceFault | None) -> None:
        """Sets the current fault; None for no fault."""
        now = self._monotonic()
        before, self.fault = self.fault, fault
        if fault is None:
            if before is not None:
                self._log.info("source recovered", reason=before.reason, after_seconds=round(now - self._began))
            return
        if before is None:
            self._began = now
        changed = before is None or before.reason != fault.reason
        changed = changed or (fault.reason == "unknown_topic" and before != fault)
        if changed or now - self._logged >= _REPEAT_SECONDS:
            self._logged = now
            self._log.error(
                "source failed", reason=fault.reason, error=fault.text, for_seconds=round(now - self._began)
            )
