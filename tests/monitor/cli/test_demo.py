"""The demo does not wait for ever for rows that a broker has lost."""

from __future__ import annotations

import pytest

from monitor.cli.demo import Patience
from monitor.common.errors import LeewayError


def test_rows_that_a_broker_has_lost_end_the_demo_with_a_reason() -> None:
    now = [0.0]
    patience = Patience(1_000, lambda: now[0])
    for second in range(0, 300, 50):  # slow, but it goes on
        now[0] = second
        assert not patience.complete(second, "b:9092", "")
    now[0] += 60
    assert not patience.complete(250, "b:9092", "")
    now[0] += 1
    with pytest.raises(LeewayError, match=r"Kafka at b:9092 has delivered 250 of the 1,000 rows sent"):
        patience.complete(250, "b:9092", "")
    with pytest.raises(LeewayError, match="for 60 s: no connection"):
        patience.complete(250, "b:9092", "no connection")


def test_all_rows_are_enough_however_long_the_rest_takes() -> None:
    now = [0.0]
    patience = Patience(1_000, lambda: now[0])
    assert patience.complete(1_000, "b:9092", "")
    now[0] = 1e6
    assert patience.complete(1_000, "b:9092", "")
