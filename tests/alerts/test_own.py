"""leewayd's own notices: about a receiver that fails, its end, and incidents that passed unheard."""

from __future__ import annotations

from alerts.own import failing_notice, fault_key, recovered_notice, summary_notice
from alerts.parking import ReceiverFault
from alerts.policy import ReceiverPolicy

TO = ReceiverPolicy("pager")
SINCE = 1_364_882_400_000
FAULT = ReceiverFault(SINCE, "HTTP 404", fault_key("team", SINCE))


def test_the_end_closes_what_the_beginning_opened() -> None:
    begun, words = failing_notice(TO, "team", FAULT)
    ended, last = recovered_notice(TO, "team", FAULT, SINCE + 3_600_000)
    assert begun.dedup_key == ended.dedup_key == FAULT.dedup_key
    assert (begun.kind, ended.kind) == ("trigger", "resolve")
    assert begun.id != ended.id
    assert not begun.retrains
    assert words.title == "leewayd cannot notify team: HTTP 404"
    assert dict(words.facts)["Since"] == "2013-04-02 06:00 UTC"
    assert dict(last.facts)["Lasted"] == "2013-04-02 06:00 UTC to 2013-04-02 07:00 UTC"


def test_a_dropped_notification_is_named() -> None:
    lost = ReceiverFault(SINCE, "HTTP 404", "k", lost="drift on m")
    assert dict(failing_notice(TO, "team", lost)[1].facts)["Dropped"] == "drift on m"
    assert "Dropped" not in dict(failing_notice(TO, "team", FAULT)[1].facts)


def test_each_fault_of_each_receiver_has_a_key_of_its_own() -> None:
    keys = {fault_key(name, since) for name in ("a", "b", "a\x001") for since in (1, 2)}
    assert len(keys) == 6


def test_a_summary_lists_titles_and_counts_the_others() -> None:
    notice, words = summary_notice(TO, ["a", "b"], ["one", "two"], 1_005, SINCE)
    assert words.title.startswith("1,005 incidents began and ended")
    assert words.findings == ("one", "two", "and 1,003 earlier")
    assert notice.kind == "summary"
    assert summary_notice(TO, ["a"], ["one"], 1, SINCE)[1].title.startswith("1 incident began and ended")
    other, _ = summary_notice(TO, ["a", "c"], ["one", "two"], 1_005, SINCE)
    assert other.id != notice.id
