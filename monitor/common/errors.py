"""The errors that leewayd raises on purpose. Bad data is counted, never raised."""

from __future__ import annotations


class LeewayError(Exception):
    """A fault that an operator must fix; the message describes it."""


class ConfigError(LeewayError):
    """The configuration cannot be used. ``problems`` lists every fault found, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ReferenceDataError(LeewayError):
    """A reference cannot be read, or lacks a column that the configuration names."""


class StateError(LeewayError):
    """The state directory cannot be used."""


class RetryableError(LeewayError):
    """A failure that may be temporary (disk full, input/output error): exit code 75, start again later."""


class SourceError(LeewayError):
    """A source cannot be opened."""
