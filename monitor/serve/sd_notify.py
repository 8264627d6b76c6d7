"""Reports the state of the process to systemd, or to any supervisor that speaks sd_notify(3).

The protocol is one datagram of ``NAME=value`` lines to the Unix socket that $NOTIFY_SOCKET names. Sending never raises:
the daemon works without a supervisor.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"
# A supervisor whose queue is full must not stop the loop.
_SEND_SECONDS = 1.0


def notify(environment: Mapping[str, str], *assignments: str) -> bool:
    """Sends assignments, such as ``READY``, in one message.

    Args:
        environment: has NOTIFY_SOCKET, a path or an abstract address (``@name``), if there is a supervisor.
        assignments: ``NAME=value`` each.

    Returns:
        Whether a supervisor received the message.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_SEND_SECONDS)
            sender.sendto("\n".join(assignments).encode(), address)
    except (OSError, ValueError):
        # ValueError: the address holds a null character, or the text cannot be encoded.
        return False
    return True


def reloading(monotonic: float) -> tuple[str, str]:
    """Announces a reload; `READY` ends it.

    Args:
        monotonic: now, in seconds of CLOCK_MONOTONIC.
    """
    return "RELOADING=1", f"MONOTONIC_USEC={int(monotonic * 1e6)}"


def status(sentence: str) -> str:
    """One line for ``systemctl status``."""
    return "STATUS=" + " ".join(sentence.split())


def watchdog_timeout(seconds: float) -> str:
    """Sets the time after which the supervisor kills a process that does not send `WATCHDOG`."""
    return f"WATCHDOG_USEC={int(seconds * 1e6)}"


def watchdog_interval(environment: Mapping[str, str], pid: int) -> float | None:
    """Seconds after which the supervisor kills a process that does not send `WATCHDOG`; None without a watchdog.

    Args:
        environment: WATCHDOG_USEC, and WATCHDOG_PID if only one process is meant.
        pid: of this process.
    """
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not microseconds.isascii() or not microseconds.isdigit() or int(microseconds) == 0:
        return None
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(microseconds) / 1e6
