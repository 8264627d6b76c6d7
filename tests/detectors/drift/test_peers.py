"""The same numbers as NannyML 0.13.1 and Evidently 0.7.23 on the same bins; and how far our own bins are off.

``tests/data/peers.json`` holds what the two packages said; ``tests/data/make_peers.py`` made it. Where they define a
statistic otherwise, the test says how and converts.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import chdtrc

from detectors.drift import effects
from detectors.drift.judge import STATISTICS, Settings, judge
from detectors.drift.optional_statistics import OPTIONAL
from detectors.layout import HIGH
from tests.data.make_peers import samples
from tests.support.counts import count, own_edges, reference_of
from tests.support.paths import DATA

Array = np.ndarray
PEERS: dict[str, Any] = json.loads((DATA / "peers.json").read_text())["features"]
SAMPLES = samples()
NUMERIC = [name for name, (reference, _) in SAMPLES.items() if reference.dtype.kind == "f"]
CATEGORICAL = [name for name in SAMPLES if name not in NUMERIC]
SURE = 1e-9


def counts(held: dict[str, Any]) -> tuple[Array, Array]:
    """Of window and reference, in the peer's bins."""
    return np.array(held["window"], dtype=float), np.array(held["reference"], dtype=float)


def shares(held: dict[str, Any]) -> tuple[Array, Array]:
    window, reference = counts(held)
    return effects.shares(window), effects.shares(reference)


def on_union(name: str) -> tuple[Array, Array, Array]:
    """Shares of window and reference over all values that either has, and these values: no bins at all."""
    reference, window = SAMPLES[name]
    values = np.unique(np.concatenate([reference, window]))
    held = [np.bincount(np.searchsorted(values, part), minlength=len(values)) for part in (window, reference)]
    p, q = (effects.shares(part.astype(float)) for part in held)
    return p, q, values


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_those_that_the_peers_were_given(name: str) -> None:
    assert [np.round(part.sum(), 6) for part in SAMPLES[name]] == PEERS[name]["sums"]
    for held in [*PEERS[name]["nannyml"].values(), *PEERS[name]["evidently"].values()]:
        for side, part in zip(("reference", "window"), SAMPLES[name], strict=True):
            if "edges" in held:
                inner = np.histogram(part, held["edges"])[0]
                assert held[side][: len(inner)] == inner.tolist()
            if side in held:
                assert sum(held[side]) == len(part)


# NannyML: bins by Doane's rule on the reference, one more for what lies beyond them.


@pytest.mark.parametrize("name", SAMPLES)
def test_jensen_shannon_and_hellinger_are_those_of_nannyml(name: str) -> None:
    theirs = PEERS[name]["nannyml"]
    found = theirs["jensen_shannon"]
    assert effects.jensen_shannon(*shares(found)) == pytest.approx(found["value"], abs=SURE)
    found = theirs["hellinger"]
    assert effects.hellinger(*shares(found)) == pytest.approx(found["value"], abs=SURE)


@pytest.mark.parametrize("name", CATEGORICAL)
def test_l_infinity_and_chi_squared_are_those_of_nannyml(name: str) -> None:
    theirs = PEERS[name]["nannyml"]
    held = theirs["jensen_shannon"]
    # Both go by category; Jensen-Shannon's bins are the reference's categories and one for all others, of which there
    # is one here at most: the same.
    assert effects.l_infinity(*shares(held)) == pytest.approx(theirs["l_infinity"]["value"], abs=SURE)
    assert effects.chi2(*counts(held)) == pytest.approx(theirs["chi2"]["value"], abs=1e-9 * theirs["chi2"]["value"])


@pytest.mark.parametrize("name", ["normal", "lognormal", "discrete"])
def test_ks_and_wasserstein_of_rows_are_those_of_nannyml(name: str) -> None:
    theirs = PEERS[name]["nannyml"]
    p, q, values = on_union(name)
    assert effects.ks(p, q) == pytest.approx(theirs["kolmogorov_smirnov"]["value"], abs=SURE)
    assert effects.wasserstein(p, q, values) == pytest.approx(theirs["wasserstein"]["value"], abs=SURE)


