"""Writes every generated file of this directory: `python -m dashboards.generate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from dashboards import model
from dashboards.health import ALERTS, RECORDINGS
from dashboards.page import render
from dashboards.rules import promtool_tests, rules_yaml

HERE = Path(__file__).resolve().parent
# The copy in this repository; installations pass the URL of the copy that their on-call engineers use.
RUNBOOK = "docs/runbook.md"
PAGES = (model.page,)


def files(runbook: str = RUNBOOK) -> dict[Path, str]:
    """Path below this directory → text, for every generated file."""
    pages = [page() for page in PAGES]
    return {Path("grafana") / f"{page.uid}.json": render(page) for page in pages} | {
        Path("prometheus/leeway-rules.yml"): rules_yaml(RECORDINGS, ALERTS, runbook),
        Path("prometheus/leeway-rules.test.yml"): promtool_tests(ALERTS, "leeway-rules.yml"),
    }


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.generate", description="Writes dashboards and rules.")
    parser.add_argument("--runbook", default=RUNBOOK, metavar="URL", help="where alerts link to (%(default)s)")
    parser.add_argument("--into", type=Path, default=HERE, metavar="DIRECTORY", help="where to write (%(default)s)")
    arguments = parser.parse_args()
    for path, text in files(arguments.runbook).items():
        target = arguments.into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
