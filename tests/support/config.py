"""The smallest configurations that run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from monitor.checks.load import parse_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from monitor.config.schema import Config


def raw_config(folder: Path, model: Mapping[str, object] | None = None, **sections: object) -> dict[str, Any]:
    """One model ``m``; the timestamp is ``t``, the prediction ``p``, the source a broker that nobody calls.

    Args:
        folder: holds the state and the reference.
        model: options of the model that differ.
        sections: sections that differ; ``file`` takes the place of ``kafka``.
    """
    base: dict[str, object] = {"name": "m", "task": "binary", "reference": "reference.parquet"}
    base["columns"] = {"timestamp": "t", "prediction": "p"}
    raw: dict[str, Any] = {"state": {"dir": str(folder / "state")}, "models": [base | dict(model or {})]}
    if "file" not in sections:
        raw["kafka"] = {"bootstrap_servers": ["never:9092"], "predictions": ["predictions"]}
    return raw | sections


def make_config(folder: Path, model: Mapping[str, object] | None = None, **sections: object) -> Config:
    """As `raw_config`, checked."""
    return parse_config(raw_config(folder, model, **sections), folder)


def toml(value: Any) -> str:
    """A value as TOML writes it inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(part)}" for key, part in value.items()) + "}"
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list) else json.dumps(value)
