"""A real daemon on a real broker, brought into a state in which every metric has something to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests.servers.found import free_port
from tests.servers.receiver import Answer, Receiver
from tests.support.census import census, census_labels, config_text, keyless, label_messages, messages
from tests.support.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.kafka import KafkaBroker

# The shift of 2018 makes the alert fire. One receiver refuses its notification for good; the other cannot be
# reached, so that notification waits in the outbox.
_RULES = """
[[rules]]
name = "feature drift"
when = "drifted"
subject = "feature:AGEP"
segment = "all"
for = "2d"
severity = "critical"
notify = ["refuses", "unreachable"]
[[receivers]]
name = "refuses"
type = "webhook"
url = "{refuses}"
[[receivers]]
name = "unreachable"
type = "webhook"
url = "http://127.0.0.1:{closed}/"
"""


@pytest.fixture(scope="session")
def live_metrics_url(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The metrics page of a `leewayd run` that has read five months around the shift, and some rubbish."""
    frame = census(shifted=True)
    span = frame[(frame["timestamp"] >= pd.Timestamp("2017-11-01", tz="UTC")) & (frame["timestamp"] < "2018-04-01")]
    topic, labels = kafka.create_topic("dashboards"), kafka.create_topic("dashboards-labels")
    kafka.produce(topic, keyless([*messages(span), b"no json at all"]))
    truth = census_labels().loc[span.index]
    kafka.produce(labels, keyless(label_messages(truth[truth["time"] <= span["time"].max()])))
    port = free_port()
    folder = tmp_path_factory.mktemp("dashboards")
    with Receiver() as receiver:
        receiver.always("/refuses", Answer(400))
        rules = _RULES.format(refuses=f"{receiver.url}/refuses", closed=free_port())
        text = config_text(topic, kafka.bootstrap, folder / "state", port, rules)
        text = text.replace("group_id =", f'labels = ["{labels}"]\ngroup_id =').replace(
            "[models.columns]", '[models.labels]\nmax_delay = "31d"\n[models.columns]'
        )
        daemon = DaemonProcess(folder, text, port)
        daemon.start()
        try:
            daemon.wait_for("leeway_rows_total", len(span))
            daemon.wait_for("leeway_rows_rejected_total", 1)
            daemon.wait_for("leeway_notifications_total", 1, result="dead")
            daemon.wait_for("leeway_outbox_notifications", 1, receiver="unreachable")
            daemon.wait_for("leeway_checkpoint_timestamp_seconds", 1)
            daemon.wait_for("leeway_performance_labelled_rows", 1)
            yield f"http://127.0.0.1:{port}/metrics"
        finally:
            daemon.stop()
