"""The command line."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing, nullcontext
from importlib.metadata import version as installed_version
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from alerts.moments import rfc3339, utc
from detectors.drift.dispersion import MIN_BLOCKS
from detectors.layout import HIGH, LOW, without_value
from monitor.backtest.detail import JsonDetail
from monitor.backtest.progress import replay_progress
from monitor.backtest.replay import replayed, run_backtest
from monitor.backtest.report import render_report
from monitor.backtest.summary import shown, summary_lines, useless_sentence
from monitor.checks.load import problems_located, read_config
from monitor.checks.preflight import check as check_file
from monitor.cli.demo import run_demo
from monitor.cli.guess import guess
from monitor.cli.init import starting_config
from monitor.common.clock import system_clock
from monitor.common.compressed import opened_for_writing, refuse_outputs
from monitor.common.durations import format_duration
from monitor.common.errors import ConfigError, LeewayError, ReferenceDataError, RetryableError
from monitor.common.logs import guard_standard_error
from monitor.config.log import make_log
from monitor.config.schema import Config, LogSection
from monitor.daemon.drop_state import drop_state
from monitor.daemon.service import run
from monitor.reference.build import load_reference
from monitor.reference.profile import load_profile, save_profile
from monitor.reference.tables import read_table

if TYPE_CHECKING:
    from monitor.backtest.history import History
    from monitor.config.model import ModelSection
    from monitor.reference.by_version import ReferencesByVersion
    from monitor.serve.snapshot import Snapshot

app = typer.Typer(
    name="leewayd",
    help="Monitors models in production and reports, with evidence, how far they have drifted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
reference_app = typer.Typer(help="Builds and shows references.", no_args_is_help=True)
app.add_typer(reference_app, name="reference")
state_app = typer.Typer(help="Changes what the daemon has saved, while it is stopped.", no_args_is_help=True)
app.add_typer(state_app, name="state")

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="TOML file; see config.example.toml.")]
_USAGE, _RETRY = 2, 75
_CONFIGS = (Path("leewayd.toml"), Path("/etc/leewayd/leewayd.toml"))
"""Default paths of the configuration."""


def main() -> None:
    """Runs the command line.

    Exit codes: 0 success, 1 requested findings, 2 usage or configuration, 75 a failure that may be temporary.
    """
    guard_standard_error()
    try:
        app()
    except ConfigError as error:
        _fail("", error.problems)
    except ReferenceDataError as error:
        _fail("reference", str(error).splitlines())
    except RetryableError as error:
        _fail("error", str(error).splitlines(), _RETRY)
    except LeewayError as error:
        _fail("error", str(error).splitlines())


def _fail(kind: str, problems: list[str], code: int = _USAGE) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for problem in problems:
        # A fault of the configuration begins with the file's name, so that editors can jump to it.
        console.print(f"{kind}: {problem}" if kind else problem, markup=False)
    if len(problems) > 1:
        console.print(f"{len(problems)} problems", markup=False)
    sys.exit(code)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"leewayd {installed_version('leewayd')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command("run")
def run_command(
    config: ConfigPath,
    once: Annotated[
        bool, typer.Option("--exit", help="With \\[file]: stop when the replay has ended and all is delivered.")
    ] = False,
) -> None:
    """Runs the daemon."""
    with problems_located(config):
        snapshot = run(
            lambda: read_config(config), clock=system_clock(), environment=os.environ, make_log=make_log, once=once
        )
    if once and snapshot.ended:
        raise typer.Exit(1 if _tell_summary(snapshot) else 0)


@app.command()
def check(config: ConfigPath) -> None:
    """Checks a configuration: every fault at once, references and secrets included."""
    checked = check_file(config, os.environ, make_log(LogSection()))
    settings = checked.config
    for model in settings.models:
        _print_model(model, checked.references.get(model.name))
    typer.echo(f"{config}: ok ({len(settings.rules)} rules, {len(settings.receivers)} receivers)")


def _print_model(model: ModelSection, references: ReferencesByVersion | None) -> None:
    shape = f"panes of {format_duration(model.pane)}, windows {', '.join(model.windows)}"
    if references is None:
        typer.echo(f'model "{model.name}": a reference is to be learned from {model.learn_rows:,} rows, {shape}')
        return
    for index, profile in enumerate(references.profiles):
        versions = [version for version, own in references.versions.items() if own == index]
        whose = f" of version {versions[0]}" if versions else ""
        typer.echo(
            f'model "{model.name}": {len(profile.layout.subjects)} subjects, '
            f"reference{whose} of {profile.rows:,} rows, {shape}"
        )
        lacking = profile.windows_taken_as_independent(model.windows)
        if lacking and model.drift.burn_in is None:
            typer.echo(
                f"  note: the reference contains fewer than {MIN_BLOCKS} windows of {', '.join(lacking)}, "
                "so their rows are assumed independent; correlated traffic may raise more alarms than the budget "
                "(give the reference event times, or set burn_in)"
            )


@app.command("init")
def init_command(
    sample: Annotated[
        Path, typer.Option("--input", "-i", metavar="SAMPLE", help="Training data or a piece of the log.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("leewayd.toml"),
    model: Annotated[str, typer.Option(help="The model's name.")] = "model",
) -> None:
    """Writes a first configuration from a sample: columns, types, segments, windows for its traffic."""
    if output.exists():
        raise LeewayError(f"{output} already exists; give another --output")
    table = read_table(sample)
    guessed = guess(table)
    output.write_text(
        starting_config(guessed, os.path.relpath(sample, output.resolve().parent), model), encoding="utf-8"
    )
    span = None
    if guessed.timestamp is not None:
        try:
            times = table.times(guessed.timestamp)
        except ReferenceDataError as error:
            typer.echo(f"note: {error}", err=True)
        else:
            span = int(times.min()), int(times.max())
    typer.echo(f"{sample}: {table.rows:,} rows, {len(table.names)} columns, {_time_span(span)}")
    typer.echo(f"{output}: written; read the lines marked GUESS, then run: leewayd check {output}")


@app.command()
def schema() -> None:
    """Prints the JSON Schema of the configuration, for editors."""
    typer.echo(json.dumps(Config.model_json_schema(), indent=2))


@app.command()
def demo(
    exit_when_done: Annotated[bool, typer.Option("--exit", help="Stop at the end of the log.")] = False,
    kafka: Annotated[
        str | None, typer.Option("--kafka", metavar="BOOTSTRAP", help="Send the log through this broker.")
    ] = None,
    listen: Annotated[str | None, typer.Option("--listen", metavar="HOST:PORT", help="Address of /metrics.")] = None,
) -> None:
    """Replays nine months of a real model's log: drift, an alert, a call for retraining."""
    complete, snapshot = run_demo(
        exit_when_done=exit_when_done,
        kafka=kafka,
        listen=listen,
        clock=system_clock(),
        environment=os.environ,
        make_log=make_log,
        console=Console(highlight=False),
    )
    useless = _tell_summary(snapshot)
    raise typer.Exit(0 if complete and not useless else 1)


