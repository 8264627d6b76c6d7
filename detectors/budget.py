"""From a false-alarm budget to the confidence of one decision."""

from __future__ import annotations

_MONTH_MS = 30 * 86_400_000
_JUDGED = 2  # statistics judged a subject: psi and missing


def alpha(false_alarms_per_30d: float, *, subjects: int, segments: int, steps_ms: tuple[int, ...]) -> float:
    """One-sided error probability of a single decision on one statistic of one subject in one window.

    The budget divided by the number of decisions in 30 days (Bonferroni). Windows that overlap make decisions that
    agree with one another, so the realised number of false alarms lies below the budget, never above.

    Args:
        false_alarms_per_30d: the budget of one model.
        subjects: compared subjects.
        segments: series, the whole included.
        steps_ms: by how much each window slides, ms.
    """
    return shared(false_alarms_per_30d, decisions=subjects * segments * _JUDGED, steps_ms=steps_ms)


def shared(false_alarms_per_30d: float, *, decisions: int, steps_ms: tuple[int, ...]) -> float:
    """One-sided error probability of each of so many decisions, taken at every step of every window.

    Args:
        false_alarms_per_30d: the budget that they share.
        decisions: at one step of one window.
        steps_ms: by how much each window slides, ms.
    """
    looks = sum(_MONTH_MS / step for step in steps_ms)
    return min(false_alarms_per_30d / max(looks * decisions, 1.0), 0.05)
