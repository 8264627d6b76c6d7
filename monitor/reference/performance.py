"""Performance on the reference: classes, bins of the scores, calibration, and the metrics of the model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from detectors.drift.dispersion import MIN_BLOCKS
from detectors.performance.binary import Binary, score_bins
from detectors.performance.calibration import Calibration, fit_calibration, fit_multiclass
from detectors.performance.error_model import fit_error_model
from detectors.performance.multiclass import Multiclass, class_bins
from detectors.performance.ranking import Ranking
from detectors.performance.regression import Regression
from monitor.common.durations import DAY, parse_duration
from monitor.common.errors import ReferenceDataError
from monitor.common.nearest import hint, quoted
from monitor.common.window_step import window_step
from monitor.reference.scorer import Scorer
from monitor.reference.streams import Streams, stream_of_errors
from monitor.rows.categories import canonical
from monitor.rows.class_names import REST, ClassNames, one_spelling, same_truth
from monitor.rows.outputs import OutputReader
from monitor.rows.records import RawColumns

if TYPE_CHECKING:
    from monitor.config.model import ModelSection
    from monitor.reference.tables import DataTable

MAX_CLASSES = 50
SMALLEST_SCALE, GREATEST_SCALE = 1e-100, 1e100
_POSITIVE = ("1", "true", "True", "yes", "positive")


@dataclass(frozen=True)
class PerformanceProfile:
    """A model's performance on its reference.

    Attributes:
        classes: canonical names; for a binary model the negative ones together (``other``) and the positive one.
            None for regression and ranking.
        scorer: counts performance.
        counts: int64[width] of the reference's rows; None if it has no labels.
        dispersions: window length in ms → design effect of the errors.
        errors: the stream of errors; None if the reference has no labels.
        negatives: canonical names of a binary model's negative classes; None if unknown.
    """

    classes: tuple[str, ...] | None
    scorer: Scorer
    counts: NDArray[np.int64] | None = None
    dispersions: Mapping[int, float] = field(default_factory=dict)
    errors: Streams | None = None
    negatives: tuple[str, ...] | None = None

    @cached_property
    def names(self) -> ClassNames | None:
        """The classes by name; None for regression and ranking."""
        if self.classes is None:
            return None
        return ClassNames(self.classes, self.negatives, binary=isinstance(self.scorer.task, Binary))

    def fingerprint(self) -> str:
        """A hash that changes whenever the meaning of the counts changes."""
        scorer = self.scorer
        fields = [self.classes, type(scorer.task).__name__, scorer.task, scorer.calibrations, scorer.estimated_width]
        return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()[:16]

    def phi(self, window_ms: int) -> float:
        """Design effect of windows of a length, or of the nearest known length; 1 if no length is known."""
        if not self.dispersions:
            return 1.0
        return self.dispersions[min(self.dispersions, key=lambda known: abs(np.log(known / window_ms)))]


def build_performance(
    table: DataTable,
    model: ModelSection,
    codes: NDArray[np.int64],
    names: Mapping[str, str],
    blocks: Mapping[int, NDArray[np.int64]],
    times: NDArray[np.int64] | None,
) -> PerformanceProfile:
    """Builds the performance profile of a reference table.

    Args:
        table: the reference.
        model: its configuration.
        codes: int64[m, S], its encoded subjects.
        names: path in a record → column of the reference, for outputs and label.
        blocks: window length in ms → int64[m], number of the block that each row lies in; empty without event times.
        times: int64[m], event times, epoch ms; None without.

    Raises:
        ReferenceDataError: if the classes cannot be inferred.
    """
    label = None if model.columns.label is None else names.get(model.columns.label)
    classes, negatives = _classes(table, model, names[model.columns.prediction], label)
    known_names = None if classes is None else ClassNames(classes, negatives, binary=model.task == "binary")
    reader = OutputReader(model, classes, known_names, with_ids=False)
    raw = RawColumns(
        {path: table.values(names[path]) for path in reader.paths if path in names},
        np.arange(table.rows),
        np.zeros(table.rows, dtype=np.int64),
        {},
    )
    if any(path not in raw.columns for path in reader.paths):
        missing = [path for path in reader.paths if path not in raw.columns]
        raise ReferenceDataError(f"the reference has no column {missing[0]!r}")
    outputs = reader.read(raw, range(table.rows))
    values = None
    if label is not None and model.task != "ranking":
        raw_labels = table.values(label)
        values = known_names.numbers(raw_labels) if known_names is not None else table.numbers(label)
    settings = model.performance
    if model.task == "ranking":
        return PerformanceProfile(None, Scorer(Ranking(settings.k)))
    if model.task == "regression":
        of = outputs.predicted if values is None else values
        finite = of[np.isfinite(of)]
        with np.errstate(over="ignore", invalid="ignore"):
            scale, centre = (float(finite.std()), float(finite.mean())) if finite.size else (1.0, 0.0)
        scale = 1.0 if scale == 0 else scale
        if model.learn_rows is not None:  # a learned reference cannot be refused
            scale, centre = (
                float(np.nan_to_num(np.clip(scale, SMALLEST_SCALE, GREATEST_SCALE), nan=1.0)),
                float(np.nan_to_num(centre)),
            )
        if not (SMALLEST_SCALE <= scale <= GREATEST_SCALE and np.isfinite(centre)):
            key = "prediction" if values is None else "label"
            raise ReferenceDataError(
                f"columns.{key}: the values have a standard deviation of {scale:.3g}; errors can be measured between "
                f"{SMALLEST_SCALE:g} and {GREATEST_SCALE:g}: give the column in another unit"
            )
        task: Binary | Multiclass | Regression = Regression(
            scale,
            centre,
            tuple(settings.quantiles),
            model.columns.lower is not None and model.columns.upper is not None,
        )
        # Only numbers have an error.
        wrong = np.full(0, np.nan) if values is None else outputs.predicted - values
        model_of_errors = fit_error_model(codes, wrong) if np.isfinite(wrong).any() else None
        scorer = Scorer(task, error_model=model_of_errors)
    elif model.task == "binary":
        costs = settings.costs
        task = Binary(
            score_bins(outputs.scores[:, 0]) if reader.width else (),
            settings.beta,
            settings.lift_share,
            None if costs is None else (
                costs.true_positive, costs.false_positive, costs.false_negative, costs.true_negative,
            ),
        )  # fmt: skip
        scorer = Scorer(task, _calibrations(task, outputs.scores, values))
    else:
        assert classes is not None
        task = Multiclass(classes, class_bins(outputs.scores) if reader.width else ())
        scorer = Scorer(task, _calibrations(task, outputs.scores, values))
    if values is None:
        return PerformanceProfile(classes, scorer, negatives=negatives)
    known = np.isfinite(values) & np.isfinite(outputs.predicted) & (values >= 0 if classes is not None else True)
    predictions = np.zeros(int(known.sum()), dtype=scorer.prediction_type)
    scorer.keep(outputs.take(np.flatnonzero(known)), predictions)
    labels = np.zeros(len(predictions), dtype=scorer.label_type)
    labels["value"] = values[known]
    counts = scorer.realised(predictions, labels, np.zeros(len(labels), dtype=np.int64), 1)[0]
    wrong = np.abs(outputs.predicted - values) if classes is None else (outputs.predicted != values).astype(np.float64)
    effects = {length: design_effect(wrong[known], pane_number[known]) for length, pane_number in blocks.items()}
    dispersions = {length: effect for length, effect in effects.items() if effect is not None}
    errors = None
    if model.drift.sequential and known.any():
        pane = error_pane(model)
        pane_number = (
            None if times is None else np.unique(times[known] // pane, return_inverse=True)[1].astype(np.int64)
        )
        unit = task.scale if isinstance(task, Regression) else 1.0
        errors = stream_of_errors(wrong[known] / unit, pane, pane_number)
    return PerformanceProfile(classes, scorer, counts, dispersions, errors, negatives)


def error_pane(model: ModelSection) -> int:
    """The pane of the sequential test of errors, ms: a day, or the step of the performance windows."""
    lengths = sorted(map(parse_duration, model.performance_windows))
    return max(DAY, window_step(lengths[0], model.pane))


def _calibrations(
    task: Binary | Multiclass, scores: NDArray[np.float64], values: NDArray[np.float64] | None
) -> tuple[Calibration, ...] | None:
    if values is None or not task.edges:
        return None
    known = np.isfinite(values)
    if isinstance(task, Binary):
        return (fit_calibration(scores[known, 0], values[known] == 1.0),)
    return fit_multiclass(scores[known], values[known].astype(np.int64))


def design_effect(values: NDArray[np.float64], block: NDArray[np.int64]) -> float | None:
    """How much more the means of blocks vary than means of independent rows would; None with too few blocks.

    The ratio of the mean square between blocks to the variance of rows (Kish 1965), raised to the upper end of its 95 %
    interval, as few blocks allow only a rough estimate.
    """
    _, group, rows = np.unique(block, return_inverse=True, return_counts=True)
    used = rows >= 0.2 * np.median(rows) if len(rows) else np.zeros(0, dtype=bool)
    if used.sum() < MIN_BLOCKS:
        return None
    means = np.bincount(group, weights=values) / rows
    count = int(used.sum())
    spread = float(values.var())
    if spread == 0:
        return 1.0
    between = float((rows[used] * (means[used] - values.mean()) ** 2).sum()) / (count - 1)
    return max(between / spread * (count - 1) / float(chdtri(count - 1, 0.95)), 1.0)


def _classes(
    table: DataTable, model: ModelSection, prediction: str, label: str | None
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """The classes, and the negative ones of a binary model; None for tasks without classes."""
    if model.task in ("regression", "ranking"):
        return None, None
    columns = [set(table.factor(name).labels) for name in (prediction, label) if name is not None]
    if isinstance(model.columns.score, dict):
        columns.append(set(model.columns.score))
    classes = one_spelling(columns)
    learned = model.learn_rows is not None
    if model.task == "multiclass":
        if learned:  # a learned reference cannot be refused
            classes = set(sorted(classes | ({"0", "1"} if len(classes) < 2 else set()))[:MAX_CLASSES])
        if not 2 <= len(classes) <= MAX_CLASSES:
            raise ReferenceDataError(
                f"columns.prediction: the reference has {len(classes)} classes; 2 to {MAX_CLASSES} can be measured"
            )
        return tuple(sorted(classes)), None
    wanted = model.performance.positive
    if wanted is not None:
        positive = str(canonical(wanted))
        if positive not in classes and not learned:
            advice = hint(positive, sorted(classes), "it has")
            raise ReferenceDataError(f"performance.positive: the reference has no class {quoted(positive)}; {advice}")
    else:
        positive = next((name for name in _POSITIVE if name in classes), max(classes, default="1"))
    # More than MAX_CLASSES values are numbers, not names: every value but the positive class is then negative.
    negatives = tuple(sorted(classes - same_truth(positive, classes))) if len(classes) <= MAX_CLASSES else None
    return (REST, positive), negatives
