"""False alarms and power of the decision, and of the rules of peers: `make simulate` writes docs/statistics.md.

Windows are drawn as counts over the reference's bins from the true shares of the population. This is exact for rules
that use counts, and a window of 50,000 rows costs no more than one of 100. All seeds are fixed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import lfilter
from scipy.special import chdtrc, kolmogorov

from benchmarks import simulate_joint, simulate_sliding
from benchmarks.simulate_rows import binned, percent
from detectors.budget import alpha as alpha_of
from detectors.drift import effects
from detectors.drift.dispersion import measure_dispersion
from detectors.drift.judge import DRIFTED, INSUFFICIENT, Settings, judge
from detectors.drift.reference import prepare
from tests.support.counts import count, layout_of
from tests.support.populations import KINDS, population, reference_rows, windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from detectors.drift.judge import Judgement
    from detectors.drift.reference import Reference
    from detectors.layout import Counts

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

HOUR = 3_600_000
FEATURES = len(KINDS)
ALPHA = alpha_of(1, subjects=FEATURES, segments=1, steps_ms=(HOUR,))
SIZES = (100, 500, 1_000, 5_000, 50_000)
WINDOWS, REFERENCES = 2_000, 8
LEAST_CHUNKS = 3
PAGE = Path(__file__).resolve().parents[1] / "docs" / "statistics.md"
BEGIN, END = "<!-- written by make simulate -->", "<!-- end of what make simulate writes -->"
PSI, GONE = 0, 5
PEERS = ("PSI > .1", "p < .05", "p < .05/20", "JS > mean + 3 sd")


def flagged(judgement: Judgement, statistic: int = PSI) -> Flags:
    return np.asarray(judgement.status[..., statistic, :] == DRIFTED)


def settings(min_effect: float = 0.0) -> Settings:
    return Settings(min_effect=min_effect, min_missing=0.01 if min_effect else 0.0, alpha=ALPHA, min_rows=50)


# The rules of peers, on these counts.


def peer_flags(reference: Reference, counts: Counts, rows: int, dice: np.random.Generator) -> dict[str, Flags]:
    """bool[windows, features] for each rule. Values only: peers' rules leave missing values out."""
    c = counts.bins[:, np.arange(FEATURES)[:, None], reference.order].astype(np.float64)
    r = reference.held
    p_values = np.where(reference.layout.numeric, _ks_p(c, r), _chi2_p(c, r))
    return {
        "PSI > .1": _plain_psi(c, r, reference.layout.numeric) > 0.1,
        "p < .05": p_values < 0.05,
        "p < .05/20": p_values < 0.05 / FEATURES,
        "JS > mean + 3 sd": _js(c, r) > _js_limit(reference, rows, dice),
    }


def _deciles(counts: Array, reference: Array) -> Array:
    """Counts pooled into ten bins of about equal reference share; the usual bins of a PSI."""
    share = np.cumsum(reference, axis=-1) / reference.sum(axis=-1, keepdims=True)
    bins = np.minimum(np.ceil(np.maximum(share, 1e-12) * 10 - 1e-9).astype(int) - 1, 9)
    return np.stack([(counts * (bins == decile)).sum(axis=-1) for decile in range(10)], axis=-1)


def _plain_psi(c: Array, r: Array, numeric: Flags) -> Array:
    def psi(window: Array, reference: Array) -> Array:
        p, q = (np.maximum(effects.shares(counts), 1e-4) for counts in (window, reference))
        # Columns that are empty on both sides are left out.
        used = (window + reference) > 0
        return np.where(used, (p - q) * np.log(p / q), 0.0).sum(axis=-1)

    return np.where(numeric, psi(_deciles(c, r), _deciles(r, r)), psi(c, np.broadcast_to(r, c.shape)))


def _ks_p(c: Array, r: Array) -> Array:
    n, m = c.sum(axis=-1), r.sum(axis=-1)
    return np.asarray(kolmogorov(effects.ks(effects.shares(c), effects.shares(r)) * np.sqrt(n * m / (n + m))))


def _chi2_p(c: Array, r: Array) -> Array:
    used = ((c + r) > 0).sum(axis=-1)
    return np.asarray(chdtrc(np.maximum(used - 1, 1), effects.chi2(c, np.broadcast_to(r, c.shape))))


