"""From a false-alarm budget to the confidence of one decision."""

from __future__ import annotations

_MONTH_MS = 30 * 86_400_000
_JUDGED = 2  # statistics judged a subject: psi and missing


def alpha(false_alarms_per_30d: float, *, subjects: int, segments: int, steps_ms: tuple[int, ...]) -> float:
    """One-sided error probability of a single decision on one statistic of one subject in one window.

    The budget divided by the number of decisions in 30 days (Bonferroni). Overlapping windows make correlated
    decisions, so the actual number of false alarms is at most the budget.

    Args:
        false_alarms_per_30d: the budget of one model.
        subjects: compared subjects.
        segments: number of series, including the whole.
        steps_ms: step of each window, ms.
    """
    return shared(false_alarms_per_30d, decisions=subjects * segments * _JUDGED, steps_ms=steps_ms)


def shared(false_alarms_per_30d: float, *, decisions: int, steps_ms: tuple[int, ...]) -> float:
    """One-sided error probability of each of ``decisions`` decisions, taken at every step of every window.

    Args:
        false_alarms_per_30d: the budget for all decisions.
        decisions: number of decisions at one step of one window.
        steps_ms: step of each window, ms.
    """
    looks = sum(_MONTH_MS / step for step in steps_ms)
    return min(false_alarms_per_30d / max(looks * decisions, 1.0), 0.05)
