"""Plays Slack, PagerDuty and a webhook over real HTTP, and holds requests against the documented contracts.

Slack, incoming webhooks: a ``text`` or ``blocks``; at most 50 blocks, header text of 150 and section text of 3000
characters; answers ``ok``. PagerDuty, Events API v2: fields and lengths as its documentation tells; answers 202. Whatever
breaks a contract is answered with 400, as the real ones do.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROUTING_KEY = "0123456789abcdef0123456789abcdef"
SLACK_PATH = "/services/T000/B000/secret"


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: Any
    status: int


@dataclass(frozen=True)
class Answer:
    """A scripted answer, given instead of the right one; ``hold`` waits for that event first."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    hold: threading.Event | None = None


class Receiver:
    def __init__(self) -> None:
        self.requests: list[Received] = []
        self._scripts: dict[str, deque[Answer]] = {}
        self._always: dict[str, Answer] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer, text = outer.take(self.path, headers, raw)
                if answer.hold is not None:
                    answer.hold.wait(30)
                try:
                    self.send_response(answer.status)
                    for name, value in answer.headers:
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    pass  # the client's time-out came first

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
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
        return self.url + "/v2/enqueue"

    @property
    def webhook_url(self) -> str:
        return self.url + "/retrain"

    def script(self, path: str, *answers: Answer) -> None:
        self._scripts.setdefault(path, deque()).extend(answers)

    def always(self, path: str, answer: Answer | None) -> None:
        if answer is None:
            self._always.pop(path, None)
        else:
            self._always[path] = answer

    def accepted(self, path: str) -> list[Received]:
        return [request for request in self.requests if request.path == path and request.status < 300]

    def take(self, path: str, headers: dict[str, str], raw: bytes) -> tuple[Answer, bytes]:
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        fault = _fault(path, headers, body, len(raw))
        scripted = self._always.get(path) or (self._scripts[path].popleft() if self._scripts.get(path) else None)
        if scripted is not None:
            answer, text = scripted, b""
        elif fault:
            answer, text = Answer(400), fault.encode()
        else:
            answer, text = (Answer(202), b"{}") if path == "/v2/enqueue" else (Answer(200), b"ok")
        self.requests.append(Received(path, headers, body, answer.status))
        return answer, text


def _fault(path: str, headers: dict[str, str], body: Any, size: int) -> str:
    if headers.get("content-type") != "application/json" or not isinstance(body, dict):
        return "no JSON object"
    if path == SLACK_PATH:
        return _slack_fault(body)
    if path == "/v2/enqueue":
        return _pagerduty_fault(body, size)
    if path == "/retrain":
        return "" if headers.get("idempotency-key") == body.get("idempotency_key") else "no idempotency key"
    return "no such path"


def _slack_fault(body: dict[str, Any]) -> str:
    if not body.get("text") or set(body) - {"text", "blocks"}:
        return "invalid_payload"
    blocks = body.get("blocks", [])
    if len(blocks) > 50:
        return "invalid_blocks"
    for block in blocks:
        text = block.get("text", {})
        limits = {"header": ("plain_text", 150), "section": ("mrkdwn", 3000)}
        kind, limit = limits.get(block.get("type"), (None, 0))
        if text.get("type") != kind or not 0 < len(text.get("text", "")) <= limit:
            return "invalid_blocks"
    return ""


def _pagerduty_fault(body: dict[str, Any], size: int) -> str:
    known = {"routing_key", "event_action", "dedup_key", "payload", "links", "images", "client", "client_url"}
    if set(body) - known or size > 512_000 or body.get("routing_key") != ROUTING_KEY:
        return "invalid event"
    if body.get("event_action") not in ("trigger", "acknowledge", "resolve") or len(body.get("dedup_key", "")) > 255:
        return "invalid event"
    if body["event_action"] != "trigger":
        return "" if body.get("dedup_key") else "no dedup_key"
    payload = body.get("payload", {})
    if not payload.get("source") or not 0 < len(payload.get("summary", "")) <= 1024:
        return "summary and source are required"
    if payload.get("severity") not in ("critical", "error", "warning", "info"):
        return "severity"
    if any(not link.get("href") for link in body.get("links", [])):
        return "links"
    return ""