def test_ks_and_wasserstein_of_ten_thousand_bins_are_those_of_nannyml() -> None:
    """From 10,000 reference rows on NannyML takes 10,000 bins of equal width between the reference's extremes."""
    theirs = PEERS["many rows"]["nannyml"]
    reference, window = SAMPLES["many rows"]
    edges = np.linspace(reference.min(), reference.max(), 10_001)
    below, above = (window < edges[0]).sum(), (window > edges[-1]).sum()
    assert below + above > 0
    p = effects.shares(np.array([below, *np.histogram(window, edges)[0], above], dtype=float))
    q = effects.shares(np.array([0, *np.histogram(reference, edges)[0], 0], dtype=float))
    assert effects.ks(p, q) == pytest.approx(theirs["kolmogorov_smirnov"]["value"], abs=SURE)
    # Its Wasserstein distance takes one row more than there is to lie beyond each end where any does, all over the
    # range, and what lies in a bin at its end: so far apart the two may be, and no farther.
    p, q, values = on_union("many rows")
    width = edges[1] - edges[0]
    room = (edges[-1] - edges[0]) * 2 / len(window) + 2 * width
    ours = effects.wasserstein(p, q, values)
    assert ours == pytest.approx(theirs["wasserstein"]["value"], abs=room)
    assert ours == pytest.approx(stats.wasserstein_distance(reference, window), abs=SURE)


# Evidently: bins by Sturges' rule on both together, or every value where the reference has no more than twenty.


def filled(part: Array) -> Array:
    """Zeros as Evidently fills them for PSI and KL; the sum is above 1 afterwards, and stays so."""
    least = part[part > 0].min()
    return np.where(part > 0, part, least / 10**6 if least <= 1e-4 else 1e-4)


@pytest.mark.parametrize("name", SAMPLES)
def test_psi_and_kullback_leibler_with_zeros_filled_are_those_of_evidently(name: str) -> None:
    found = PEERS[name]["evidently"]["psi"]
    p, q = (filled(part) for part in shares(found))
    assert effects.psi(p, q) == pytest.approx(found["value"], abs=SURE)
    # Their direction is the reference from the window, and scipy's entropy does normalise.
    found = PEERS[name]["evidently"]["kl_div"]
    assert effects.kullback_leibler(q / q.sum(), p / p.sum()) == pytest.approx(found["value"], abs=SURE)


def test_smoothing_differs_from_filling_only_where_bins_are_empty() -> None:
    """Ours adds half a row to each bin: next to no difference in full bins. In empty ones theirs is the constant's."""
    for name, most in (("category", 0.01), ("lognormal", 0.5)):
        found = PEERS[name]["evidently"]["psi"]
        window, reference = counts(found)
        used = (window + reference) > 0
        ours = effects.psi(effects.smoothed_shares(window, used), effects.smoothed_shares(reference, used))
        assert ours == pytest.approx(found["value"], rel=most)
    held = PEERS["new category"]["evidently"]["psi"]
    window, reference = counts(held)
    used = np.ones(len(window), dtype=bool)
    ours = effects.psi(effects.smoothed_shares(window, used), effects.smoothed_shares(reference, used))
    assert ours < 1.2 * held["value"]
    constants = [effects.psi(*(np.maximum(part, constant) for part in shares(held))) for constant in (1e-3, 1e-4, 1e-6)]
    assert constants[2] > 2 * constants[0]


@pytest.mark.parametrize("name", SAMPLES)
def test_jensen_shannon_in_base_e_is_that_of_evidently(name: str) -> None:
    found = PEERS[name]["evidently"]["jensenshannon"]
    assert effects.jensen_shannon(*shares(found)) * np.sqrt(np.log(2)) == pytest.approx(found["value"], abs=SURE)


@pytest.mark.parametrize("name", SAMPLES)
def test_hellinger_is_that_of_evidently(name: str) -> None:
    # √(1 − Σ√pq) loses half the digits near 0 to cancellation; on equal shares the two are the same.
    found = PEERS[name]["evidently"]["hellinger"]
    assert effects.hellinger(*shares(found)) == pytest.approx(found["value"], abs=SURE)


@pytest.mark.parametrize("name", CATEGORICAL)
def test_total_variation_is_that_of_evidently(name: str) -> None:
    found = PEERS[name]["evidently"]["TVD"]
    assert effects.total_variation(*shares(found)) == pytest.approx(found["value"], abs=SURE)


def test_chi_squared_against_an_exact_reference_is_that_of_evidently() -> None:
    """Evidently takes the reference's shares for exact (one sample); ours knows that the reference is a sample, too.

    A reference of a billion times the rows is exact.
    """
    found = PEERS["category"]["evidently"]["chisquare"]
    window, reference = counts(found)
    exact = effects.chi2(window, reference * 1e9)
    assert chdtrc(len(window) - 1, exact) == pytest.approx(found["value"], rel=1e-5)
    assert effects.chi2(window, reference) < exact
    # Where the reference lacks a category theirs is infinite (p = 0); ours stays finite.
    held = PEERS["new category"]["evidently"]["chisquare"]
    assert held["value"] == 0
    assert np.isfinite(effects.chi2(*counts(held)))


