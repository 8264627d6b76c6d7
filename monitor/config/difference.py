"""Names of options that differ between two configurations; values may be secrets and are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monitor.config.schema import Config


def changed_options(old: Config, new: Config) -> list[str]:
    """Names such as ``models.income.drift.min_effect``, in order; list items are addressed by name if they have one."""
    before, after = _flat(old.model_dump(), ""), _flat(new.model_dump(), "")
    return sorted(name for name in before.keys() | after.keys() if before.get(name, _GONE) != after.get(name, _GONE))


_GONE = object()


def _flat(value: Any, prefix: str) -> dict[str, object]:
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        value = {item["name"]: item for item in value}
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat: dict[str, object] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}.{key}" if prefix else str(key))
    return flat
