"""Faults that pydantic finds, in plain English: the key, the value and the nearest valid one."""

from __future__ import annotations

import re
import types
import typing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from monitor.common.durations import format_duration
from monitor.common.nearest import BARE_KEY, hint, listed, nearest, place_text, quoted, shown
from monitor.config.schema import Config
from monitor.receivers.registry import RECEIVERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

# Keys that are often tried, and why they are refused.
_SECRET_KEYS = {
    secret.option: f"the {secret.noun} is a secret: put it in a file or the environment and name that with "
    f"{secret.file} or {secret.variable}"
    for receiver in RECEIVERS
    for secret in receiver.SECRETS
}
_SECRET = re.compile(r"url|token|secret|password|routing_key|credential|headers|client|_env$", re.IGNORECASE)
"""Values of such keys are never repeated in a message."""
_FIELD = re.compile(r"[a-z_]+(\[\d+\]|\.[a-z_]+)*: ")
_LIST_OF_TABLES = ("models", "rules", "receivers")
_KINDS = {
    "string": "text in quotes",
    "int": "a whole number",
    "int_from_float": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list in [brackets]",
    "dict": "a table",
    "model": "a table",
    "path": "a path in quotes",
}


def describe(items: Sequence[ErrorDetails], raw: dict[str, Any]) -> list[str]:
    """Faults as lines, each beginning with its key.

    Args:
        items: of pydantic's `ValidationError`.
        raw: the document that was validated.
    """
    lines: list[str] = []
    kinds: dict[str, list[str]] = {}
    for item in items:
        path = place_text(_without_tags(item["loc"], raw))
        if (kind := _kind(item["type"])) is None:
            lines += _described(item, raw)
        elif path in kinds:  # a value that may be of several types fails for each of them
            kinds[path].append(kind)
        else:
            kinds[path] = [kind]
            lines += _described(item, raw)
    several = {key: allowed for key, allowed in kinds.items() if len(allowed) > 1}
    for key, allowed in several.items():
        either = f"must be {', '.join(allowed[:-1])} or {allowed[-1]}"
        lines = [
            line.replace(f"must be {allowed[0]}", either) if line.startswith(f"{key}: ") else line for line in lines
        ]
    return lines


def _kind(error: str) -> str | None:
    """The type of value that an error asks for; None for other errors."""
    return _KINDS.get(error.removesuffix("_type").removesuffix("_parsing"))


def _described(item: ErrorDetails, raw: dict[str, Any]) -> list[str]:
    location = _without_tags(item["loc"], raw)
    key = place_text(location)
    if item["type"] == "value_error":
        lines = str(item["ctx"]["error"] if "ctx" in item else item["msg"]).splitlines()
        # The fault of a section begins with the field at fault; the fault of a field has the field as its location.
        return [_joined(key, line, field=_FIELD.match(line) is not None) for line in lines]
    return [_joined(key, _sentence(item, location, raw), field=item["type"].startswith("union_tag"))]


def _joined(key: str, sentence: str, *, field: bool) -> str:
    return f"{key}{'.' if field else ': '}{sentence}" if key else sentence


