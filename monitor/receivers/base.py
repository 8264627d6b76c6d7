"""A receiver's section of the configuration: the shared options, and the interface that each kind implements."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import BaseModel

from alerts.http import token_fault, url_fault
from alerts.policy import ReceiverPolicy
from monitor.common.durations import HOUR, format_duration
from monitor.common.errors import ConfigError
from monitor.common.option_types import Duration, Name, Section
from monitor.common.secrets import is_variable, read_secret

if TYPE_CHECKING:
    from pathlib import Path

    from alerts.sink import Sink

_LONGEST_TIMEOUT = HOUR
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
"""Start of a URL given in place of a path: parsing it as a path has removed one slash."""


@dataclass(frozen=True, slots=True)
class Secret:
    """An option with a secret value: ``OPTION_file`` or ``OPTION_env`` in the section names its source.

    Attributes:
        option: its name, such as ``url``.
        noun: its name in messages, such as ``URL``.
        fault: returns why a value cannot be used, or an empty text; never repeats the value. The second argument is
            whether receivers may have private addresses.
        required: whether the receiver needs it.
        plain: whether the configuration may also hold the value itself, in the field ``OPTION``.
    """

    option: str
    noun: str
    fault: Callable[[str, bool], str]
    required: bool = True
    plain: bool = False

    @property
    def file(self) -> str:
        """Name of the field that names a file."""
        return f"{self.option}_file"

    @property
    def variable(self) -> str:
        """Name of the field that names an environment variable."""
        return f"{self.option}_env"


@dataclass(frozen=True, slots=True)
class Setting:
    """The parts of a sink that its section does not hold.

    Attributes:
        secrets: option → value, for the given options.
        source_name: name of this daemon.
        write: logs an event ``alert`` with the fields ``kind`` and ``text``.
    """

    secrets: Mapping[str, str]
    source_name: str
    write: Callable[[str, str], object]


class ReceiverSection(BaseModel):
    """Base class of the receivers' sections.

    Not a `Section`, because pydantic allows no validator of all fields in a class that a field selects.
    A subclass adds ``type``, its fields and `sink`, and overrides other members where it differs.
    """

    model_config = Section.model_config
    SECRETS: ClassVar[tuple[Secret, ...]] = ()

    name: Name
    timeout: Duration = 10_000
    send_resolved: bool = True

    def sink(self, setting: Setting) -> Sink:
        """The sink for the receiver's notifications."""
        raise NotImplementedError

    @property
    def policy(self) -> ReceiverPolicy:
        """Which notifications the receiver gets."""
        return ReceiverPolicy(self.name, self.send_resolved)

    def own_faults(self, allow_private: bool) -> Iterator[str]:
        """Faults that only this kind of receiver can have, such as ``url: …``; they never repeat a value.

        Args:
            allow_private: whether receivers may have private addresses.
        """
        yield from ()

    @property
    def timeout_seconds(self) -> float:
        """Time limit of one attempt."""
        return self.timeout / 1000

    @property
    def place(self) -> str:
        """Name of the section in messages."""
        return f'receiver "{self.name}"'

    def problems(self, allow_private: bool) -> list[str]:
        """All faults that can be found without reading a secret.

        Args:
            allow_private: whether receivers may have private addresses.
        """
        faults = [*self._general_faults(), *self._misplaced_secrets(allow_private), *self.own_faults(allow_private)]
        return [f"{self.place}: {fault}" for fault in faults]

    def _general_faults(self) -> Iterator[str]:
        if not 0 < self.timeout <= _LONGEST_TIMEOUT:
            given, limit = format_duration(self.timeout), format_duration(_LONGEST_TIMEOUT)
            yield f'timeout: got "{given}"; must be longer than "0s" and at most "{limit}"'
        for secret in self.SECRETS:
            names = [*([secret.option] if secret.plain else []), secret.file, secret.variable]
            if secret.required and sum(getattr(self, name) is not None for name in names) != 1:
                yield f"give exactly one of {', '.join(names)}"

    def _misplaced_secrets(self, allow_private: bool) -> Iterator[str]:
        for secret in self.SECRETS:
            plain = getattr(self, secret.option) if secret.plain else None
            if plain is not None and (fault := secret.fault(plain, allow_private)):
                yield f"{secret.option}: {fault}"
        for secret in self.SECRETS:
            variable, file = getattr(self, secret.variable), getattr(self, secret.file)
            if variable is not None and not is_variable(variable):
                yield (
                    f"{secret.variable} must be the NAME of an environment variable, such as {secret.option.upper()}; "
                    "this is not such a name, and may be the secret itself"
                )
            if file is not None and _URL.match(str(file)):
                yield f"{secret.file} must be the name of a file that holds the secret, not a URL"

    def anchored(self, folder: Path) -> Self:
        """The section with relative paths resolved against a folder."""
        paths = {secret.file: getattr(self, secret.file) for secret in self.SECRETS}
        return self.model_copy(update={name: folder / path for name, path in paths.items() if path is not None})

    def secrets(self, environment: Mapping[str, str] | None, allow_private: bool) -> dict[str, str]:
        """Option → secret, for the given options.

        Args:
            environment: of the process; None where nothing will be sent, so that secrets stay empty.
            allow_private: whether receivers may have private addresses.

        Raises:
            ConfigError: if a secret cannot be read or cannot be used.
        """
        values = {secret.option: self._secret(secret, environment, allow_private) for secret in self.SECRETS}
        return {option: value for option, value in values.items() if value is not None}

    def _secret(self, secret: Secret, environment: Mapping[str, str] | None, allow_private: bool) -> str | None:
        plain = getattr(self, secret.option) if secret.plain else None
        if plain is not None:
            return str(plain)
        if environment is None:
            return ""
        file, variable = getattr(self, secret.file), getattr(self, secret.variable)
        value = read_secret(self.place, file, variable, environment, secret.option)
        if value is not None and (fault := secret.fault(value, allow_private)):
            source = secret.file if variable is None else secret.variable
            raise ConfigError([f"{self.place}: the secret that {source} names cannot be used: {fault}"])
        return value


def usable_url(text: str, allow_private: bool) -> str:
    """Why a text cannot be the URL of a receiver; empty if it can."""
    return url_fault(text, allow_private=allow_private)


def usable_token(text: str, allow_private: bool) -> str:
    """Why a text cannot be sent in a header; empty if it can."""
    return token_fault(text)
