"""Outgoing HTTP byte by byte: addresses, headers, TLS, and answers that stop half-way; beside `test_transport`."""

from __future__ import annotations

import contextlib
import gzip
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.addresses import is_metadata, is_private, literal_address
from alerts.http import (
    AddressRefusedError,
    HttpRequest,
    HttpResponse,
    TransportError,
    Urllib3Transport,
    header_fault,
    token_fault,
    url_fault,
)
from alerts.proxy import proxies_of
from tests.servers.found import free_port

SECONDS = 0.3
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Talk = Callable[[socket.socket], object]
# One for all that need no certificates of their own: loading those of the machine takes 30 ms.
PLAIN = Urllib3Transport()


def post(url: str, transport: Urllib3Transport | None = None, **headers: str) -> HttpResponse:
    return (transport or PLAIN)(HttpRequest(url, b"{}", headers, timeout_seconds=SECONDS))


def say(answer: bytes) -> Talk:
    return lambda connection: connection.sendall(answer)


def read_request(connection: socket.socket) -> bytes:
    """All of it: to close a connection with bytes unread resets it, and the answer may be lost."""
    request = b""
    while not request.endswith(b"\r\n\r\n{}") and (more := connection.recv(65_536)):
        request += more
        if request.startswith(b"CONNECT") and request.endswith(b"\r\n\r\n"):
            break
    return request