@app.command()
def backtest(
    config: ConfigPath,
    logs: Annotated[
        list[Path], typer.Option("--input", "-i", metavar="LOG", help="JSON lines or Parquet; repeatable.")
    ],
    labels: Annotated[
        list[Path] | None, typer.Option("--labels", metavar="LOG", help="The labels of the log; repeatable.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Which model; needed if several would read every record.")] = None,
    lines: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="OUT",
            help="Write evaluations, alerts, notifications as JSON lines; compressed if OUT ends in .gz or .zst.",
        ),
    ] = None,
    detail: Annotated[
        JsonDetail,
        typer.Option(
            "--json-detail", help="Which evaluations to write: all, only judged findings, or changes of status."
        ),
    ] = JsonDetail.ALL,
    page: Annotated[
        Path | None, typer.Option("--html", metavar="REPORT", help="Write a report, one HTML file.")
    ] = None,
    fail_on_alert: Annotated[bool, typer.Option("--fail-on-alert", help="Exit with 1 if an alert would fire.")] = False,
) -> None:
    """Replays a log through configuration and rules, and reports which alerts would have fired. Sends nothing."""
    whole = read_config(config)
    inputs = [path.resolve() for path in (*logs, *(labels or []))]
    refuse_outputs([lines, page], [config.resolve(), *inputs])
    settings = replayed(whole, inputs[: len(logs)], model, inputs[len(logs) :])
    clock = system_clock()
    progress = replay_progress(sys.stderr, clock.monotonic)
    with (
        problems_located(config),
        closing(progress),
        opened_for_writing(lines) if lines else nullcontext(None) as write,
    ):
        history = run_backtest(
            settings,
            now=clock.wall(),
            monotonic=clock.monotonic,
            log=make_log(LogSection(level="error", format="console")),
            write=None if write is None else lambda line: write(line + b"\n"),
            progress=progress.update,
            detail=detail,
            whole=whole,
        )
    if page is not None:
        with opened_for_writing(page) as write:
            write(render_report(history, config.name, [path.name for path in logs]).encode())
    _print_backtest(history)
    useless = _tell_summary(history.snapshot)
    fired = any(change.state == "firing" for change in history.transitions)
    raise typer.Exit(1 if useless or (fired and fail_on_alert) else 0)


def _print_backtest(history: History) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("rule", "alerts", "first", "notifications"):
        number = name in ("alerts", "notifications")
        # On a narrow terminal, only the rule's name is wrapped.
        table.add_column(name, justify="right" if number else "left", no_wrap=name != "rule", overflow="fold")
    for name in history.rules:
        fired = [change for change in history.transitions if change.key.rule == name and change.state == "firing"]
        sent = sum(notice.rule.name == name for notice in history.notices)
        table.add_row(name, str(len(fired)), utc(fired[0].at) if fired else "never", str(sent))
    Console(highlight=False, markup=False, width=120 if not sys.stdout.isatty() else None).print(table)


