"""Secrets come from a file, the environment or systemd's credentials folder, never from the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read_secret(place: str, file: Path | None, variable: str | None, environment: Mapping[str, str]) -> str | None:
    """The secret, without surrounding white space; None if neither a file nor a variable is named.

    A file that does not exist is looked up by its name in ``$CREDENTIALS_DIRECTORY`` as well, so that one
    configuration serves systemd (``LoadCredential=slack_url:...``) and a container.

    Raises:
        ConfigError: if what is named cannot be read or is empty. The message never holds the value.
    """
    if variable is not None:
        value = environment.get(variable, "").strip()
        if not value:
            raise ConfigError([f"{place}: the environment variable {variable} is not set"])
        return value
    if file is None:
        return None
    candidates = [file]
    if folder := environment.get("CREDENTIALS_DIRECTORY"):
        candidates.insert(0, type(file)(folder) / file.name)
    for candidate in candidates:
        try:
            value = candidate.read_text(encoding="utf-8").strip()
        except OSError:
            continue
        if not value:
            raise ConfigError([f"{place}: {candidate} is empty"])
        return value
    raise ConfigError([f"{place}: cannot read {file}"])
