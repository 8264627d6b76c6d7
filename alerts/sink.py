"""The interface of receivers: everything that the outbox and delivery use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerts.http import HttpRequest, HttpResponse, Transport
    from alerts.messages import AlertText
    from alerts.outbox import OutboxEntry
    from alerts.outcome import Outcome
    from alerts.policy import Notice


class Sink(ABC):
    """A destination of notifications."""

    __slots__ = ()
    heard_by_people: ClassVar[bool] = True
    """Whether a person notices notifications there."""

    @abstractmethod
    def render(self, notice: Notice, words: AlertText) -> bytes:
        """The payload of a notice: JSON without secrets, reproducible, saved before it is sent."""

    @abstractmethod
    def attempt(self, entry: OutboxEntry, transport: Transport, wall: Callable[[], float]) -> Outcome:
        """Delivers a saved notification once.

        Args:
            entry: its payload comes from `render`.
            transport: sends requests.
            wall: epoch seconds.
        """


class HttpSink(Sink):
    """A sink that gets one POST per notification."""

    __slots__ = ()

    @abstractmethod
    def request(self, entry: OutboxEntry) -> HttpRequest:
        """The POST of an outbox entry, with secrets filled in."""

    @abstractmethod
    def read(self, response: HttpResponse, now: float) -> Outcome:
        """The outcome that an answer means.

        Args:
            response: the receiver's answer.
            now: epoch seconds.
        """

    def attempt(self, entry: OutboxEntry, transport: Transport, wall: Callable[[], float]) -> Outcome:
        """Sends the POST and reads the answer."""
        return self.read(transport(self.request(entry)), wall())
