"""Builds the joint models and the streams of a reference table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.layout import Counts
from monitor.common.durations import DAY, parse_duration
from monitor.common.errors import ReferenceDataError
from monitor.common.nearest import quoted
from monitor.common.window_step import window_step
from monitor.reference.joint import JointModel, joint_of_embedding, joint_of_features, read_embedding, usable_rows
from monitor.reference.streams import Streams, streams_of
from monitor.reference.tables import in_reference
from monitor.windows.counting import count_groups, moments_as_float

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.drift.reference import Dispersion
    from detectors.layout import Layout
    from monitor.config.model import ModelSection
    from monitor.reference.tables import DataTable


def joints_of(
    table: DataTable,
    model: ModelSection,
    layout: Layout,
    counts: Counts,
    codes: NDArray[np.int64],
    top: dict[str, tuple[str, ...]],
    times: NDArray[np.int64] | None,
) -> tuple[JointModel, ...]:
    """The joint model of the features, and one of each embedding."""
    if not model.drift.multivariate:
        return ()
    blocks = {} if times is None else {length: times // length for length in map(parse_duration, model.windows)}
    names = {key: top[subject] for key, subject in enumerate(layout.subjects) if subject in top}
    features = joint_of_features(layout, counts.bins, codes, names, blocks)
    joints = [] if features is None else [features]
    for number, name in enumerate(model.columns.embeddings):
        key = f"columns.embeddings[{number}]"
        column = in_reference(name, table.names)
        values = table.values(str(column))
        if model.learn_rows is not None and not any(isinstance(value, list) and len(value) > 1 for value in values):
            continue  # a learned reference cannot be refused: the embedding is not monitored
        width = max((len(value) for value in values if isinstance(value, list)), default=0)
        if width < 2:
            raise ReferenceDataError(f"{key}: column {quoted(name)} holds no lists of two numbers or more")
        points = read_embedding(values, width)
        if usable_rows(points) < 2:
            if model.learn_rows is not None:
                continue
            raise ReferenceDataError(f"{key}: column {quoted(name)} holds fewer than two lists of {width} numbers")
        joints.append(joint_of_embedding(name, points, blocks))
    return tuple(joints)


def sequential_pane(model: ModelSection) -> int:
    """The pane of the sequential tests of scores and predictions, ms: a day, or the longest window."""
    if model.drift.sequential_pane is not None:
        return model.drift.sequential_pane
    lengths = sorted(map(parse_duration, model.windows))
    wanted = min(lengths[-1], DAY)
    return wanted if wanted % window_step(lengths[0], model.pane) == 0 else lengths[0]


def streams_in(
    model: ModelSection,
    layout: Layout,
    counts: Counts,
    codes: NDArray[np.int64],
    z: NDArray[np.float64],
    times: NDArray[np.int64] | None,
    top: dict[str, tuple[str, ...]],
    dispersions: dict[int, Dispersion],
) -> Streams | None:
    """The streams of scores and the prediction; None if there are none, or if streams are switched off."""
    if not model.drift.sequential or model.task == "ranking":
        return None
    pane = sequential_pane(model)
    blocks = None
    if times is not None:
        block = np.unique(times // pane, return_inverse=True)[1]
        grouped = count_groups(codes, z, block, int(block.max()) + 1)
        blocks = Counts(grouped.rows, grouped.bins, moments_as_float(grouped.moments), grouped.extremes)
    nearest = min(dispersions, key=lambda length: abs(np.log(length / pane)), default=None)
    effects = np.ones(len(layout.subjects)) if nearest is None else dispersions[nearest].values
    streams = streams_of(layout, counts, pane, blocks, effects, top)
    return streams if streams.subjects else None
