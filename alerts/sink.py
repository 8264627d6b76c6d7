"""Where a notification goes: what the outbox and delivery need of a receiver."""

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
    """A place that notifications go to."""

    __slots__ = ()
    heard_by_people: ClassVar[bool] = True
    """Whether a person notices what arrives there."""

    @abstractmethod
    def render(self, notice: Notice, words: AlertText) -> bytes:
        """The payload of a notice: JSON without any secret, the same each time; it is saved before it is sent."""

    @abstractmethod
    def attempt(self, entry: OutboxEntry, transport: Transport, wall: Callable[[], float]) -> Outcome:
        """Delivers a saved notification once.

        Args:
            entry: whose payload `render` made.
            transport: sends requests.
            wall: epoch seconds.
        """


class HttpSink(Sink):
    """A sink that takes one POST a notification."""

    __slots__ = ()

    @abstractmethod
    def request(self, entry: OutboxEntry) -> HttpRequest:
        """The POST of an outbox entry; secrets are put in here."""

    @abstractmethod
    def read(self, response: HttpResponse, now: float) -> Outcome:
        """Reads the answer.

        Args:
            response: of the receiver.
            now: epoch seconds.
        """

    def attempt(self, entry: OutboxEntry, transport: Transport, wall: Callable[[], float]) -> Outcome:
        """Sends the POST and reads the answer."""
        return self.read(transport(self.request(entry)), wall())