@pytest.mark.parametrize("name", NUMERIC)
def test_distances_of_rows_in_reference_standard_deviations_are_those_of_evidently(name: str) -> None:
    theirs = PEERS[name]["evidently"]
    p, q, values = on_union(name)
    reference, window = SAMPLES[name]
    scale = reference.std()
    assert effects.wasserstein(p, q, values / scale) == pytest.approx(theirs["wasserstein"]["value"], abs=SURE)
    # Its energy distance is in the root of the feature's own unit.
    ours = effects.energy(p, q, values / scale) * np.sqrt(scale)
    assert ours == pytest.approx(theirs["ed"]["value"], abs=SURE)
    # Its KS is a p-value, from the same greatest gap.
    assert stats.ks_2samp(reference, window).statistic == pytest.approx(effects.ks(p, q), abs=SURE)
    assert stats.ks_2samp(reference, window).pvalue == pytest.approx(theirs["ks"]["value"], rel=1e-6)


# Ours, on 64 quantile bins, against exact values of the rows.


def judged(name: str) -> tuple[dict[str, float], Array, Array, Array]:
    """Ours by statistic, shares of window and reference over the columns, and the width of each in z."""
    reference, window = SAMPLES[name]
    known = reference_of({"feature:x": reference})
    if name in CATEGORICAL:
        window = np.where(np.isin(window, reference), window, HIGH)
    seen = count(known.layout, {"feature:x": window})
    found = judge(known, seen, Settings(shown=tuple(OPTIONAL)))
    p = effects.shares(seen.bins[0, known.order[0]].astype(float))
    width = np.zeros(len(p))
    if name in NUMERIC:
        edges = own_edges(known.layout, 0)
        low, high = seen.extremes[0]
        width[1 : len(edges)] = np.diff(edges)
        width[0], width[-1] = max(edges[0] - low, 0.0), max(high - edges[-1], 0.0)
    return dict(zip((*STATISTICS, *OPTIONAL), found.value[:, 0].tolist(), strict=True)), p, known.q[0], width


@pytest.mark.parametrize("name", NUMERIC)
def test_binned_ks_lies_at_most_a_bin_below_that_of_the_rows(name: str) -> None:
    ours, p, q, _ = judged(name)
    exact = PEERS[name]["nannyml"]["kolmogorov_smirnov"]["value"] if name != "many rows" else None
    exact = exact or stats.ks_2samp(*SAMPLES[name]).statistic
    room = np.minimum(p, q).max()
    assert exact - room - SURE <= ours["ks"] <= exact + SURE
    if name == "discrete":  # each value has a bin of its own
        assert ours["ks"] == pytest.approx(exact, abs=SURE)
    else:
        assert room < 0.03


@pytest.mark.parametrize("name", NUMERIC)
def test_binned_wasserstein_lies_within_the_widths_of_bins_of_that_of_the_rows(name: str) -> None:
    ours, p, q, width = judged(name)
    exact = PEERS[name]["evidently"]["wasserstein"]["value"]
    # Each row is moved by no more than the width of its bin.
    room = float(((p + q) * width).sum())
    assert ours["wasserstein"] == pytest.approx(exact, abs=room + SURE)
    # That is the worst case; most of it cancels.
    assert ours["wasserstein"] == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize("name", NUMERIC)
def test_binned_energy_lies_within_the_widths_of_bins_of_that_of_the_rows(name: str) -> None:
    ours, p, q, width = judged(name)
    exact = PEERS[name]["evidently"]["ed"]["value"] / np.sqrt(SAMPLES[name][0].std())
    # Within a bin a distribution function is off by no more than the bin's share; Minkowski's inequality does the rest.
    room = np.sqrt(2) * (np.sqrt((p**2 * width).sum()) + np.sqrt((q**2 * width).sum()))
    assert ours["energy"] == pytest.approx(exact, abs=room + SURE)
    assert ours["energy"] == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize("name", CATEGORICAL)
def test_pooled_values_of_categories_are_never_above_those_of_the_peers_and_near_them(name: str) -> None:
    """Pooling can only lose (the data processing inequality); a dozen categories of 2,000 rows lose little."""
    ours, *_ = judged(name)
    nannyml, evidently = PEERS[name]["nannyml"], PEERS[name]["evidently"]
    exact = {
        "jensen_shannon": nannyml["jensen_shannon"]["value"],
        "hellinger": nannyml["hellinger"]["value"],
        "l_infinity": nannyml["l_infinity"]["value"],
        "chi2": nannyml["chi2"]["value"],
        "total_variation": evidently["TVD"]["value"],
    }
    for statistic, value in exact.items():
        if statistic != "l_infinity":  # the greatest change of a pool may be above that of a category
            assert ours[statistic] <= value + SURE * max(value, 1)
        assert ours[statistic] == pytest.approx(value, rel=0.1)
