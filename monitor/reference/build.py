"""Training data → profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.binning import quantile_edges
from detectors.drift.dispersion import Expected, by_value, measure_dispersion
from detectors.drift.seasons import SLOTS, slots_of
from detectors.layout import BINS, COLUMNS, MISSING, Counts
from monitor.common.durations import HOUR, parse_duration
from monitor.common.errors import ReferenceDataError
from monitor.common.nearest import hint, place_text, quoted
from monitor.reference.build_joint import joints_of, streams_in
from monitor.reference.by_version import ReferencesByVersion
from monitor.reference.columns import absent_columns, no_column, plan_subjects, refuse
from monitor.reference.performance import build_performance
from monitor.reference.profile import Profile, is_profile, load_profile, make_layout
from monitor.reference.tables import DataTable, in_reference, read_table
from monitor.rows.categories import label
from monitor.rows.values import NumericSubject, category_coder
from monitor.windows.counting import count_groups, moments_as_float

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from detectors.drift.reference import Dispersion
    from monitor.config.model import ModelSection

MAX_KNOWN_CATEGORIES = 5_000
MAX_SEGMENTS_PER_COLUMN = 50
MAX_BLOCKS = 2_000
MIN_OCCURRENCES = 2
"""How often a reference must contain each hour of a season."""


def load_references(model: ModelSection) -> ReferencesByVersion:
    """All references of a model that does not learn its own.

    Raises:
        ReferenceDataError: with the faults of all references.
    """
    paths = dict(model.references)
    profiles: dict[str, Profile] = {}
    problems: list[str] = []
    absent: list[dict[str, str]] = []
    for version, path in [("", model.reference), *paths.items()]:
        if path is None:
            continue
        try:
            profiles[version], lacking = _load(model, path)
            absent.append(lacking)
        except ReferenceDataError as error:
            prefix = f"{place_text(['references', version])}: " if version else ""
            problems += [
                (prefix or "reference: ") + line if line.startswith(str(path)) else prefix + line
                for line in str(error).splitlines()
            ]
    # A column that is only excluded from the features may be in one version's reference and not in the others.
    everywhere = set.intersection(*(set(lacking) for lacking in absent)) if absent else set()
    refuse(problems + [f"{prefix}: {absent[0][prefix]}" for prefix in sorted(everywhere)])
    # The newest named version stands in for unknown ones, unless there is a general reference.
    first = "" if "" in profiles else list(paths)[-1]
    order = [first, *(version for version in paths if version != first)]
    return ReferencesByVersion(
        tuple(profiles[version] for version in order),
        {version: prefix for prefix, version in enumerate(order) if version},
        first,
    )


def load_reference(model: ModelSection, path: Path | None = None) -> Profile:
    """One profile of the model: read from a file if it was built before, else built from the table.

    Args:
        model: its configuration.
        path: of the reference; None for the model's general one.

    Raises:
        ReferenceDataError: if it cannot be read or lacks what the configuration names.
    """
    path = model.reference if path is None else path
    assert path is not None
    profile, absent = _load(model, path)
    refuse([f"{key}: {problem}" for key, problem in absent.items()])
    return profile


def _load(model: ModelSection, path: Path) -> tuple[Profile, dict[str, str]]:
    """A profile, and key → problem, for columns that are only excluded from the features."""
    if not path.exists():
        raise ReferenceDataError(f"{path}: no such file")
    if not is_profile(path):
        table = read_table(path)
        return build_profile(table, model), absent_columns(table, model)
    profile = load_profile(path)
    if profile.season != model.drift.season:
        refuse(
            [
                (
                    f"drift.season: the profile was built with {_season(profile.season)}, "
                    f"not {_season(model.drift.season)}; build it again"
                )
            ]
        )
    refuse(
        [
            f"segments[{number}]: the profile was built without segments of {quoted(name)}; build it again"
            for number, name in enumerate(model.segments)
            if not any(key.startswith(f"{name}=") for key in profile.segments)
        ]
    )
    expected = {*model.columns.scores(), *(f"feature:{name}" for name in model.columns.features or [])}
    expected |= {"prediction"} if model.task != "ranking" else set()
    subjects = profile.layout.subjects
    refuse(
        [
            f"columns: the profile holds no {quoted(subject)}; {hint(subject, subjects, 'it holds')}"
            for subject in sorted(expected - set(subjects))
        ]
    )
    return profile, {}


def _season(name: str | None) -> str:
    return "no season" if name is None else f"season {quoted(name)}"


def build_profile(table: DataTable, model: ModelSection) -> Profile:
    """The profile of a reference table.

    Raises:
        ReferenceDataError: if the table lacks what the configuration names.
    """
    plan = plan_subjects(table, model)
    size, rows = len(plan.subjects), table.rows
    codes = np.empty((rows, size), dtype=np.int64)
    z = np.full((rows, size), np.nan)
    edges: dict[str, tuple[float, ...]] = {}
    top: dict[str, tuple[str, ...]] = {}
    others: dict[str, tuple[str, ...]] = {}
    opened: dict[str, bool] = {}
    location, scale = [0.0] * size, [1.0] * size
    for index, (subject, column) in enumerate(zip(plan.subjects, plan.columns, strict=True)):
        if plan.numeric[index]:
            numbers = table.numbers(column)
            finite = numbers[np.isfinite(numbers)]
            if finite.size:
                location[index] = float(finite.mean())
                spread = float(finite.std())
                scale[index] = spread if np.isfinite(spread) and spread > 0 else 1.0
            # An empty column still has bins: any later value is out of its range.
            own = quantile_edges(finite) if finite.size else np.zeros(2)
            edges[subject] = tuple(own.tolist())
            coder = NumericSubject(own, location[index], scale[index])
            codes[:, index], z[:, index] = coder.encode_numbers(numbers, None)
        else:
            codes[:, index], top[subject], others[subject], opened[subject] = _categories(table, column)
    centers = _centers(codes, z)
    layout = make_layout(plan.subjects, list(plan.numeric), location, scale, edges, top, centers)
    times = _times(table, model)
    season = model.drift.season
    slots = None
    if season is not None:
        if times is None:
            refuse([f"drift.season: a season needs event times; {no_column(model.columns.timestamp, table)}"])
        assert times is not None
        slots = _slot_counts(codes, z, slots_of(times, season), SLOTS[season])
    counts = _counts(codes, z, np.ones(rows, dtype=bool))
    dispersions = {} if times is None else _dispersions(times, codes, z, model, slots)
    return Profile(
        layout,
        plan.columns,
        edges,
        top,
        others,
        opened,
        counts,
        _segments(table, model, codes, z),
        dispersions,
        None if times is None else int(times.min()),
        None if times is None else int(times.max()),
        build_performance(table, model, codes, _outputs_used(model, table), _block_numbers(times, model), times),
        season,
        slots,
        joints_of(table, model, layout, counts, codes, top, times),
        streams_in(model, layout, counts, codes, z, times, top, dispersions),
    )


def _outputs_used(model: ModelSection, table: DataTable) -> dict[str, str]:
    """Path in a record → column of the reference, for outputs and label, if the reference has it."""
    columns = model.columns
    paths = (columns.prediction, *columns.scores().values(), columns.lower, columns.upper, columns.label)
    present = {path: in_reference(path, table.names) for path in paths if path is not None}
    return {path: name for path, name in present.items() if name is not None}


def _block_numbers(times: NDArray[np.int64] | None, model: ModelSection) -> dict[int, NDArray[np.int64]]:
    if times is None:
        return {}
    return {length: times // length for length in map(parse_duration, model.performance_windows)}


def _categories(table: DataTable, column: str) -> tuple[NDArray[np.int64], tuple[str, ...], tuple[str, ...], bool]:
    factor = table.factor(column)
    counts = np.bincount(factor.codes[factor.codes >= 0], minlength=len(factor.labels))
    # By frequency, then by name, so that the bins depend on the reference only.
    order = sorted(range(len(factor.labels)), key=lambda index: (-counts[index], factor.labels[index]))
    names = [factor.labels[index] for index in order]
    top, others = tuple(names[:BINS]), tuple(names[BINS : BINS + MAX_KNOWN_CATEGORIES])
    opened = len(names) > BINS + MAX_KNOWN_CATEGORIES
    coder = category_coder(top, others, opened)
    table_of_codes = np.array([coder.encode_one(name) for name in factor.labels] + [MISSING], dtype=np.int64)
    return table_of_codes[factor.codes], top, others, opened


def _centers(codes: NDArray[np.int64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[S, BINS]: mean z of each bin; NaN where the reference has no value."""
    subjects = codes.shape[1]
    flat = codes + np.arange(subjects) * COLUMNS
    finite = np.isfinite(z)
    count = np.bincount(flat[finite], minlength=subjects * COLUMNS).reshape(subjects, COLUMNS)
    total = np.bincount(flat[finite], weights=z[finite], minlength=subjects * COLUMNS).reshape(subjects, COLUMNS)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, total / count, np.nan)[:, :BINS]