def _tell_summary(snapshot: Snapshot | None) -> bool:
    """Prints a summary of the records read; returns whether they were useless, which it reports on stderr."""
    if snapshot is None:
        return False
    typer.echo("\n" + shown(summary_lines(snapshot), get_terminal_size((120, 24)).columns))
    if sentence := useless_sentence(snapshot):
        Console(stderr=True, highlight=False, soft_wrap=True).print(sentence, markup=False)
        return True
    return False


@reference_app.command("build")
def reference_build(
    config: ConfigPath,
    model: Annotated[str | None, typer.Option(help="Which model; needed if there are several.")] = None,
    version: Annotated[
        str | None, typer.Option("--for-version", help="The version, if every version has its own reference.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: the reference's name with .profile.json.")
    ] = None,
) -> None:
    """Builds a model's profile: counts instead of rows, to deploy instead of the training data."""
    settings = read_config(config)
    names = [section.name for section in settings.models]
    if model is None and len(names) > 1:
        raise ConfigError([f"several models are configured; give --model, one of {', '.join(names)}"])
    chosen = [section for section in settings.models if model in (None, section.name)]
    if not chosen:
        raise ConfigError([f"no model {model!r}; there are {', '.join(names)}"])
    section = chosen[0]
    sources = {"": section.reference, **section.references}
    if version is None and section.reference is None and len(section.references) > 1:
        names = list(section.references)
        raise ConfigError([f"every version has its own reference; give --for-version, one of {', '.join(names)}"])
    source = sources.get(version or "") or next(iter(section.references.values()), None)
    if source is None or (version is not None and version not in sources):
        raise ConfigError([f"model {section.name!r} has no such reference to build"])
    with problems_located(config):
        profile = load_reference(section, source)
    target = output or source.with_suffix(".profile.json")
    save_profile(profile, target)
    span = None if profile.first is None or profile.last is None else (profile.first, profile.last)
    subjects = len(profile.layout.subjects)
    typer.echo(f"{target}: {profile.rows:,} rows as counts of {subjects} subjects, {_time_span(span)}")


def _time_span(span: tuple[int, int] | None) -> str:
    return "no event times" if span is None else f"{utc(span[0])} to {utc(span[1])}"


@reference_app.command("show")
def reference_show(profile: Annotated[Path, typer.Argument(metavar="PROFILE")]) -> None:
    """Shows the content of a profile."""
    loaded = load_profile(profile)
    first, last = loaded.first, loaded.last
    span = "" if first is None or last is None else f", {rfc3339(first)} to {rfc3339(last)}"
    typer.echo(f"{profile}: {loaded.rows:,} rows{span}")
    if loaded.segments:
        typer.echo(f"segments: {', '.join(loaded.segments)}")
    for window, dispersion in loaded.dispersions.items():
        typer.echo(f"windows of {format_duration(window)}: {dispersion.blocks} in the reference")
    table = Table(box=None, pad_edge=False)
    for name in ("subject", "kind", "bins", "missing", "mean", "sd", "most frequent"):
        table.add_column(name, justify="left" if name in ("subject", "kind", "most frequent") else "right")
    layout = loaded.layout
    for index, subject in enumerate(layout.subjects):
        bins = loaded.counts.bins[index]
        missing = without_value(bins) / max(loaded.rows, 1)
        numeric = bool(layout.numeric[index])
        rare = int(bins[LOW] + bins[HIGH])
        frequent = "" if numeric else ", ".join(loaded.top[subject][:5]) + (f" (+{rare} rare)" if rare else "")
        table.add_row(
            subject,
            "numeric" if numeric else "categorical",
            str(int(layout.width[index])),
            f"{missing:.2%}",
            f"{layout.location[index]:.4g}" if numeric else "",
            f"{layout.scale[index]:.4g}" if numeric else "",
            frequent,
        )
    Console(highlight=False, markup=False, width=120 if not sys.stdout.isatty() else None).print(table)


@state_app.command("drop")
def state_drop(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Its name; it need not be configured.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="CONFIG", help="Default: ./leewayd.toml, /etc/leewayd/leewayd.toml."),
    ] = None,
) -> None:
    """Deletes the state of a model at once: panes, labels, its learned reference. The daemon must be stopped."""
    path = config or next((path for path in _CONFIGS if path.exists()), None)
    if path is None:
        raise ConfigError([f"no {' and no '.join(map(str, _CONFIGS))}: give --config"])
    clock = system_clock()
    stamp = rfc3339(clock.now_ms()).replace(":", "")
    for line in drop_state(read_config(path), model, stamp, make_log(LogSection(level="warning", format="console"))):
        typer.echo(line)
