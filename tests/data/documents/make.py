"""Made ``documents.zip`` beside it: state documents and profiles as leewayd wrote them at commit b0c182c.

Run by hand in a checkout of that commit, never by the tests, which use its profiles' configurations:

    git worktree add old b0c182c && cd old
    PYTHONPATH=$PWD python ../tests/data/documents/make.py ../tests/data/documents/documents.zip
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monitor.config.model import ModelSection
from monitor.decode.first_usable import Seen
from monitor.evaluate.record_faults import RecordFaults
from monitor.evaluate.schema_changes import SchemaChanges
from monitor.evaluate.state_damage import DamageNotice
from monitor.reference.build import build_profile
from monitor.reference.profile import Profile, encode_profile
from monitor.reference.tables import DataTable
from monitor.rows.records import Loss, Partition
from monitor.state.removed import Removed
from monitor.windows.gaps import Gaps

HOUR = 3_600_000
ROWS = 1_200


def table(task: str, rows: int = ROWS, seed: int = 3) -> DataTable:
    """Rows every quarter of an hour, with every kind of column."""
    dice = np.random.default_rng(seed)
    score = dice.random(rows).round(3)
    number = dice.normal(0, 1, rows).round(3)
    number[::50], number[7] = np.nan, np.inf
    held: dict[str, Any] = {
        "t": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows) * 15, unit="min"),
        "x": number,
        "z": dice.normal(5, 2, rows).round(3),
        "empty": np.full(rows, np.nan),
        "city": dice.choice([f"city {place}" for place in range(70)], rows),
        "sex": dice.choice(["f", "m"], rows),
        "v": [list(row) for row in dice.normal(0, 1, (rows, 3)).round(2)],
    }
    if task == "binary":
        held |= {"p": (score > 0.5).astype(int), "s": score, "y": (dice.random(rows) < score).astype(int)}
    elif task == "multiclass":
        held |= {"p": dice.choice(["a", "b", "c"], rows), "y": dice.choice(["a", "b", "c"], rows)}
    elif task == "regression":
        held |= {"p": held["z"] * 2, "y": held["z"] * 2 + dice.normal(0, 1, rows)}
    else:
        items = [[f"i{number}" for number in dice.permutation(9)[:4]] for _ in range(rows)]
        held |= {"p": items, "y": [row[:2] for row in items]}
    return DataTable(pd.DataFrame(held))


def section(task: str, **more: Any) -> ModelSection:
    """The configuration of a model with such a reference."""
    columns = {
        "timestamp": "t", "prediction": "p", "label": "y", "embeddings": ["v"],
        "features": ["x", "z", "empty", "city", "sex"], **({"score": "s"} if task == "binary" else {}),
    }  # fmt: skip
    raw = {"name": "m", "task": task, "reference": "r", "windows": ["6h", "1d"], "columns": columns, **more}
    return ModelSection.model_validate(raw)


def profiles() -> dict[str, Profile]:
    """One of each task; the binary one with a season and segments."""
    seasonal = {"segments": ["sex"], "drift": {"season": "hour_of_day"}}
    found = {task: build_profile(table(task), section(task)) for task in ("multiclass", "regression", "ranking")}
    return found | {"binary": build_profile(table("binary"), section("binary", **seasonal))}


def lone_documents() -> dict[str, bytes]:
    """Documents of which a quiet run leaves none, or empty ones."""
    gaps, damage, removed, seen = Gaps(), DamageNotice(HOUR), Removed(), Seen()
    gaps.lost(Loss(Partition("in", 0), "retention", 12, 30), 5 * HOUR, 6 * HOUR)
    gaps.lost(Loss(Partition("in", 1), "gone", 0), None, 6 * HOUR)
    damage.report("the saved state was corrupt")
    damage.findings(HOUR, 2 * HOUR)
    removed.look(["old", "m"], ["m"], 7)
    seen.assume([Partition("in", 1), Partition("in", 0)])
    faults, schema = RecordFaults(HOUR), SchemaChanges()
    faults.reject(np.array([2 * HOUR, HOUR, HOUR]), ["no_features", "json", "json"])
    faults.take_bare(np.array([3 * HOUR]))
    faults.take_labels(np.array([HOUR, 2 * HOUR]), ("bad_label", "json"))
    schema.take([(HOUR, "1", ("new", "newer")), (2 * HOUR, "2", ("new",))] + [(HOUR, "1", ())] * 100)
    schema.advance(30 * HOUR, 0)
    schema.take([(31 * HOUR, "1", ("latest", "last"))])
    return {
        "gaps/lone": gaps.document(), "damage/lone": damage.document(), "removed": removed.document(),
        "seen/lone": seen.document(), "faults/lone": faults.document(), "schema/lone": schema.document(),
    }  # fmt: skip


def main(target: Path) -> None:
    """Runs the daemon of `tests.support.state_runs` until the tenth hour of its logs, and packs everything."""
    from tests.support.state_runs import Site

    with tempfile.TemporaryDirectory() as home:
        site = Site(Path(home))
        site.run(10 * HOUR)
        documents = dict(site.saved().documents)
    packed = {f"documents/{name}": raw for name, raw in (documents | lone_documents()).items()}
    packed |= {f"profiles/{task}.json": encode_profile(profile) for task, profile in profiles().items()}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, raw in sorted(packed.items()):
            archive.writestr(zipfile.ZipInfo(name), raw, zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