def _counts(codes: NDArray[np.int64], z: NDArray[np.float64], chosen: NDArray[np.bool_]) -> Counts:
    counts = count_groups(codes[chosen], z[chosen], np.zeros(int(chosen.sum()), dtype=np.int64), 1)
    return Counts(counts.rows[0], counts.bins[0], moments_as_float(counts.moments[0]), counts.extremes[0])


def _segments(
    table: DataTable, model: ModelSection, codes: NDArray[np.int64], z: NDArray[np.float64]
) -> dict[str, Counts]:
    segments = {}
    for name in model.segments:
        column = in_reference(name, table.names)
        factor = table.factor(str(column))
        sizes = np.bincount(factor.codes[factor.codes >= 0], minlength=len(factor.labels))
        for index in np.argsort(-sizes, kind="stable")[:MAX_SEGMENTS_PER_COLUMN].tolist():
            segments[f"{name}={label(factor.labels[index])}"] = _counts(codes, z, factor.codes == index)
    return segments


def _times(table: DataTable, model: ModelSection) -> NDArray[np.int64] | None:
    column = in_reference(model.columns.timestamp, table.names)
    return None if column is None else table.times(column)


def _slot_counts(codes: NDArray[np.int64], z: NDArray[np.float64], slot: NDArray[np.int64], slots: int) -> Counts:
    counts = count_groups(codes, z, slot, slots)
    return Counts(counts.rows, counts.bins, moments_as_float(counts.moments), counts.extremes)


