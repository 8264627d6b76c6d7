"""Outgoing HTTP against servers that are slow, wrong, hostile or not there."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.addresses import is_metadata
from alerts.http import HttpRequest, TransportError, Urllib3Transport
from alerts.outcome import Dead, Delivered, Refused, Retry, by_status, retry_after
from tests.servers.found import free_port
from tests.servers.receiver import WEBHOOK_PATH, Answer, Receiver

SECONDS = 0.4


def post(url: str, transport: Urllib3Transport | None = None, **headers: str) -> object:
    return (transport or Urllib3Transport())(HttpRequest(url, b"{}", headers, timeout_seconds=SECONDS))


def serve(talk: Callable[[socket.socket], object]) -> int:
    """A server for one connection that says what it is told to; its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        connection, _ = server.accept()
        with suppress(OSError), connection:
            connection.recv(65536)
            talk(connection)
        server.close()

    threading.Thread(target=run, daemon=True).start()
    return int(server.getsockname()[1])


def test_the_answer_comes_whole_with_its_headers() -> None:
    with Receiver() as receiver:
        receiver.always(WEBHOOK_PATH, Answer(429, (("Retry-After", "7"),), b"slow down"))
        found = Urllib3Transport()(HttpRequest(receiver.webhook_url, b'{"a": 1}', {"X-Team": "us"}))
        assert (found.status, found.headers["retry-after"], found.body) == (429, "7", b"slow down")
        (seen,) = receiver.requests
        assert seen.body == {"a": 1}
        assert seen.headers["content-type"] == "application/json"
        assert seen.headers["x-team"] == "us"


def test_a_redirect_is_not_followed() -> None:
    with Receiver() as receiver:
        receiver.always(WEBHOOK_PATH, Answer(302, (("Location", f"{receiver.url}/elsewhere"),)))
        found = Urllib3Transport()(HttpRequest(receiver.webhook_url, b"{}"))
        assert by_status(found.status, found.headers, 0.0) == Refused("HTTP 302")
        assert [request.path for request in receiver.requests] == [WEBHOOK_PATH]


@pytest.mark.parametrize("drip", [True, False])
def test_a_receiver_that_hangs_or_drips_is_given_up_in_time(drip: bool) -> None:
    gate = threading.Event()
    with Receiver() as receiver:
        receiver.always(WEBHOOK_PATH, Answer(200, drip=drip, hold=None if drip else gate))
        began = time.monotonic()
        with pytest.raises(TransportError):
            post(receiver.webhook_url)
        assert time.monotonic() - began < 5 * SECONDS
        gate.set()


def test_nobody_there_nonsense_and_a_connection_cut_short_are_told_by_kind() -> None:
    nonsense = serve(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"))
    cut = serve(lambda connection: None)
    for port in (free_port(), nonsense, cut):
        with pytest.raises(TransportError) as caught:
            post(f"http://127.0.0.1:{port}/secret-path")
        assert "secret-path" not in str(caught.value)
        assert str(port) not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://h/x", "file:///etc/passwd", "http://", "http://[::1", "http://h:x/"]
)
def test_what_is_no_web_address_is_refused_without_being_told(url: str) -> None:
    with pytest.raises(TransportError) as caught:
        post(url)
    assert not url or url not in str(caught.value)


def test_an_answer_without_end_is_cut() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        with suppress(OSError):
            while True:
                connection.sendall(b"x" * 65536)

    found = Urllib3Transport()(HttpRequest(f"http://127.0.0.1:{serve(talk)}/", b"{}"))
    assert found.status == 200
    assert len(found.body) <= 65_536


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("169.254.169.254", True), ("169.254.0.1", True), ("fe80::1%eth0", True), ("fd00:ec2::254", True),
        ("100.100.100.200", True), ("::ffff:169.254.169.254", True), ("10.0.0.1", False), ("127.0.0.1", False),
        ("93.184.216.34", False), ("fd00::1", False),
    ],
)  # fmt: skip
def test_where_clouds_hand_out_credentials_is_known(address: str, refused: bool) -> None:
    assert is_metadata(address) is refused


def test_an_address_that_is_refused_gets_nothing_whatever_name_leads_there() -> None:
    with Receiver() as receiver:
        with pytest.raises(TransportError, match="metadata"):
            post(receiver.webhook_url, Urllib3Transport(refuses=lambda address: address == "127.0.0.1"))
        assert receiver.requests == []


def test_requests_do_not_show_their_secrets() -> None:
    shown = repr(HttpRequest("https://hooks.example.org/secret", b"{}", {"Authorization": "Bearer secret"}))
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Delivered()), (202, Delivered()), (299, Delivered()), (301, Refused("HTTP 301")), (400, Dead("HTTP 400")),
        (401, Refused("HTTP 401")), (403, Refused("HTTP 403")), (404, Refused("HTTP 404")), (410, Refused("HTTP 410")),
        (413, Dead("HTTP 413")), (422, Dead("HTTP 422")), (408, Retry("HTTP 408")), (425, Retry("HTTP 425")),
        (429, Retry("HTTP 429")), (500, Retry("HTTP 500")), (503, Retry("HTTP 503")),
    ],
)  # fmt: skip
def test_statuses_are_read_the_usual_way(status: int, expected: object) -> None:
    assert by_status(status, {}, 0.0) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0), (" 5 ", 5.0), ("0", 0.0), ("Tue, 14 Nov 2023 22:15:20 GMT", 120.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0), ("soon", None), ("-5", None), ("1.5", None), ("", None), ("٣", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after(text, 1_700_000_000.0) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_whatever_raises(text: str) -> None:
    found = retry_after(text, 1_700_000_000.0)
    assert found is None or found >= 0
