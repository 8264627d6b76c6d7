"""The traffic of the soak: usable rows, late rows, rejects, labels; versions and segments that begin and end."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
from kafka import KafkaProducer

if TYPE_CHECKING:
    from pathlib import Path

PARTITIONS = 2
REGIONS = ("north", "south", "east", "west")
_TICK = 0.25
_LABEL_DELAY = 3.0
# Seconds that each canary version lives, and that each region in turn is silent.
_CANARY = 20.0
# For a third of each minute a feature is shifted, so that alerts fire and resolve.
_SHIFT_EVERY, _SHIFT_FOR = 60.0, 20.0
_KINDS = ("good", "late", "malformed", "no_timestamp", "future")
_WEIGHTS = (0.96, 0.01, 0.01, 0.01, 0.01)


def write_reference(path: Path, rows: int = 20_000) -> None:
    """Writes training data with the distribution of the unshifted traffic."""
    dice = np.random.default_rng(1)
    usage = dice.normal(100, 20, rows)
    score = 1 / (1 + np.exp(-(usage - 100) / 20))
    pd.DataFrame(
        {
            "age": dice.integers(18, 80, rows),
            "usage": usage,
            "region": dice.choice(REGIONS, rows),
            "prediction": (score > 0.5).astype(int),
            "score": score,
            "churned": (dice.random(rows) < score).astype(int),
        }
    ).to_parquet(path)


class Traffic(threading.Thread):
    """Produces messages until it is stopped, and counts them.

    Args:
        bootstrap: the broker.
        predictions, labels: topics.
        rate: messages a second.

    Attributes:
        sent: messages by kind; ``labels`` counts labels of good rows.
    """

    def __init__(self, bootstrap: str, predictions: str, labels: str, rate: float) -> None:
        super().__init__(name="traffic", daemon=True)
        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap, linger_ms=20, compression_type="lz4", acks="all", retries=10
        )
        self._predictions, self._labels, self._rate = predictions, labels, rate
        self._dice = random.Random(1)  # noqa: S311 - traffic, not a secret
        self._no_labels, self._ending = threading.Event(), threading.Event()
        self._due: deque[tuple[float, bytes]] = deque()
        self._number = 0
        self.sent = dict.fromkeys((*_KINDS, "labels"), 0)
        self.fault: BaseException | None = None

    def finish(self, quiet_seconds: float) -> None:
        """Sends no new labels for some seconds, so that event time passes the last one, then ends."""
        self._no_labels.set()
        self._ending.wait(quiet_seconds)
        self._ending.set()
        self.join(60)
        if self.fault is not None or self.is_alive():
            raise RuntimeError("the traffic failed") from self.fault

    def run(self) -> None:
        """Sends a batch every quarter of a second."""
        began = done = time.time()
        try:
            while not self._ending.wait(_TICK):
                now = time.time()
                count = int((now - began) * self._rate) - int((done - began) * self._rate)
                self._send_rows(done, now, count, now - began)
                self._send_labels(now)
                done = now
            self._producer.flush(30)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self.fault = error
        finally:
            self._producer.close()

    def _send_rows(self, first: float, last: float, count: int, elapsed: float) -> None:
        for index in range(count):
            at = first + (last - first) * (index + 1) / count
            kind = self._dice.choices(_KINDS, _WEIGHTS)[0] if self._number >= 10 * PARTITIONS else "good"
            row = self._row(at, elapsed)
            self._producer.send(self._predictions, value=_message(kind, row, at), partition=self._number % PARTITIONS)
            self.sent[kind] += 1
            self._number += 1
            if kind == "good" and not self._no_labels.is_set():
                truth = int(self._dice.random() < row["score"])
                label = {"id": row["id"], "churned": truth, "timestamp": int((at + _LABEL_DELAY) * 1000)}
                self._due.append((at + _LABEL_DELAY, msgspec.json.encode(label)))

    def _row(self, at: float, elapsed: float) -> dict[str, Any]:
        shift = 30.0 if elapsed % _SHIFT_EVERY < _SHIFT_FOR else 0.0
        usage = self._dice.gauss(100 + shift, 20)
        score = 1 / (1 + 2.718281828 ** (-(usage - 100) / 20))
        silent = int(elapsed / _CANARY) % len(REGIONS)
        regions = [region for index, region in enumerate(REGIONS) if index != silent]
        canary = self._dice.random() < 0.1
        return {
            "id": f"row-{self._number}",
            "timestamp": int(at * 1000),
            "version": f"canary-{int(elapsed / _CANARY)}" if canary else "1",
            "age": self._dice.randrange(18, 80),
            "usage": usage,
            "region": self._dice.choice(regions),
            "prediction": int(score > 0.5),
            "score": score,
        }

    def _send_labels(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            self._producer.send(self._labels, value=self._due.popleft()[1], partition=0)
            self.sent["labels"] += 1


def _message(kind: str, row: dict[str, Any], at: float) -> bytes:
    if kind == "malformed":
        return b'{"id": "row", "usage": '
    if kind == "no_timestamp":
        row = {name: value for name, value in row.items() if name != "timestamp"}
    if kind == "future":
        row = row | {"timestamp": int((at + 3600) * 1000)}
    if kind == "late":
        row = row | {"timestamp": int((at - 600) * 1000)}
    return msgspec.json.encode(row)


def totals(sent: dict[str, int]) -> Counter[str]:
    """The counts that the daemon should reach: rows, late rows, rejects."""
    rejects = sent["malformed"] + sent["no_timestamp"] + sent["future"]
    return Counter(rows=sent["good"], late=sent["late"], rejects=rejects, labels=sent["labels"])