def _dispersions(
    times: NDArray[np.int64],
    codes: NDArray[np.int64],
    z: NDArray[np.float64],
    model: ModelSection,
    slots: Counts | None,
) -> dict[int, Dispersion]:
    """Window length → how much windows of that length differ within the reference beyond the season."""
    effects = {}
    season = model.drift.season
    place_of = None if season is None else slots_of(times, season)
    occurrences = 0.0
    if place_of is not None:
        seen = np.unique(times // HOUR, return_index=True)[1]
        occurrences = seen.size / np.unique(place_of[seen]).size
        if occurrences < MIN_OCCURRENCES:
            refuse(
                [
                    (
                        f"drift.season: the reference covers each hour {occurrences:.1f} times on average; "
                        f"at least {MIN_OCCURRENCES} are needed to separate the season from chance"
                    )
                ]
            )
    for name in model.windows:
        length = parse_duration(name)
        blocks, block = np.unique(times // length, return_inverse=True)
        if blocks.size > MAX_BLOCKS:
            # Evenly chosen blocks are as good as all blocks, and bound the memory.
            kept = np.linspace(0, blocks.size - 1, MAX_BLOCKS).astype(np.int64)
            renumber = np.full(blocks.size, -1, dtype=np.int64)
            renumber[kept] = np.arange(MAX_BLOCKS)
            block = renumber[block]
        chosen = block >= 0
        size = int(block.max()) + 1
        counts = count_groups(codes[chosen], z[chosen], block[chosen], size)
        expected = None
        if slots is not None and place_of is not None:
            width = len(slots.rows)
            mix = np.bincount(block[chosen] * width + place_of[chosen], minlength=size * width).reshape(size, width)
            expected = _expected(slots, mix, occurrences)
        effects[length] = measure_dispersion(counts.rows, counts.bins, moments_as_float(counts.moments), expected)
    return effects


def _expected(slots: Counts, mix: NDArray[np.int64], occurrences: float) -> Expected:
    """Expected counts of blocks that have ``mix`` rows of each slot, int64[P, H]."""
    weights = mix / np.maximum(mix.sum(axis=1, keepdims=True), 1)
    rows = np.maximum(np.asarray(slots.rows), 1)[:, None]
    values = by_value(slots.bins)
    size = values.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mixture = np.tensordot(weights, values / rows[..., None], axes=1)
        means = np.tensordot(weights, slots.moments[..., 0] / rows, axes=1)
        valid = np.tensordot(weights, size / rows, axes=1)
        shares = np.nan_to_num(mixture / mixture.sum(axis=-1, keepdims=True))
        return Expected(shares, 1.0 - valid, np.nan_to_num(means / valid), occurrences)