@contextlib.contextmanager
def serving(
    talk: Talk, host: str = "127.0.0.1", family: int = socket.AF_INET, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[int, list[bytes]]]:
    """A server for one connection; its port, and what it was sent first."""
    seen: list[bytes] = []
    server = socket.create_server((host, 0), family=family)

    def run() -> None:
        with contextlib.suppress(OSError):
            connection: socket.socket = server.accept()[0]
            with contextlib.ExitStack() as stack:
                stack.enter_context(connection)
                if tls is not None:
                    connection = stack.enter_context(tls.wrap_socket(connection, server_side=True))
                seen.append(read_request(connection))
                talk(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield int(server.getsockname()[1]), seen
    finally:
        server.close()
        thread.join(5)


# What is sent


def test_a_request_is_a_post_of_json_by_leewayd() -> None:
    with serving(say(OK)) as (port, seen):
        assert post(f"http://127.0.0.1:{port}/hook?team=us").body == b"ok"
    head, body = seen[0].decode().split("\r\n\r\n")
    start, *lines = head.split("\r\n")
    assert start == "POST /hook?team=us HTTP/1.1"
    assert body == "{}"
    headers = dict(line.lower().split(": ") for line in lines)
    assert headers["host"] == f"127.0.0.1:{port}"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "leewayd"
    assert headers["content-length"] == "2"


@pytest.mark.parametrize("name", ["User-Agent", "user-agent"])
def test_headers_of_a_request_replace_the_usual_ones_whatever_their_case(name: str) -> None:
    with serving(say(OK)) as (port, seen):
        post(f"http://127.0.0.1:{port}/", **{name: "ours"})
    agents = [line for line in seen[0].decode().split("\r\n") if line.lower().startswith("user-agent:")]
    assert [line.split(": ")[1] for line in agents] == ["ours"]


def test_an_ipv6_address_is_reached_and_named_in_one_pair_of_brackets() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with serving(say(OK), "::1", socket.AF_INET6) as (port, seen):
        assert post(f"http://[::1]:{port}/").status == 200
    assert f"\r\nHost: [::1]:{port}\r\n".encode() in seen[0]


@pytest.mark.parametrize("path", ["a\r\nX-Forged: 1", "a b", "a\x00"])
def test_a_url_cannot_forge_a_header(path: str) -> None:
    with serving(say(OK)) as (port, seen):
        post(f"http://127.0.0.1:{port}/{path}")
    head = seen[0].split(b"\r\n\r\n")[0]
    assert b"\r\nX-Forged" not in head
    assert head.split(b"\r\n")[0].count(b" ") == 2


def test_a_header_cannot_forge_another_and_nothing_is_sent() -> None:
    with serving(say(OK)) as (port, seen), pytest.raises(ValueError, match="Invalid header value"):
        post(f"http://127.0.0.1:{port}/", Authorization="Bearer x\r\nX-Forged: 1")
    assert seen in ([], [b""])


# What is answered


@pytest.mark.parametrize(("size", "kept"), [(0, 0), (65_536, 65_536), (65_537, 65_536), (200_000, 65_536)])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_cut_at_64_kib_and_not_before(size: int, kept: int, chunked: bool) -> None:
    body = b"x" * size
    if chunked:
        chunk = f"{size:x}\r\n".encode() + body + b"\r\n" if size else b""
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"
    else:
        answer = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + body
    with serving(say(answer)) as (port, _):
        assert post(f"http://127.0.0.1:{port}/").body == body[:kept]


def test_a_compressed_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"0" * 20_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    with serving(say(head + bomb)) as (port, _):
        assert post(f"http://127.0.0.1:{port}/").body == bomb[:65_536]


def test_names_of_headers_come_in_lower_case() -> None:
    with serving(say(b"HTTP/1.1 503 Busy\r\nRETRY-AFTER: 9\r\nContent-Length: 0\r\n\r\n")) as (port, _):
        found = post(f"http://127.0.0.1:{port}/")
    assert (found.status, found.headers["retry-after"]) == (503, "9")


def test_a_body_that_stops_half_way_does_not_undo_what_the_status_has_said() -> None:
    gate = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 50\r\n\r\npart")
        gate.wait(10)

    with serving(talk) as (port, _):
        began = time.monotonic()
        assert post(f"http://127.0.0.1:{port}/").status == 202
        assert time.monotonic() - began < 5 * SECONDS
        gate.set()


@pytest.mark.parametrize("body", [b"ff\r\nshort", b"not a length\r\n", b""])
def test_a_body_in_broken_chunks_does_not_undo_it_either(body: bytes) -> None:
    with serving(say(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n" + body)) as (port, _):
        found = post(f"http://127.0.0.1:{port}/")
    assert (found.status, found.body) == (202, b"")


def test_a_body_that_drips_without_end_is_given_up_in_time_and_the_status_kept() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b".")
                time.sleep(0.02)

    with serving(talk) as (port, _):
        began = time.monotonic()
        assert post(f"http://127.0.0.1:{port}/").status == 200
        assert time.monotonic() - began < 5 * SECONDS


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\n", b"200 OK\r\n\r\n",
        b"\x16\x03\x01\x02\x00", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_an_error_of_transport(answer: bytes) -> None:
    with serving(say(answer)) as (port, _), pytest.raises(TransportError):
        post(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("body", [b"Content-Length: -5\r\n\r\n", b"Content-Length: many\r\n\r\n"])
def test_a_senseless_length_loses_no_status(body: bytes) -> None:
    with serving(say(b"HTTP/1.1 200 OK\r\n" + body)) as (port, _):
        assert post(f"http://127.0.0.1:{port}/").status == 200


# What is never told

URLS = (
    "http://127.0.0.1:{port}/T000/secret",
    "https://127.0.0.1:{port}/T000/secret",
    "http://127.0.0.1:{port}x/secret",
)


@pytest.mark.parametrize("url", URLS)
def test_not_even_a_traceback_of_a_failure_holds_the_url(url: str) -> None:
    address = url.format(port=free_port())
    with pytest.raises(TransportError) as caught:
        post(address)
    shown = "".join(traceback.format_exception(caught.value))
    assert "secret" not in shown
    assert str(caught.value)


@given(st.text(max_size=60))
def test_no_url_whatever_raises_anything_else_or_is_repeated(text: str) -> None:
    # A scheme that is refused at once, so that nothing is ever connected to.
    address = f"gopher:{text}"
    with pytest.raises(TransportError) as caught:
        post(address)
    assert address not in str(caught.value)


# Addresses


@given(st.integers(0, 2**16 - 1))
def test_all_of_the_link_local_network_is_refused_in_both_ways_of_writing_it(low: int) -> None:
    address = ipaddress.ip_address(f"169.254.{low >> 8}.{low & 255}")
    assert is_metadata(str(address))
    assert is_metadata(f"::ffff:{address}")


@given(st.ip_addresses())
def test_no_address_whatever_raises(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert is_metadata(str(address)) in (True, False)


@pytest.mark.parametrize(
    "address", ["192.168.1.1", "172.16.0.9", "169.253.255.255", "169.255.0.0", "::1", "2001:db8::1"]
)
def test_receivers_on_private_networks_are_allowed(address: str) -> None:
    assert not is_metadata(address)


def test_it_is_the_address_reached_that_is_judged_and_not_the_name() -> None:
    told: list[str] = []
    with serving(say(OK)) as (port, seen):
        with pytest.raises(TransportError, match="metadata"):
            post(f"http://localhost:{port}/", Urllib3Transport(lambda address: not told.append(address)))
        assert told == ["127.0.0.1"]
    assert seen in ([], [b""])


METADATA = (
    "169.254.169.254", "168.63.129.16", "192.0.0.192", "100.100.100.200", "0.0.0.0", "0.1.2.3", "169.254.170.2",
)  # fmt: skip


def carriers(address: str) -> dict[str, str]:
    """IPv6 addresses that carry an IPv4 address."""
    high, low = (f"{int(ipaddress.IPv4Address(address)) >> shift & 0xFFFF:x}" for shift in (16, 0))
    flipped = int(ipaddress.IPv4Address(address)) ^ 0xFFFFFFFF
    return {
        "mapped": f"::ffff:{address}",
        "compatible": f"::{address}",
        "translated": f"::ffff:0:{address}",
        "nat64": f"64:ff9b::{address}",
        "local nat64, /96": f"64:ff9b:1::{address}",
        "local nat64, /96 of another prefix": f"64:ff9b:1:2:3:4:{address}",
        "6to4": f"2002:{high}:{low}::1",
        "teredo server": f"2001:0:{high}:{low}::1",
        "teredo client": f"2001:0:4136:e378:8000:63bf:{flipped >> 16:x}:{flipped & 0xFFFF:x}",
    }


@pytest.mark.parametrize("address", METADATA)
def test_metadata_addresses_are_refused_in_every_way_of_writing_them(address: str) -> None:
    assert is_metadata(address)
    for kind, carried in carriers(address).items():
        # Where the place of the address is not known, most places read as 0.0.0.0, which then says nothing.
        assert is_metadata(carried) or (address.startswith("0.") and kind.endswith("of another prefix")), kind


@pytest.mark.parametrize("length", [48, 56, 64])
def test_local_nat64_is_read_with_every_length_of_its_prefix(length: int) -> None:
    for address, refused in (("169.254.169.254", True), ("8.8.8.8", False), ("203.0.114.9", False)):
        bits = list(f"{int(ipaddress.IPv6Address('64:ff9b:1::')):0128b}")
        place = length
        for bit in f"{int(ipaddress.IPv4Address(address)):032b}":
            place = 72 if place == 64 else place
            bits[place] = bit
            place += 1
        assert is_metadata(str(ipaddress.IPv6Address(int("".join(bits), 2)))) is refused


@pytest.mark.parametrize(
    "address", ["fe80::1", "febf::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "::"]
)
def test_metadata_addresses_of_ipv6_are_refused(address: str) -> None:
    assert is_metadata(address)


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("10.1.2.3", True), ("172.16.0.1", True), ("192.168.0.1", True), ("127.0.0.1", True), ("100.64.0.1", True),
        ("224.0.0.1", True), ("240.0.0.1", True), ("::1", True), ("fd12::1", True), ("fec0::1", True),
        ("ff02::1", True), ("::ffff:10.0.0.1", True), ("64:ff9b::192.168.1.1", True), ("2002:a00:1::1", True),
        ("8.8.8.8", False), ("2606:4700::1111", False), ("::ffff:8.8.8.8", False), ("64:ff9b::8.8.8.8", False),
    ],
)  # fmt: skip
def test_private_addresses_are_known(address: str, private: bool) -> None:
    assert is_private(address) is private


@given(st.ip_addresses())
def test_no_address_raises_when_it_is_asked_whether_it_is_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    assert is_private(str(address)) in (True, False)


def test_without_private_addresses_nothing_is_sent_to_this_machine() -> None:
    with serving(say(OK)) as (port, seen), pytest.raises(AddressRefusedError, match="private"):
        post(f"http://localhost:{port}/", Urllib3Transport(allow_private=False))
    assert seen in ([], [b""])


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("169.254.169.254", "169.254.169.254"), ("2852039166", "169.254.169.254"), ("0xa9fea9fe", "169.254.169.254"),
        ("0251.0376.0251.0376", "169.254.169.254"), ("127.1", "127.0.0.1"), ("[fe80::1%eth0]", "fe80::1"),
        ("localhost", None), ("hooks.slack.com", None), ("1e100.net", None), ("face.b00c", None), ("", None),
    ],
)  # fmt: skip
def test_addresses_in_urls_are_known_in_old_ways_of_writing_them_too(host: str, address: str | None) -> None:
    assert literal_address(host) == address


# Proxies


def through(environment: dict[str, str], **more: bool) -> Urllib3Transport:
    return Urllib3Transport(proxies=proxies_of(environment), **more)  # type: ignore[arg-type]


def test_a_proxy_forwards_http_with_the_whole_url_and_its_own_password() -> None:
    with serving(say(OK)) as (port, seen):
        transport = through({"HTTP_PROXY": f"http://me:pass@127.0.0.1:{port}"})
        assert post("http://hooks.example.org/a?b=c", transport).status == 200
    head = seen[0].split(b"\r\n\r\n")[0].decode().split("\r\n")
    assert head[0] == "POST http://hooks.example.org/a?b=c HTTP/1.1"
    assert "Host: hooks.example.org" in head
    (auth,) = [line.partition(": ")[2] for line in head if line.lower().startswith("proxy-authorization:")]
    assert auth == "Basic bWU6cGFzcw=="


@pytest.mark.parametrize(("name", "trusted"), [("proxied.example", True), ("other.example", False)])
def test_a_proxy_opens_a_tunnel_for_https_and_sees_nothing_but_the_name(
    server_tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    asked: list[bytes] = []
    inner: list[bytes] = []
    proxy = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        connection, _ = proxy.accept()
        asked.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with contextlib.suppress(OSError), server_tls.wrap_socket(connection, server_side=True) as secure:
            inner.append(read_request(secure))
            secure.sendall(OK)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    transport = through({"HTTPS_PROXY": f"http://127.0.0.1:{proxy.getsockname()[1]}"})
    # Names that only the proxy can resolve; the certificate is for one of them.
    with contextlib.nullcontext() if trusted else pytest.raises(TransportError, match="SSL"):
        assert post(f"https://{name}/secret", transport, Authorization="Bearer secret").status == 200
    thread.join(5)
    proxy.close()
    assert asked[0].startswith(f"CONNECT {name}:443 HTTP/1.".encode())
    assert b"secret" not in asked[0]
    assert [request.split(b"\r\n")[0] for request in inner if request] == [b"POST /secret HTTP/1.1"] * trusted


def test_a_proxy_that_opens_no_tunnel_is_a_fault_of_the_connection() -> None:
    refusal = say(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    with serving(refusal) as (port, _), pytest.raises(TransportError, match="the proxy opened no tunnel"):
        post("https://h.example/", through({"HTTPS_PROXY": f"127.0.0.1:{port}"}))


@pytest.mark.parametrize("url", ["http://169.254.169.254/x", "https://169.254.169.254/x", "http://[::ffff:a9fe:a9fe]/"])
def test_a_metadata_address_in_the_url_is_refused_behind_a_proxy_too(url: str) -> None:
    environment = {"HTTP_PROXY": f"http://127.0.0.1:{free_port()}", "HTTPS_PROXY": f"http://127.0.0.1:{free_port()}"}
    with pytest.raises(AddressRefusedError):
        post(url, through(environment))


def test_the_address_of_the_proxy_is_judged_before_a_byte_is_sent() -> None:
    for scheme in ("http", "https"):
        with serving(say(OK)) as (port, seen):
            proxies = proxies_of({f"{scheme}_proxy": f"http://127.0.0.1:{port}"})
            with pytest.raises(AddressRefusedError):
                post(f"{scheme}://h.example/", Urllib3Transport(lambda address: True, proxies=proxies))
        assert seen in ([], [b""])


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "http://h.example", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://h.example", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://h.example", None),
        ({"http_proxy": "p:1", "HTTP_PROXY": "http://q:1"}, "http://h.example", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "h.example,x"}, "http://h.example", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": ".example"}, "http://h.example", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, "http://h.example", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "other"}, "http://h.example", "http://p:1"),
        # This machine is never reached through a proxy.
        ({"HTTP_PROXY": "http://p:1"}, "http://localhost", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://127.0.0.1", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://::1", None),
    ],
)
def test_the_proxy_is_the_one_that_the_environment_names(
    environment: dict[str, str], url: str, proxy: str | None
) -> None:
    scheme, _, host = url.partition("://")
    assert proxies_of(environment).of(scheme, host) == proxy


def test_the_process_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", "*")
    assert proxies_of({}).of("http", "h.example") is None
    assert proxies_of({"HTTP_PROXY": "http://q:1"}).of("http", "h.example") == "http://q:1"


# URLs and headers as configured


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("not a url", "spaces"), ("", "begin with https"), ("ftp://h/x", "begin with https"),
        ("http://", "host name"),
        ("https://h:99999/", "not a URL"), ("https://h:x/", "not a URL"), ("https://h:0/", "port"),
        ("https://a..b/", "host name"), (f"https://{'a' * 64}.example/", "host name"), ("hooks.slack.com/x", "https"),
        ("https://h/\r\nX: y", "line breaks"), ("https://h/\x00", "control"), ("https://u:secret@h/", "user name"),
        ("https://169.254.169.254/latest", "credentials"), ("http://2852039166/", "credentials"),
        ("http://[::ffff:a9fe:a9fe]/", "credentials"), ("http://0/", "credentials"),
    ],
)  # fmt: skip
def test_impossible_urls_are_refused_without_repeating_them(url: str, reason: str) -> None:
    fault = url_fault(url)
    assert reason in fault
    assert "secret" not in fault
    assert not url or url not in fault


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/services/T/B/x", "http://127.0.0.1:8080/x?y=z#f", "https://[::1]:8443/", "http://h",
        "http://airflow.svc.cluster.local./api", "https://my_host/", "http://10.0.0.1/x%20y",
    ],
)  # fmt: skip
def test_possible_urls_are_not(url: str) -> None:
    assert url_fault(url) == ""


