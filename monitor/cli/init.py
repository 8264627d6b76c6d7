"""Writes a first, working configuration from a sample, and marks guesses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from monitor.common.durations import format_duration

if TYPE_CHECKING:
    from monitor.cli.guess import Guess


def starting_config(guess: Guess, reference: str, model: str) -> str:
    """The text of a TOML file.

    Args:
        guess: the guessed roles of the sample's columns.
        reference: the sample's path, as written to the file.
        model: the model's name.
    """
    rate = "" if guess.rows_per_hour is None else f" ({guess.rows_per_hour:,.0f} rows an hour in the sample)"
    lines = [
        f"# Written by `leewayd init` from {reference}.",
        "# Review the lines marked GUESS; then: leewayd check THIS_FILE",
        "# Every other option: config.example.toml",
        "",
        "[state]",
        'dir = "./state"',
        "",
        "[http]",
        'listen = "127.0.0.1:9464"',
        "",
        "[kafka]",
        'bootstrap_servers = ["localhost:9092"]   # GUESS',
        'predictions = ["predictions"]            # GUESS: the topic of the prediction log',
        "",
        "[[models]]",
        f"name = {_text(model)}",
        f"task = {_text(guess.task)}   # GUESS",
        f"reference = {_text(reference)}   # better: the data that the model was trained on, with event times",
        f"pane = {_text(format_duration(guess.pane))}",
        f"windows = [{', '.join(map(_text, guess.windows))}]   # about 1,000 rows in the shortest{rate}",
        f"lateness = {_text(format_duration(guess.lateness))}",
        f"segments = [{', '.join(map(_text, guess.segments))}]",
        "",
        "[models.columns]",
        *_column("timestamp", guess.timestamp, "event time; required in messages, optional in the reference"),
        *_column("prediction", guess.prediction, "the model's output"),
        *_column("score", guess.score, None),
        *_column("label", guess.label, None),
        *_column("id", guess.id, None),
        *_column("version", guess.version, None),
    ]
    if guess.excluded:
        names = ", ".join(map(_text, guess.excluded))
        lines.append(f"exclude = [{names}]   # lists, or a distinct value in nearly every row")
    lines += [
        "",
        "[models.drift]",
        "min_effect = 0.02             # threshold of the PSI",
        "false_alarms_per_30d = 1.0    # over all features, windows and segments",
        "",
        "# Without rules and receivers, drift is reported in the log. For example:",
        "# [[rules]]",
        '# name = "feature drift"',
        '# when = "drifted"',
        '# for = "30m"',
        '# notify = ["team"]',
        "# [[receivers]]",
        '# name = "team"',
        '# type = "slack"',
        '# url_env = "SLACK_URL"',
        "",
    ]
    return "\n".join(lines)


def _column(key: str, name: str | None, needed: str | None) -> list[str]:
    if name is not None:
        return [f"{key} = {_text(name)}   # GUESS"]
    return [] if needed is None else [f'{key} = "{key}"   # GUESS: no such column in the sample; {needed}']


def _text(value: str) -> str:
    """A TOML basic string; TOML accepts all of JSON's escapes."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
