"""The HTTP server against clients that are slow, many, or talk nonsense."""

from __future__ import annotations

import contextlib
import errno
import gzip
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping

import pytest

from monitor.serve.http_server import HttpServer, Response

HEAD_SECONDS = 0.5


def boom(headers: Mapping[str, str]) -> Response:
    raise RuntimeError("no")


@pytest.fixture
def server() -> Iterator[HttpServer]:
    big = b"x" * 50_000_000
    routes = {
        "/hello": lambda headers: Response(200, headers.get("x-name", "nobody").encode()),
        "/big": lambda headers: Response(200, big),
        "/boom": boom,
    }
    found = HttpServer("127.0.0.1", 0, routes, max_connections=4, head_seconds=HEAD_SECONDS)
    yield found
    found.close()


def get(server: HttpServer, path: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def raw(server: HttpServer, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(data)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_paths_are_served_and_others_told(server: HttpServer) -> None:
    assert get(server, "/hello?x=1", **{"X-Name": "you"}) == (200, b"you")
    assert get(server, "/none")[0] == 404
    assert get(server, "/boom") == (500, b"internal error\n")
    assert get(server, "/hello") == (200, b"nobody")


def test_head_has_a_length_and_no_body(server: HttpServer) -> None:
    answer = raw(server, b"HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"Content-Length: 6\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /hello HTTP/1.1\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
        (b"GET /hello HTTP/1.1\r\n\xff\xfe: \x00\r\n\r\n", b"200"),
    ],
)
def test_nonsense_gets_an_answer(server: HttpServer, data: bytes, status: bytes) -> None:
    assert raw(server, data).split(b" ")[1] == status


def test_a_client_that_drips_its_request_is_let_go_in_time(server: HttpServer) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.settimeout(0.05)
        while time.monotonic() - began < 5:
            try:
                client.sendall(b"G")
                if client.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    assert time.monotonic() - began < 4 * HEAD_SECONDS


def test_an_endless_head_is_cut(server: HttpServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client, contextlib.suppress(OSError):
        client.sendall(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 10_000)
        assert client.recv(100) == b""


def test_a_scrape_gets_through_a_crowd_that_says_nothing(server: HttpServer) -> None:
    crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
    try:
        assert get(server, "/hello") == (200, b"nobody")
    finally:
        for client in crowd:
            client.close()


def test_clients_that_never_take_their_answer_block_nobody_for_long(server: HttpServer) -> None:
    greedy = []
    for _ in range(12):
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(b"GET /big HTTP/1.1\r\n\r\n")
        greedy.append(client)
    deadline = time.monotonic() + 5
    try:
        while True:
            try:
                assert get(server, "/hello") == (200, b"nobody")
                break
            except OSError:
                assert time.monotonic() < deadline
    finally:
        for client in greedy:
            client.close()


def test_a_closed_server_listens_no_more() -> None:
    server = HttpServer("127.0.0.1", 0, {}, max_connections=4, head_seconds=HEAD_SECONDS)
    port = server.port
    server.close()
    with pytest.raises(OSError, match=r"refused|reset"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def never_read(server: HttpServer, path: str) -> socket.socket:
    """A client that sends a whole GET and takes nothing of the answer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    client.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    return client


def test_a_scrape_and_a_probe_get_through_whole_requests_that_are_never_read(server: HttpServer) -> None:
    greedy = []
    try:
        for number in range(60):
            greedy.append(never_read(server, "/big"))
            if number % 5 == 0:
                assert get(server, "/hello") == (200, b"nobody")
    finally:
        for client in greedy:
            client.close()


def test_a_client_that_never_takes_its_answer_is_cut_with_what_the_kernel_holds_of_it(server: HttpServer) -> None:
    with never_read(server, "/big") as client:
        began = time.monotonic()
        client.settimeout(0.1)
        while time.monotonic() - began < 10:
            # A reset discards what was sent and not read: reading fails, or ends long before the answer does.
            error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                break
            time.sleep(0.05)
        assert error == errno.ECONNRESET
        assert time.monotonic() - began < 4 * HEAD_SECONDS


def test_who_waits_for_a_slow_page_does_not_lose_its_place_to_a_crowd() -> None:
    go_on = threading.Event()

    def slow(headers: Mapping[str, str]) -> Response:
        assert go_on.wait(30)
        return Response(200, b"page\n")

    routes = {"/slow": slow, "/healthz": lambda headers: Response(200, b"ok\n")}
    server = HttpServer("127.0.0.1", 0, routes, max_connections=4, head_seconds=5.0)
    crowd: list[socket.socket] = []
    found: list[tuple[int, bytes]] = []
    scrapes = [threading.Thread(target=lambda: found.append(get(server, "/slow"))) for _ in range(3)]
    try:
        for scrape in scrapes:
            scrape.start()
        deadline = time.monotonic() + 10
        while len(crowd) < 40:
            crowd.append(socket.create_connection(("127.0.0.1", server.port)))
            assert time.monotonic() < deadline
        assert get(server, "/healthz") == (200, b"ok\n")
        go_on.set()
        for scrape in scrapes:
            scrape.join(30)
        assert found == [(200, b"page\n")] * 3
    finally:
        go_on.set()
        for client in crowd:
            client.close()
        server.close()


def test_a_compressed_answer_says_so() -> None:
    body = gzip.compress(b"x" * 1000)
    server = HttpServer(
        "127.0.0.1", 0, {"/": lambda headers: Response(200, body, encoding="gzip")}, max_connections=4,
        head_seconds=HEAD_SECONDS,
    )  # fmt: skip
    try:
        head, _, found = raw(server, b"GET / HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
        assert b"Content-Encoding: gzip\r\n" in head
        assert gzip.decompress(found) == b"x" * 1000
    finally:
        server.close()