def test_private_literals_are_refused_where_they_are_not_allowed() -> None:
    assert "private" in url_fault("http://10.0.0.1/", allow_private=False)
    assert url_fault("http://8.8.8.8/", allow_private=False) == ""
    assert url_fault("http://internal.example/", allow_private=False) == ""


@given(st.text(max_size=60))
def test_no_text_raises_when_it_is_asked_whether_it_is_a_url(text: str) -> None:
    assert isinstance(url_fault(text), str)
    assert isinstance(url_fault(f"https://{text}", allow_private=False), str)


@pytest.mark.parametrize("text", ["a\r\nb", "a\nb", "a\x00b", "snow☃"])
def test_what_no_header_can_carry_is_refused(text: str) -> None:
    assert token_fault(text)
    assert text not in token_fault(text)
    assert header_fault("X-Team", text)
    assert not token_fault("Bearer a b\té")


@pytest.mark.parametrize("name", ["", "X Team", "X:", "Content-Length", "transfer-encoding", "X\r\n"])
def test_what_is_no_header_that_can_be_set_is_refused(name: str) -> None:
    assert header_fault(name, "x")
    assert not header_fault("X-Team", "x")


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of this machine's own, key and all, for the name ``localhost``."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:proxied.example",
            "-keyout", "key.pem", "-out", "cert.pem",
        ],
        cwd=folder, check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    whole = folder / "both.pem"
    whole.write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return whole


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_tls_is_spoken_with_whom_the_machine_trusts(
    server_tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(say(OK), tls=server_tls) as (port, seen):
        assert post(f"https://localhost:{port}/hook", Urllib3Transport()).status == 200
    assert seen[0].startswith(b"POST /hook ")


def test_nothing_is_sent_to_whom_the_machine_does_not_trust(server_tls: ssl.SSLContext) -> None:
    with serving(say(OK), tls=server_tls) as (port, seen), pytest.raises(TransportError, match="SSL"):
        post(f"https://localhost:{port}/hook", Urllib3Transport())
    assert seen == []


def test_nothing_is_sent_to_whom_is_trusted_under_another_name(
    server_tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(say(OK), tls=server_tls) as (port, seen), pytest.raises(TransportError, match="SSL"):
        post(f"https://127.0.0.1:{port}/hook", Urllib3Transport())
    assert seen == []


def test_an_address_that_is_refused_gets_nothing_over_tls_either(
    server_tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(say(OK), tls=server_tls) as (port, seen), pytest.raises(TransportError, match="metadata"):
        post(f"https://localhost:{port}/hook", Urllib3Transport(refuses=lambda address: True))
    assert seen in ([], [b""])


@pytest.mark.parametrize("drip", [False, True])
def test_an_answer_that_hangs_or_drips_over_tls_is_given_up_in_time(
    server_tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch, drip: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    gate = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not gate.wait(0.02):
            if drip:
                connection.sendall(b".")

    with serving(talk, tls=server_tls) as (port, _):
        began = time.monotonic()
        with pytest.raises(TransportError):
            post(f"https://localhost:{port}/hook", Urllib3Transport())
        assert time.monotonic() - began < 5 * SECONDS
        gate.set()


def test_a_handshake_that_never_ends_is_given_up_in_time() -> None:
    gate = threading.Event()
    with serving(lambda connection: gate.wait(10)) as (port, _):
        began = time.monotonic()
        with pytest.raises(TransportError):
            post(f"https://127.0.0.1:{port}/")
        assert time.monotonic() - began < 5 * SECONDS
        gate.set()
