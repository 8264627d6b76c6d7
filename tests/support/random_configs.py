"""Configurations drawn at random, each with small references, a short log and labels."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monitor.common.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START = 1_700_006_400_000  # midnight, UTC
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NAMES = [
    "a", "a.b", "b.c.d", "addr", "addr.zip", "x y", "ü", "1", "01", 'q"u', "=", "feature:x", "all", "A", "a[0]",
    "é" * 90, "null", "score", "prediction", "None", "-", "\\",
]  # fmt: skip
CLASSES = [
    [0, 1],
    ["no", "yes"],
    [True, False],
    ["a"],
    [1],
    ["", "b"],
    [0.5, 1.5],
    ["x", "y", "z"],
    list(range(8)),
    [None],
]
SHOWN = [
    "hellinger",
    "total_variation",
    "l_infinity",
    "kullback_leibler",
    "energy",
    "cramers_v",
    "mean_shift",
    "median_shift",
]


@dataclass
class Case:
    """One configuration with its files."""

    raw: dict[str, Any]
    log: list[dict[str, Any]]
    labels: list[dict[str, Any]] = field(default_factory=list)


def toml(value: Any) -> str:
    """A value as TOML, tables inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "nan" if math.isnan(value) else "inf"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key, ensure_ascii=False)} = {toml(inner)}" for key, inner in value.items())
            + "}"
        )
    return str(value)


def document(raw: dict[str, Any]) -> str:
    """A whole file."""
    return "\n".join(f"{key} = {toml(value)}" for key, value in raw.items()) + "\n"


