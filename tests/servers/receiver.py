"""Plays Slack, PagerDuty and a webhook over real HTTP, and holds requests against the documented contracts.

Slack, incoming webhooks: a ``text``, at most 50 blocks, header text of 150 and section text of 3000
characters; answers ``ok``. PagerDuty, Events API v2: fields and lengths as its documentation tells; answers 202.
The webhook: what ``docs/alerts.md`` promises. Whatever breaks a contract is answered with 400, as the real ones do.
"""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROUTING_KEY = "0123456789abcdef0123456789abcdef"
SLACK_PATH = "/services/T000/B000/secret"
PAGERDUTY_PATH = "/v2/enqueue"
WEBHOOK_PATH = "/retrain"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_SEVERITIES = ("critical", "error", "warning", "info")


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: Any
    status: int


@dataclass(frozen=True)
class Answer:
    """A scripted answer, given instead of the right one.

    ``hold`` waits for that event first (a receiver that hangs); ``drip`` sends the answer a byte at a time, and
    goes on with bytes until the client has had enough.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    hold: threading.Event | None = None
    drip: bool = False


class Receiver:
    def __init__(self) -> None:
        self.requests: list[Received] = []
        self._scripts: dict[str, deque[Answer]] = {}
        self._always: dict[str, Answer] = {}
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.answer(self, outer.take(self.path, headers, raw))

            def do_GET(self) -> None:
                # Nothing that alerts send is a GET: only who follows a redirect comes here.
                outer.requests.append(Received(self.path, {}, None, 405))
                self.send_error(405)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def slack_url(self) -> str:
        return self.url + SLACK_PATH

    @property
    def pagerduty_url(self) -> str:
        return self.url + PAGERDUTY_PATH

    @property
    def webhook_url(self) -> str:
        return self.url + WEBHOOK_PATH

    def script(self, path: str, *answers: Answer) -> None:
        """The next answers at a path, in order; after them it behaves again."""
        self._scripts.setdefault(path, deque()).extend(answers)

    def always(self, path: str, answer: Answer | None) -> None:
        """Every answer at a path until it is called with None."""
        if answer is None:
            self._always.pop(path, None)
        else:
            self._always[path] = answer

    def accepted(self, path: str) -> list[Received]:
        return [request for request in self.requests if request.path == path and request.status < 300]

    def take(self, path: str, headers: dict[str, str], raw: bytes) -> Answer:
        """Records a request and finds its answer."""
        try:
            body = json.loads(raw.decode("utf-8"))
        except ValueError:
            body = None
        fault = _fault(path, headers, body, len(raw))
        scripted = self._always.get(path)
        if scripted is None and self._scripts.get(path):
            scripted = self._scripts[path].popleft()
        if scripted is not None:
            answer = scripted
        elif fault:
            answer = Answer(400, body=fault.encode())
        else:
            answer = Answer(202, body=b"{}") if path == PAGERDUTY_PATH else Answer(200, body=b"ok")
        self.requests.append(Received(path, headers, body, answer.status))
        return answer

    def answer(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        if answer.hold is not None:
            answer.hold.wait(30)
        try:
            if answer.drip:
                self._drip(handler, answer)
                return
            handler.send_response(answer.status)
            for name, value in answer.headers:
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(answer.body)))
            handler.end_headers()
            handler.wfile.write(answer.body)
        except OSError:
            pass  # the client's time-out came first

    def _drip(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        start = f"HTTP/1.1 {answer.status} Slowly\r\nX-Endless: ".encode()
        while not self._closing.wait(0.02):
            handler.wfile.write(start[:1] or b".")
            start = start[1:]


def _fault(path: str, headers: dict[str, str], body: Any, size: int) -> str:
    if headers.get("content-type") != "application/json" or not isinstance(body, dict):
        return "no JSON object"
    if path == SLACK_PATH:
        return _slack_fault(body)
    if path == PAGERDUTY_PATH:
        return _pagerduty_fault(body, size)
    if path == WEBHOOK_PATH:
        return _webhook_fault(headers, body)
    return "no such path"


def _is_text(value: Any, limit: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= limit


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _slack_fault(body: dict[str, Any]) -> str:
    if not _is_text(body.get("text"), 40_000) or set(body) - {"text", "blocks"}:
        return "invalid_payload"
    blocks = body.get("blocks", [])
    if len(blocks) > 50:
        return "invalid_blocks"
    for block in blocks:
        text = block.get("text", {})
        limits = {"header": ("plain_text", 150), "section": ("mrkdwn", 3000)}
        kind, limit = limits.get(block.get("type"), (None, 0))
        if text.get("type") != kind or not _is_text(text.get("text"), limit):
            return "invalid_blocks"
    return ""


def _pagerduty_fault(body: dict[str, Any], size: int) -> str:
    known = {
        "routing_key", "event_action", "dedup_key", "payload", "links", "images", "client", "client_url",
    }  # fmt: skip
    if set(body) - known or size > 512 * 1024 or body.get("routing_key") != ROUTING_KEY:
        return "invalid event"
    if body.get("event_action") not in ("trigger", "acknowledge", "resolve"):
        return "event_action"
    if "dedup_key" in body and not _is_text(body["dedup_key"], 255):
        return "dedup_key"
    if body["event_action"] != "trigger":
        return "" if "dedup_key" in body else "no dedup_key"
    payload = body.get("payload")
    if not isinstance(payload, dict):
        return "no payload"
    fields = {"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}
    if set(payload) - fields or not _is_text(payload.get("source"), 1024):
        return "source is required"
    if not _is_text(payload.get("summary"), 1024):
        return "summary"
    if payload.get("severity") not in _SEVERITIES:
        return "severity"
    if "timestamp" in payload and not _is_time(payload["timestamp"]):
        return "timestamp"
    if any(not link.get("href") or set(link) - {"href", "text"} for link in body.get("links", [])):
        return "links"
    return ""


_NUMBER = (int, float, type(None))
_BODY: dict[str, tuple[type, ...]] = {
    "schema_version": (int,),
    "event": (str,),
    "idempotency_key": (str,),
    "dedup_key": (str,),
    "at": (str,),
    "rule": (str,),
    "severity": (str,),
    "model": (str,),
    "version": (str,),
    "segment": (str,),
    "summary": (str,),
    "since": (str,),
    "reason": (str,),
    "window": (dict,),
    "findings": (list,),
    "links": (list,),
}
_WINDOW: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "start": (str,),
    "end": (str,),
    "rows": (int,),
    "offsets": (list,),
}
_OFFSETS: dict[str, tuple[type, ...]] = {
    "topic": (str,),
    "partition": (int,),
    "first": (int,),
    "last": (int,),
}
_FINDING: dict[str, tuple[type, ...]] = {
    "subject": (str,),
    "statistic": (str,),
    "value": _NUMBER,
    "lower": _NUMBER,
    "upper": _NUMBER,
    "threshold": _NUMBER,
    "status": (str,),
    "detail": (str,),
}


def _webhook_fault(headers: dict[str, str], body: dict[str, Any]) -> str:
    if headers.get("idempotency-key") != body.get("idempotency_key"):
        return "no idempotency key"
    if fault := _shape_fault(body, _BODY):
        return fault
    if body["event"] not in ("alert.firing", "alert.resolved", "retrain") or body["severity"] not in _SEVERITIES:
        return "event or severity"
    window = body["window"]
    if fault := _shape_fault(window, _WINDOW):
        return f"window: {fault}"
    if not all(map(_is_time, (body["at"], body["since"], window["start"], window["end"]))):
        return "times"
    for part in window["offsets"]:
        if fault := _shape_fault(part, _OFFSETS):
            return f"offsets: {fault}"
    for finding in body["findings"]:
        if fault := _shape_fault(finding, _FINDING):
            return f"findings: {fault}"
    return ""


def _shape_fault(found: dict[str, Any], shape: dict[str, tuple[type, ...]]) -> str:
    if set(found) != set(shape):
        return f"fields {sorted(set(found) ^ set(shape))}"
    wrong = [name for name, kind in shape.items() if not isinstance(found[name], kind)]
    return f"types of {wrong}" if wrong else ""
