"""Secrets come from a file, the environment or systemd's credentials folder, never from the configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from monitor.common.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Typical names of secrets. Any other text may be a secret that was pasted instead of its name.
_NAME = re.compile(r"[A-Z]{1,20}(_[A-Z]{1,20})*(_\d{1,2})?|[a-z]{1,20}([._-][a-z]{1,20})*")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_variable(name: str) -> bool:
    """Whether a text can be the name of an environment variable, and not a key that was pasted in."""
    if _VARIABLE.fullmatch(name) is None:
        return False
    # Keys and tokens have long runs of letters and digits; names are made of words.
    return not any(len(word) >= 20 and re.search(r"\d", word) for word in name.split("_"))


def read_secret(
    key: str, file: Path | None, variable: str | None, environment: Mapping[str, str], option: str = ""
) -> str | None:
    """The secret, without surrounding white space; None if neither a file nor a variable is named.

    A file that does not exist is looked up by its name in ``$CREDENTIALS_DIRECTORY`` as well, so that one
    configuration serves systemd (``LoadCredential=slack_url:...``) and a container.

    Args:
        key: where the option stands, for messages.
        file, variable: the file or variable that holds the secret.
        environment: of the process.
        option: the option's name without ``_file`` and ``_env``, for messages.

    Raises:
        ConfigError: if the file or variable cannot be read or is empty. The message never contains the value, nor a
            name that may be the value.
    """
    if variable is not None:
        value = environment.get(variable, "").strip()
        if not value:
            raise ConfigError([f"{key}: {_variable(variable, option)} is not set"])
        return value
    if file is None:
        return None
    candidates = [file]
    if folder := environment.get("CREDENTIALS_DIRECTORY"):
        candidates.insert(0, type(file)(folder) / file.name)
    for candidate in candidates:
        try:
            value = candidate.read_text(encoding="utf-8").strip()
        except UnicodeDecodeError:
            raise ConfigError([f"{key}: {_file(candidate, option)} is not text in UTF-8"]) from None
        except (OSError, ValueError):  # ValueError: a zero byte in the name
            continue
        if not value:
            raise ConfigError([f"{key}: {_file(candidate, option)} is empty"])
        return value
    raise ConfigError([f"{key}: cannot read {_file(file, option)}"])


def _variable(name: str, option: str) -> str:
    if _NAME.fullmatch(name) is not None:
        return f"the environment variable {name}"
    return f"the environment variable that {f'{option}_env' if option else 'the option'} names"


def _file(file: Path, option: str) -> str:
    try:
        known = _NAME.fullmatch(file.name) is not None and file.parent.is_dir()
    except (OSError, ValueError):
        known = False
    return str(file) if known else f"the file that {f'{option}_file' if option else 'the option'} names"
