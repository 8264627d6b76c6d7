"""Counts of many groups at once are those of each group by itself, and add up exactly."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.layout import COLUMNS, MISSING
from monitor.windows.counting import Z_LIMIT, count_groups, moments_as_fixed, moments_as_float

rows = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 5, MISSING]), st.none() | st.floats(-2_000, 2_000)), max_size=25
)


def arrays(given_rows: list[tuple[int, int, float | None]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A numeric subject and a categorical one."""
    codes = np.array([(code, code) for _, code, _ in given_rows], dtype=np.int64).reshape(-1, 2)
    z = np.array([(np.nan if value is None else value, np.nan) for _, _, value in given_rows]).reshape(-1, 2)
    return codes, z, np.array([group for group, _, _ in given_rows], dtype=np.int64)


@given(rows)
def test_each_group_is_counted_as_by_itself(given_rows: list[tuple[int, int, float | None]]) -> None:
    codes, z, groups = arrays(given_rows)
    found = count_groups(codes, z, groups, 4)
    assert found.bins.shape == (4, 2, COLUMNS)
    for group in range(4):
        own = groups == group
        assert found.rows[group] == own.sum()
        for subject in range(2):
            assert found.bins[group, subject].tolist() == np.bincount(codes[own, subject], minlength=COLUMNS).tolist()
        values = z[own, 0][~np.isnan(z[own, 0])]
        assert found.extremes[group, 0].tolist() == [values.min(initial=np.inf), values.max(initial=-np.inf)]
        cut = np.clip(values, -Z_LIMIT, Z_LIMIT)
        expected = [cut.sum(), (cut**2).sum()]
        np.testing.assert_allclose(moments_as_float(found.moments[group, 0]), expected, atol=1e-3)
        assert found.moments[group, 1].tolist() == [0, 0]
        assert found.extremes[group, 1].tolist() == [np.inf, -np.inf]


@given(rows, st.randoms(use_true_random=False), st.integers(0, 25))
def test_sums_are_exact_in_any_order_and_batch(
    given_rows: list[tuple[int, int, float | None]], dice: object, cut: int
) -> None:
    shuffled = dice.sample(given_rows, len(given_rows))  # type: ignore[attr-defined]
    whole = count_groups(*arrays(given_rows), 4)
    parts = [count_groups(*arrays(part), 4) for part in (shuffled[:cut], shuffled[cut:])]
    assert (parts[0].moments + parts[1].moments == whole.moments).all()
    assert (parts[0].bins + parts[1].bins == whole.bins).all()


@given(st.integers(-(2**52), 2**52))
def test_fixed_point_comes_back(units: int) -> None:
    moments = np.array([units], dtype=np.int64)
    assert moments_as_fixed(moments_as_float(moments)).tolist() == [units]
