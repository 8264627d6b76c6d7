"""Evaluations, alerts and notifications as JSON lines: the contract of `leewayd backtest --json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alerts.moments import rfc3339

if TYPE_CHECKING:
    from alerts.evaluation import Evaluation
    from alerts.lifecycle import Transition
    from alerts.policy import Notice

_ENCODER = msgspec.json.Encoder()


def evaluation_line(evaluation: Evaluation) -> bytes:
    """One evaluation with its findings; unknown numbers are null."""
    return _ENCODER.encode(
        {
            "type": "evaluation",
            "model": evaluation.model,
            "version": evaluation.version,
            "segment": evaluation.segment,
            "window": evaluation.window,
            "start": rfc3339(evaluation.start),
            "end": rfc3339(evaluation.end),
            "at": rfc3339(evaluation.at),
            "rows": evaluation.rows,
            "labelled_rows": evaluation.labelled_rows,
            # A finding's fields are the keys of the contract, in its order; NaN becomes null.
            "findings": evaluation.findings,
        }
    )


def alert_line(change: Transition, summary: str) -> bytes:
    """One alert that changed."""
    return _ENCODER.encode(
        {
            "type": "alert",
            **{name: value for name, value in change.key._asdict().items() if name != "realised"},
            "state": change.state,
            "at": rfc3339(change.at),
            "severity": change.severity,
            "summary": summary,
        }
    )


def notification_line(notice: Notice, payload: str) -> bytes:
    """One notification as sent to its receiver, without secrets."""
    return _ENCODER.encode(
        {
            "type": "notification",
            "receiver": notice.receiver,
            "at": rfc3339(notice.at),
            "payload": msgspec.Raw(payload.encode()),
        }
    )
