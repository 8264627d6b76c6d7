"""Finds the line of each key of a TOML file, because tomllib returns values without their lines.

tomllib has read the text before, so this scanner need not detect faults. It handles tables, arrays of tables, dotted
and quoted keys, inline tables and arrays.
"""

from __future__ import annotations

import bisect
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Place = tuple[str | int, ...]
"""Keys and indexes that lead to a value, such as ``("models", 0, "task")``."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]}#\n]*")
_SECTIONS = {"model": "models", "rule": "rules", "receiver": "receivers"}
_PART = re.compile(r'\.?(?:([A-Za-z0-9_-]+)|("(?:[^"\\]|\\.)*"))|\[(\d+)\]')
_NAMED = re.compile(r'(model|rule|receiver) ("(?:[^"\\]|\\.)*"): ')


def key_lines(text: str) -> dict[Place, int]:
    """Place of each table, key and array element → its line, counted from 1.

    Args:
        text: valid TOML.
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._breaks = [index for index, char in enumerate(text) if char == "\n"]
        self._lines: dict[Place, int] = {}
        self._sizes: dict[Place, int] = {}

    def scan(self) -> dict[Place, int]:
        table: Place = ()
        while True:
            self._skip(_SPACE)
            if self._at >= len(self._text):
                return self._lines
            if self._text.startswith("[[", self._at):
                table = self._header(2, element=True)
            elif self._text[self._at] == "[":
                table = self._header(1, element=False)
            else:
                self._pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        self._at = self._at if match is None else match.end()

    def _mark(self, place: Place, at: int) -> None:
        self._lines.setdefault(place, bisect.bisect_left(self._breaks, at) + 1)

    def _header(self, brackets: int, *, element: bool) -> Place:
        begin = self._at
        self._at += brackets
        place: Place = ()
        keys = self._key()
        for number, key in enumerate(keys):
            place = (*place, key)
            self._mark(place, begin)
            if element and number == len(keys) - 1:
                self._sizes[place] = self._sizes.get(place, 0) + 1
            if place in self._sizes:  # the latest table of an array
                place = (*place, self._sizes[place] - 1)
                self._mark(place, begin)
        self._at += brackets
        return place

    def _key(self) -> list[str]:
        keys = []
        while True:
            self._skip(_BLANK)
            if self._text[self._at] in "\"'":
                keys.append(self._string())
            else:
                match = _BARE.match(self._text, self._at)
                keys.append(match.group() if match else "")
                self._at = match.end() if match else self._at + 1
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _pair(self, table: Place) -> None:
        begin, place = self._at, table
        for key in self._key():
            place = (*place, key)
            self._mark(place, begin)
        self._at += 1  # the equals sign
        self._skip(_BLANK)
        self._value(place)

    def _value(self, place: Place) -> None:
        char = self._text[self._at : self._at + 1]
        if char in ('"', "'"):
            self._string()
        elif char == "[":
            count = 0

            def element() -> None:
                nonlocal count
                self._mark((*place, count), self._at)
                self._value((*place, count))
                count += 1

            self._enclosed("]", element)
        elif char == "{":
            self._enclosed("}", lambda: self._pair(place))
        else:
            self._skip(_SCALAR)

    def _enclosed(self, end: str, item: Callable[[], None]) -> None:
        self._at += 1
        while True:
            self._skip(_SPACE)
            if self._at >= len(self._text) or self._text[self._at] == end:
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
            else:
                item()

    def _string(self) -> str:
        quote = self._text[self._at]
        if self._text.startswith(quote * 3, self._at):
            end = self._at + 3
            while not self._text.startswith(quote * 3, end):
                end += 2 if quote == '"' and self._text[end] == "\\" else 1
            # Up to two quotes may come before the three that end the string.
            while self._text.startswith(quote, end + 3):
                end += 1
            self._at = end + 3
            return ""  # never a key
        end = self._at + 1
        while self._text[end] != quote:
            end += 2 if quote == '"' and self._text[end] == "\\" else 1
        raw, self._at = self._text[self._at + 1 : end], end + 1
        return raw if quote == "'" else _unescaped(raw)


def _unescaped(raw: str) -> str:
    """A basic string's text. JSON has all of TOML's escapes except ``\\U``."""
    wide = re.sub(r"\\U([0-9a-fA-F]{8})", lambda match: chr(int(match.group(1), 16)), raw)
    try:
        return str(json.loads(f'"{wide}"', strict=False))
    except ValueError:
        return raw


def located(problems: list[str], path: Path, lines: Mapping[Place, int], names: Mapping[str, list[str]]) -> list[str]:
    """Problems with file and line before them, in the order of lines; problems without a line come first.

    Args:
        problems: each begins with its key (``models[0].task: …``, ``rule "drift": notify: …``), or has none.
        path: of the configuration.
        lines: result of `key_lines`.
        names: ``models``, ``rules``, ``receivers`` → the names of their tables in order.
    """
    if all(problem.startswith(f"{path}:") for problem in problems):
        return problems
    known = [(_line_of(problem, lines, names), problem) for problem in dict.fromkeys(problems)]
    known.sort(key=lambda pair: pair[0])
    return [f"{path}:{line}: {problem}" if line else f"{path}: {problem}" for line, problem in known]


def _line_of(problem: str, lines: Mapping[Place, int], names: Mapping[str, list[str]]) -> int:
    place: Place = ()
    if (named := _NAMED.match(problem)) is not None:
        section, name = _SECTIONS[named.group(1)], _unescaped(named.group(2)[1:-1])
        if name in names.get(section, []):
            place = (section, names[section].index(name))
        problem = problem[named.end() :]
    place += _leading_place(problem)
    while place:
        if place in lines:
            return lines[place]
        place = place[:-1]
    return 0


def _leading_place(problem: str) -> Place:
    parts: list[str | int] = []
    at = 0
    while (match := _PART.match(problem, at)) is not None:
        bare, text, index = match.groups()
        parts.append(int(index) if index is not None else bare if bare is not None else _unescaped(text[1:-1]))
        at = match.end()
    return tuple(parts) if problem.startswith(": ", at) else ()