class Draw:
    """Draws one case.

    Args:
        seed: the same seed gives the same case.
        folder: where its files are written.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = Random(seed)  # noqa: S311 - not for secrets
        self.numpy, self.folder = np.random.default_rng(seed), folder
        # One case in four holds what must be refused.
        self.wild = self.rng.random() < 0.25

    def maybe(
        self, section: dict[str, Any], key: str, values: list[Any], chance: float = 0.35, bad: Sequence[Any] = ()
    ) -> None:
        """Perhaps a key, with one of some values; of those that cannot work in wild cases alone."""
        if self.rng.random() < chance:
            section[key] = self.rng.choice([*values, *bad] if self.wild else values)

    def feature(self, rows: int) -> list[Any]:
        rng, kind = self.rng, self.rng.randrange(14)
        normal = self.numpy.normal(size=rows)
        if kind == 0:
            return [float(value) for value in normal]
        if kind == 1:
            return [rng.choice([0, 3.5, "k", None, True])] * rows
        if kind == 2:
            return [None] * rows
        if kind == 3:
            return [rng.randrange(5) for _ in range(rows)]
        if kind == 4:
            return [rng.random() < 0.3 for _ in range(rows)]
        if kind == 5:
            return [f"v{rng.randrange(4)}" for _ in range(rows)]
        if kind == 6:
            return [f"v{rng.randrange(10**6)}" for _ in range(rows)]
        if kind == 7:
            return [rng.choice([None, "", "a", "ü\n", "=", "NA"]) for _ in range(rows)]
        if kind == 8:
            return [rng.choice([1e300, -1e300, 1e-300, 0.0]) for _ in range(rows)]
        if kind == 9:
            return [rng.choice([2**62, -(2**62), 7]) for _ in range(rows)]
        if kind == 10:
            return [rng.choice([1, "1", "x", None]) for _ in range(rows)]
        if kind == 11:
            return [float(value) if rng.random() < 0.5 else None for value in normal]
        if kind == 12:
            return [[float(value), 1.0, 2.0] for value in normal]
        return [0.0 if rng.random() < 0.9 else float(value) for value in normal]

    def outcomes(self, task: str, rows: int) -> tuple[list[Any], list[Any]]:
        """Predictions and labels."""
        rng = self.rng
        if task == "ranking":
            items = [[rng.randrange(9) for _ in range(rng.randrange(1, 5))] for _ in range(rows)]
            return items, [rng.choice([[1], [], 3, [2, 5]]) for _ in range(rows)]
        if task == "regression":
            scale = rng.choice([1.0, 0.0, 1e-12, 1e12, 1e150])
            values = [float(value) * scale for value in self.numpy.normal(size=rows)]
            return values, [
                value + float(error) * scale for value, error in zip(values, self.numpy.normal(size=rows), strict=True)
            ]
        classes = rng.choice(CLASSES)
        predicted = [rng.choice(classes) for _ in range(rows)]
        return predicted, [value if rng.random() < 0.8 else rng.choice(classes) for value in predicted]

    def scores(self, rows: int) -> list[Any]:
        kind = self.rng.randrange(5)
        if kind == 0:
            return [0.5] * rows
        if kind == 1:
            return [None] * rows
        if kind == 2:
            return [float(value) for value in self.numpy.normal(size=rows)]
        return [self.rng.random() for _ in range(rows)]

    def case(self) -> Case:
        rng = self.rng
        task = rng.choice(["binary", "binary", "multiclass", "regression", "ranking"])
        features = rng.sample(NAMES, rng.choice([0, 1, 2, 3, 5]))
        columns: dict[str, Any] = {"timestamp": "t", "prediction": "p"}
        model: dict[str, Any] = {
            "name": rng.choice(["m", "ü/..", "a b", "x" * 120, "ü" * (120 if self.wild else 30)]),
            "task": task,
            "columns": columns,
        }
        self.maybe(columns, "id", ["id"], 0.7)
        self.maybe(columns, "version", ["ver"], 0.3)
        self.maybe(columns, "label", ["y"], 0.7)
        self.maybe(columns, "features_at", ["", "in", "in.deep"], 0.3)
        if features:
            self.maybe(columns, "features", [features, features[:1], features[::-1]], 0.3, bad=[features * 2])
            self.maybe(columns, "exclude", [features[:1]], 0.2, bad=[["zz"], [""]])
            kinds = {name: rng.choice(["numeric", "categorical"]) for name in features}
            self.maybe(columns, "types", [dict.fromkeys(features, "categorical")], 0.3, bad=[kinds, {"zz": "numeric"}])
        self.maybe(columns, "embeddings", [["emb"]], 0.2, bad=[features[:1], ["s"]])
        scores: list[Any] = ["s", {"1": "s"}, {"yes": "s", "no": "s0"}]
        if task == "multiclass":
            scores = [
                {name: f"s{name}" for name in names} for names in (["a", "b"], ["0", "1"], ["x", "y", "z"], ["a"])
            ]
        self.maybe(columns, "score", scores, 0.5, bad=["zz"])
        if rng.random() < 0.2:
            columns["lower"], columns["upper"] = "lo", "hi"
        shapes = [
            ("1m", ["5m"]), ("1m", ["5m", "1h"]), ("5m", ["1h"]), ("1h", ["6h", "24h"]), ("1d", ["1d", "7d"]),
            ("1d", ["364d"]), ("7d", ["364d", "7d"]), ("1h", ["1h"]), ("1s", ["10s"]), ("30d", ["30d"]),
            ("1m", ["364d"]), ("12h", ["36h", "12h"]), ("8m", ["24m"]), ("36525d", ["36525d"]), ("1s", ["7s"]),
        ]  # fmt: skip
        pane, windows = rng.choice(
            [*shapes, ("7m", ["7m"]), ("1h", ["90m"]), ("1ms", ["7ms"])] if self.wild else shapes
        )
        model |= {"pane": pane, "windows": windows}
        self.maybe(model, "lateness", ["0s", "2m", "1h"], 0.6, bad=["1d", "36525d", 120])
        self.maybe(model, "segments", [features[:1], features[:2], ["s"], ["p"]], 0.3, bad=[["zz"], ["id"]])
        self.maybe(model, "max_series", [1, 2, 5], 1.0, bad=[0])
        drift, performance, labels = self.drift(), self.performance(model), self.label_section(columns)
        model |= {
            key: part for key, part in (("drift", drift), ("performance", performance), ("labels", labels)) if part
        }
        self.references(model, features)
        size = rng.choice([0, 1, 5, 40, 80]) if "learn_rows" not in model else 1_200
        rows, label_rows = self.log(size, task, features, columns, pane, windows)
        raw: dict[str, Any] = {"file": {"predictions": ["log.jsonl"]}, "models": [model]}
        if label_rows and "id" in columns and ("label" in columns or "label" in labels):
            raw["file"]["labels"] = ["labels.jsonl"]
        self.maybe(raw, "rules", self.rules(features, windows, task), 0.6)
        return Case(raw, rows, label_rows if "labels" in raw["file"] else [])

    def drift(self) -> dict[str, Any]:
        drift: dict[str, Any] = {}
        self.maybe(drift, "min_effect", [0, 1e-12, 0.5, 1000.0], bad=[float("nan"), float("inf"), -1])
        self.maybe(drift, "min_missing", [0, 1, 0.5], bad=[2.0])
        self.maybe(drift, "min_rows", [1, 2, 10**12], bad=[0])
        self.maybe(drift, "false_alarms_per_30d", [1e-6, 1e6, 1000.0, 0.1, 3], bad=[1e-300, 1e300])
        self.maybe(drift, "rolling", ["1d", "14d", "36h"], 0.15, bad=["36525d", "1h"])
        if "rolling" not in drift:
            self.maybe(drift, "season", ["hour_of_day", "hour_of_week"], 0.12)
        self.maybe(drift, "burn_in", ["0s", "1h", "3d", "36525d"], 0.2)
        self.maybe(drift, "multivariate", [False], 0.2)
        self.maybe(drift, "min_multivariate", [0, 1e-9, 100.0], 0.2)
        self.maybe(drift, "sequential", [False], 0.15)
        self.maybe(drift, "sequential_pane", ["364d", "7200d"], 0.2, bad=["1ms", "90m"])
        self.maybe(drift, "min_shift", [0, 1e-9, 50.0], 0.2)
        self.maybe(drift, "show", [SHOWN, SHOWN[:1]], 0.3, bad=[["energi"]])
        return drift

    def performance(self, model: dict[str, Any]) -> dict[str, Any]:
        section: dict[str, Any] = {}
        self.maybe(section, "windows", [model["windows"], model["windows"][:1]], 0.2, bad=[["1h"], ["30d"], ["7m"]])
        metrics = {
            "binary": ["roc_auc", "brier", "lift", "ks", "f_beta"],
            "multiclass": ["accuracy", "precision:a", "roc_auc_ovr_macro", "log_loss"],
            "regression": ["rmse", "mape", "r2", "mae"],
            "ranking": ["ndcg", "mrr"],
        }[model["task"]]
        self.maybe(section, "metrics", [metrics, metrics[:1]], 0.4, bad=[["acuracy"], ["interval_coverage"]])
        self.maybe(section, "max_loss", [1e-9, 0.5, 900.0], 0.2, bad=[float("inf")])
        self.maybe(section, "min_labels", [1, 5, 10**12], 0.6)
        self.maybe(section, "false_alarms_per_30d", [1e-6, 1e6, 500.0], 0.3)
        self.maybe(section, "positive", [1, True, "yes"], 0.1, bad=["zz", ""])
        self.maybe(section, "threshold", [0.5, -1, 1e300, 0], 0.2, bad=[float("nan")])
        self.maybe(section, "beta", [0.01, 100], 0.2, bad=[1e200, 0])
        self.maybe(section, "lift_share", [1, 1e-12, 0.001], 0.2)
        self.maybe(
            section, "costs", [{}, {"true_positive": 1e9, "false_positive": -1e9}, {"true_negative": 1e-300}], 0.2
        )
        self.maybe(section, "quantiles", [[], [0.5], [1e-9, 0.999999999], [1e-320]], 0.2, bad=[[0.5, 0.5], [0, 1]])
        self.maybe(section, "k", [1, 50], 0.2, bad=[51])
        self.maybe(section, "protected", [model.get("segments", [])], 0.2, bad=[["zz"]])
        self.maybe(section, "champion", ["1", "none"], 0.2)
        return section

    def label_section(self, columns: dict[str, Any]) -> dict[str, Any]:
        labels: dict[str, Any] = {}
        if "label" not in columns:
            self.maybe(labels, "label", ["y"], 0.5)
        self.maybe(labels, "max_delay", ["1m", "1d", "1ms", "30d"], 0.4, bad=["36525d"])
        self.maybe(labels, "retention", ["36525d"], 0.2, bad=["1h"])
        self.maybe(labels, "maturity", [1, 1e-9, 0.5], 0.2)
        self.maybe(labels, "sample", [1, 0.5, 1e-12], 0.2)
        self.maybe(labels, "timestamp", ["t"], 0.2)
        return labels

    def references(self, model: dict[str, Any], features: list[str]) -> None:
        rng = self.rng
        if model["columns"].get("features") and "season" not in model.get("drift", {}) and rng.random() < 0.1:
            model["learn_rows"] = 1_000
            return
        for place in range(rng.choice([1, 1, 1, 2])):
            season = "season" in model.get("drift", {})
            rows = 400 if season else rng.choice([1, 2, 3, 10, 60, 300])
            predicted, truth = self.outcomes(model["task"], rows)
            table: dict[str, list[Any]] = {name: self.feature(rows) for name in features} | {"p": predicted}
            for name in ("s", "s0", "sa", "sb", "s0", "s1", "sx", "sy", "sz", "lo", "hi"):
                if not self.wild or rng.random() < 0.9:
                    table.setdefault(name, self.scores(rows))
            if "label" in model["columns"] or rng.random() < 0.5:
                table["y"] = truth
            if season or rng.random() < 0.5:
                step = HOUR if season else rng.choice([0, 1, MINUTE, HOUR, 3 * DAY])
                table["t"] = [START - 400 * DAY + row * step for row in range(rows)]
            if rng.random() < 0.3:
                table["ver"] = [str(rng.randrange(2)) for _ in range(rows)]
            if "embeddings" in model["columns"]:
                table["emb"] = [[float(row), 1.0, 0.5] for row in range(rows)]
            path = self.written(table, f"ref{place}")
            if place:
                model["references"] = {rng.choice(["1", "v.1", "ü"]): path}
            else:
                model["reference"] = path

    def written(self, table: dict[str, list[Any]], name: str) -> str:
        kind = self.rng.choice(["jsonl", "jsonl", "csv", "parquet"])
        path = self.folder / f"{name}.{kind}"
        if kind == "jsonl":
            lines = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
            path.write_text("\n".join(map(json.dumps, lines)))
            return path.name
        frame = pd.DataFrame({column: pd.Series(values, dtype=object) for column, values in table.items()})
        if kind == "parquet":
            try:
                frame.infer_objects().to_parquet(path)
            except (ValueError, TypeError, OverflowError):  # mixed types have no place in Parquet
                path = path.with_suffix(".csv")
        if path.suffix == ".csv":
            frame.to_csv(path, index=False)
        return path.name

    def log(
        self, rows: int, task: str, features: list[str], columns: dict[str, Any], pane: str, windows: list[str]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        rng = self.rng
        length = max(map(parse_duration, windows))
        # About twenty panes, so that a case takes a fraction of a second.
        span = min(max(parse_duration(pane) * 20, length), 20 * length, 400 * DAY)
        predicted, truth = self.outcomes(task, max(rows, 1))
        values = {name: self.feature(max(rows, 1)) for name in features}
        log, labels = [], []
        for row in range(rows):
            at = START + row * span // max(rows, 1)
            record: dict[str, Any] = {"t": at, "p": predicted[row], "id": row if rng.random() < 0.98 else None}
            record |= {name: rng.random() for name in ("s", "s0", "sa", "sb", "s1", "sx", "sy", "sz")}
            record |= {"lo": 0.1, "hi": 0.9, "ver": str(row % 2), "emb": [1.0, 2.0, rng.random()]}
            nest: dict[str, Any] = record
            for key in filter(None, columns.get("features_at", "").split(".")):
                nest = nest.setdefault(key, {})
            for name in features:
                if rng.random() < 0.97:
                    _put(nest, name, values[name][row], nested=rng.random() < 0.5)
            log.append(record)
            if rng.random() < 0.9:
                delay = rng.choice([0, MINUTE, HOUR, 2 * DAY])
                labels.append({"id": row, "y": truth[row], "t": at + delay})
        labels.sort(key=lambda record: record["t"])
        return log, labels if rng.random() < 0.7 else []

    def rules(self, features: list[str], windows: list[str], task: str) -> list[Any]:
        rng = self.rng
        metric = {"binary": "accuracy", "multiclass": "f1:a", "regression": "mae", "ranking": "ndcg"}[task]
        every = [
            [
                {"name": "d", "when": "drifted"},
                {"name": "b", "when": "breached"},
                {"name": "i", "when": "insufficient"},
            ],
            [{"name": "n", "metric": "psi", "above": 0.1, "recover": 0.05, "for": "5m", "windows": windows[:1]}],
            [{"name": "a", "metric": metric, "change_from_reference": -0.1, "sure": True}],
            [{"name": "m", "metric": metric, "above": 1e300}, {"name": "r", "metric": metric, "below": -0.7}],
            [{"name": "s", "when": "drifted", "segment": "*", "statistic": "mis*"}],
            [{"name": "e", "when": "breached", "estimated": True}],
            [{"name": "f", "when": "breached", "subject": "quality*"}, {"name": "v", "metric": "cusum", "above": 1}],
        ]
        if self.wild:
            name = rng.choice(features) if features else "x"
            every += [
                [{"name": "n", "metric": "psi", "above": 0.1, "subject": f"feature:{name}"}],
                [{"name": "q", "when": "breached", "subject": f"quality:{name}", "resolve_after": "0s"}],
                [{"name": "s", "when": "drifted", "segment": f"{name}=*"}],
                [{"name": "x", "metric": "ndgc", "below": 0.4}],
            ]
        return every


def _put(record: dict[str, Any], name: str, value: Any, *, nested: bool) -> None:
    parts = name.split(".")
    if nested and len(parts) > 1:
        inner: Any = record
        for part in parts[:-1]:
            inner = inner.setdefault(part, {}) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner[parts[-1]] = value
            return
    record[name] = value


def draw(seed: int, folder: Path) -> Case:
    """A case, its files written to a folder: ``leewayd.toml``, ``log.jsonl``, ``labels.jsonl`` and references."""
    case = Draw(seed, folder).case()
    (folder / "leewayd.toml").write_text(document(case.raw))
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in case.log))
    (folder / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in case.labels))
    return case