def _js(c: Array, r: Array) -> Array:
    return effects.jensen_shannon(effects.shares(c), np.broadcast_to(effects.shares(r), c.shape))


def _chunks(reference: Reference, rows: int) -> int:
    return int(reference.held.sum(axis=-1).min() // rows)


def _js_limit(reference: Reference, rows: int, dice: np.random.Generator) -> Array:
    """Mean plus three standard deviations over chunks of the reference; infinite with fewer than three chunks."""
    chunks = _chunks(reference, rows)
    if chunks < LEAST_CHUNKS:
        return np.full(FEATURES, np.inf)
    drawn = np.stack(
        [dice.multivariate_hypergeometric(counts, rows, min(chunks, 50)) for counts in _whole(reference)], 1
    )
    distances = _js(drawn.astype(np.float64), reference.held)
    limit: Array = distances.mean(axis=0) + 3 * distances.std(axis=0)
    return limit


def _whole(reference: Reference) -> NDArray[np.int64]:
    return reference.held.astype(np.int64)


# Simulations.


def without_drift(kept: int, rows: int) -> tuple[int, int, dict[str, float]]:
    """Alarms of leewayd, decisions, and for each rule of a peer the share of windows with any flagged feature."""
    dice = np.random.default_rng([kept, rows])
    alarms, peers = 0, dict.fromkeys(PEERS, 0.0)
    for _ in range(REFERENCES):
        reference = reference_rows(kept, dice)
        counts = windows(population(reference), rows, WINDOWS // REFERENCES, dice)
        judgement = judge(reference, counts, settings())
        alarms += int(flagged(judgement).sum() + flagged(judgement, GONE).sum())
        for name, flags in peer_flags(reference, counts, rows, dice).items():
            peers[name] += float(flags.any(axis=1).mean()) / REFERENCES
    if _chunks(reference, rows) < LEAST_CHUNKS:
        peers["JS > mean + 3 sd"] = np.nan
    return alarms, 2 * WINDOWS * FEATURES, peers


CHANGES: dict[str, Callable[[Reference], tuple[Array, list[int]]]] = {
    "mean + .1 σ": lambda reference: (population(reference, shift=0.1), list(range(8))),
    "mean + .25 σ": lambda reference: (population(reference, shift=0.25), list(range(8))),
    "mean + .5 σ": lambda reference: (population(reference, shift=0.5), list(range(8))),
    "variance × 1.5": lambda reference: (population(reference, spread=1.5**0.5), list(range(8))),
    "5 % of category mass moved": lambda reference: (_moved(reference), list(range(14, 20))),
    "missing 1 → 3 %": lambda reference: (population(reference, missing=0.03), list(range(20))),
}


def _moved(reference: Reference) -> Array:
    """Shares after 5 % of the rows have moved from the most frequent category to the tenth."""
    shares = population(reference)
    for index, kind in enumerate(KINDS):
        if kind == "zipf":
            shares[index, 0] -= 0.05
            shares[index, 9] += 0.05
    return shares


def power(change: str, rows: int) -> tuple[float, float, dict[str, float]]:
    """Share of windows in which a changed feature is flagged: ours at 0 and at .02, and peers' rules."""
    dice = np.random.default_rng([len(change), rows])
    flagged_share, peers = [0.0, 0.0], dict.fromkeys(PEERS, 0.0)
    statistic = GONE if change.startswith("missing") else PSI
    for _ in range(REFERENCES):
        reference = reference_rows(50_000, dice)
        shares, changed = CHANGES[change](reference)
        counts = windows(shares, rows, 100, dice)
        for index, least in enumerate((0.0, 0.02)):
            flags = flagged(judge(reference, counts, settings(least)), statistic)
            flagged_share[index] += float(flags[:, changed].mean()) / REFERENCES
        for name, flags in peer_flags(reference, counts, rows, dice).items():
            peers[name] += float(flags[:, changed].mean()) / REFERENCES
    if _chunks(reference, rows) < LEAST_CHUNKS:
        peers["JS > mean + 3 sd"] = np.nan
    return flagged_share[0], flagged_share[1], peers


def correlated(kind: str) -> tuple[int, int, int, int]:
    """Twenty normal features on correlated traffic: alarms with and without the design effect, judged, decisions."""
    dice = np.random.default_rng(len(kind))
    rows, blocks = (1_000, 60) if kind == "AR(1), ρ = .9" else (200, 24 * 60)
    many = 2_000 if kind == "AR(1), ρ = .9" else 24 * 90

    def traffic(size: int) -> Array:
        noise = dice.normal(size=(size * rows, FEATURES))
        if kind == "AR(1), ρ = .9":
            return np.asarray(lfilter([np.sqrt(1 - 0.81)], [1, -0.9], noise, axis=0))
        hour = (np.arange(size * rows) // rows) % 24
        return noise + 0.5 * np.sin(2 * np.pi * hour / 24)[:, None]

    values = traffic(blocks)
    columns = {f"feature:{index}": values[:, index] for index in range(FEATURES)}
    layout = layout_of(columns)
    panes = binned(layout, values, rows)
    plain = prepare(
        layout,
        count(layout, columns),
        measure_dispersion(panes.rows[:0], panes.bins[:0], panes.moments[:0]),
    )
    known = prepare(
        layout,
        count(layout, columns),
        measure_dispersion(panes.rows, panes.bins, panes.moments),
    )
    with_effect = without = judged = 0
    for _ in range(10):
        live = binned(layout, traffic(many // 10), rows)
        judgement = judge(known, live, settings())
        with_effect += int(flagged(judgement).sum())
        judged += int((judgement.status[:, PSI] != INSUFFICIENT).sum())
        without += int(flagged(judge(plain, live, settings())).sum())
    return with_effect, without, judged, many * FEATURES


# The report.


def report() -> str:
    began = time.perf_counter()
    lines = [
        BEGIN,
        "",
        "Twenty features (8 normal, 6 lognormal, 6 Zipf with 50 categories), 1 % missing values, budget one false",
        f"alarm a month for them alone, hourly windows: α = {ALPHA:.1e} for each decision. `min_effect = 0` unless it",
        "is given.",
        "",
        f"**Without drift**, {WINDOWS:,} windows of each size over {REFERENCES} references. Ours: alarms (the budget",
        "expects). Peers' rules: % of windows in which some feature was flagged; – where the reference is too small.",
        "",
        "| reference | rows | leewayd | " + " | ".join(PEERS) + " |",
        "|---|---|---|" + "---|" * len(PEERS),
    ]
    for kept in (50_000, 2_000):
        for rows in SIZES:
            alarms, decisions, peers = without_drift(kept, rows)
            shown = " | ".join(percent(peers[name]) for name in PEERS)
            lines.append(f"| {kept:,} | {rows:,} | {alarms} ({decisions * ALPHA:.1f}) | {shown} |")
    lines += ["", "**Power**: % of windows in which the changed feature was flagged; reference of 50,000 rows.", "",
              "| change | rows | leewayd, 0 | leewayd, .02 | " + " | ".join(PEERS) + " |",
              "|---|---|---|---|" + "---|" * len(PEERS)]  # fmt: skip
    for change in CHANGES:
        for rows in SIZES:
            at_zero, at_two, peers = power(change, rows)
            shown = " | ".join(percent(peers[name]) for name in PEERS)
            lines.append(f"| {change} | {rows:,} | {percent(at_zero)} | {percent(at_two)} | {shown} |")
    lines += ["", "**Correlated traffic without drift**, 20 normal features; the reference carries event times.", "",
              "| traffic | decisions | alarms (the budget expects) | alarms if rows were taken as independent |",
              "|---|---|---|---|"]  # fmt: skip
    for kind in ("AR(1), ρ = .9", "daily cycle, ± .5 σ"):
        alarms, naive, judged, decisions = correlated(kind)
        lines.append(f"| {kind} | {judged:,} | {alarms} ({judged * ALPHA:.1f}) | {naive:,} of {decisions:,} |")
    lines += [
        "",
        "Peers' rules on the same counts: PSI on ten quantile bins (50 categories) with zeros at 10⁻⁴; KS and χ²",
        "p-values at .05 and, as alibi-detect's drift detectors correct them, at .05/20; Jensen-Shannon distance above",
        "mean plus three standard deviations of the reference's own chunks, NannyML's default.",
        "",
        *simulate_sliding.report(),
        "",
        *simulate_joint.report(),
        "",
        END,
    ]
    print(f"{time.perf_counter() - began:.0f} s")
    return "\n".join(lines)


def main() -> None:
    """Writes the numbers into the page."""
    written = report()
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + written + after, encoding="utf-8")


if __name__ == "__main__":
    main()