def _sentence(item: ErrorDetails, location: list[int | str], raw: dict[str, Any]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(item["loc"], location, raw)
    if kind == "missing":
        return "required, but not given"
    if kind == "union_tag_not_found":
        return f"type: required, but not given; valid: {listed(_expected(context.get('expected_tags', '')))}"
    if kind == "union_tag_invalid":
        return f"type: got {quoted(context['tag'])}; {hint(context['tag'], _expected(context['expected_tags']))}"
    secret = any(isinstance(step, str) and _is_secret(step) for step in location)
    value = item["input"]
    got = "" if secret else f"got {shown(value)}; "
    if kind == "literal_error":
        valid = _expected(context["expected"])
        return got + (hint(value, valid) if isinstance(value, str) else f"valid: {listed(valid)}")
    if location and location[-1] in _LIST_OF_TABLES and kind == "list_type":
        return f"must be a list of tables: write [[{location[-1]}]] with two brackets"
    if isinstance(value, str):  # a limit of a duration
        context = {
            key: f'"{format_duration(step)}"' if isinstance(step, int) else step for key, step in context.items()
        }
    return got + _must(kind, context, item["msg"])


def _is_secret(key: str) -> bool:
    return _SECRET.search(key) is not None or key.removesuffix("_file") in _SECRET_KEYS


def _must(kind: str, context: dict[str, Any], message: str) -> str:
    limits = {
        "greater_than": "must be greater than {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be less than {lt}",
        "less_than_equal": "must be at most {le}",
        "too_short": "must hold at least {min_length}",
        "too_long": "holds {actual_length}; at most {max_length} are allowed",
        "string_too_short": "must not be empty",
        "string_too_long": "must be at most {max_length} characters long",
        "finite_number": "must be a finite number",
        "int_from_float": "must be a whole number",
    }
    if kind in limits:
        return limits[kind].format(**context)
    known = _kind(kind)
    return f"must be {known}" if known else message[:1].lower() + message[1:]


def _expected(text: str) -> list[str]:
    """The names in pydantic's "'a', 'b' or 'c'"."""
    return re.findall(r"'([^']*)'", text)


def _unknown_key(whole: tuple[int | str, ...], location: list[int | str], raw: dict[str, Any]) -> str:
    key = str(location[-1])
    # `url` is a plain setting of a webhook and an unknown key elsewhere, so only here is it a misplaced secret.
    if key in _SECRET_KEYS and "receivers" in location:
        return _SECRET_KEYS[key]
    known = _keys(_section_at(list(whole[:-1])))
    if key not in known:
        # In TOML a key belongs to the last table above it, so a key that is too far down belongs to another table.
        for above in range(len(whole) - 2, -1, -1):
            outer = _section_at(list(whole[:above]))
            if isinstance(whole[above], str) and key in _keys(outer):
                parents = [str(step) for step in _without_tags(whole[:above], raw) if isinstance(step, str)]
                home = f"[{'.'.join(parents)}]" if parents else "the top of the file"
                home = f"[{home}]" if len(parents) == 1 and parents[0] in _LIST_OF_TABLES else home
                below = ".".join(str(step) for step in location[:-1] if isinstance(step, str))
                return f"unknown key; it belongs to {home}: move it above the line [{below}]"
        if nearest(key, known) is None and (beside := _section_beside(key, whole, raw)) is not None:
            return f"unknown key; it belongs to [{beside}]"
    return f"unknown key; {hint(key, sorted(known), 'valid here')}"


def _section_beside(key: str, whole: tuple[int | str, ...], raw: dict[str, Any]) -> str | None:
    """A neighbouring or nested section that has a key, such as ``models.drift``."""
    for above in range(len(whole) - 1, 0, -1):
        outer = _section_at(list(whole[:above])) if isinstance(whole[above], str) else None
        for name, field in outer.model_fields.items() if outer else ():
            if any(key in _keys(inner) for inner in _sections(field.annotation)):
                return ".".join(
                    [*(str(step) for step in _without_tags(whole[:above], raw) if isinstance(step, str)), name]
                )
    return None


def _without_tags(location: tuple[int | str, ...], raw: Any) -> list[int | str]:
    """The location in the document: pydantic puts the ``type`` of a receiver, and branches of unions, in between."""
    kept: list[int | str] = []
    node = raw
    for number, step in enumerate(location):
        inside = (isinstance(node, dict) and step in node) or (
            isinstance(node, list) and isinstance(step, int) and step < len(node)
        )
        if inside:
            kept.append(step)
            node = node[step]
        elif number == len(location) - 1 and isinstance(node, dict) and BARE_KEY.fullmatch(str(step)):
            kept.append(step)  # a key that is missing
    return kept


def _keys(model: type[BaseModel] | None) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()} if model else set()


def _section_at(location: list[int | str]) -> type[BaseModel] | None:
    """The section that a location in a validation error lies in."""
    candidates: list[type[BaseModel]] = [Config]
    for step in location:
        if isinstance(step, int):
            continue
        tagged = [model for model in candidates if _tag(model) == step]
        if tagged:
            candidates = tagged
            continue
        candidates = [
            inner
            for model in candidates
            for name, field in model.model_fields.items()
            if step in (name, field.alias)
            for inner in _sections(field.annotation)
        ]
    return candidates[0] if candidates else None


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("type")
    return typing.get_args(field.annotation)[0] if field else None


def _sections(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (list, dict, types.UnionType, typing.Union, typing.Annotated):
        return [section for inner in typing.get_args(annotation) for section in _sections(inner)]
    return []
