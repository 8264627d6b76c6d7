"""Nothing that happens to the log's reader stops the daemon, or changes its exit code."""

from __future__ import annotations

import gc
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from monitor.common.logs import guarded, lines_dropped
from monitor.config.log import make_log
from monitor.config.schema import LogSection
from tests.support.daemon_process import following
from tests.support.paths import ROOT


def logged(stream: io.TextIOBase, monkeypatch: pytest.MonkeyPatch, *events: str) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    log = make_log(LogSection(format="json"))
    for event in events:
        log.info(event)


def test_lines_are_dropped_and_counted_while_the_reader_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    stream = guarded(os.fdopen(writer, "w"))
    logged(stream, monkeypatch, "first")
    assert b'"first"' in os.read(reader, 4096)
    os.close(reader)
    logged(stream, monkeypatch, "second", "third")
    assert lines_dropped() == 2
    print("Traceback:\n  two lines", file=sys.stderr)
    assert lines_dropped() == 4
    sys.stderr.flush()


def test_a_full_disk_drops_lines_until_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "log"
    size = 600
    code = f"""
import resource, signal, sys
from monitor.config.schema import LogSection
from monitor.config.log import make_log
from monitor.common.logs import guard_standard_error, lines_dropped
guard_standard_error()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY))
log = make_log(LogSection(format="json"))
for number in range(20):
    log.info("tried", number=number)
dropped = lines_dropped()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.info("recovered", dropped=dropped)
"""
    with path.open("wb") as log:
        subprocess.run([sys.executable, "-c", code], stderr=log, cwd=ROOT, check=True, timeout=60)
    lines = path.read_text().splitlines()
    whole = [line for line in lines if line.endswith("}")]
    assert '"event": "recovered"' in lines[-1]
    # What did not fit is one torn line; the next one begins on a line of its own.
    assert len(lines) - len(whole) <= 1
    assert f'"dropped": {20 - (len(whole) - 1)}' in lines[-1]
    assert 0 < len(whole) < 20


def test_a_reader_that_reads_nothing_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    stream = guarded(os.fdopen(writer, "w"))
    began = time.monotonic()
    logged(stream, monkeypatch, *["x" * 1000] * 500)
    assert time.monotonic() - began < 5
    assert lines_dropped() > 400
    dropped = lines_dropped()
    taken = threading.Thread(target=lambda: os.read(reader, 1 << 20))
    taken.start()
    taken.join(10)
    logged(stream, monkeypatch, "again")
    assert lines_dropped() == dropped
    assert b'"again"' in os.read(reader, 1 << 20)
    os.close(reader)


def test_a_line_that_is_longer_than_the_pipe_takes_at_once_comes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    stream = guarded(os.fdopen(writer, "w"))
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.extend(iter(lambda: os.read(reader, 65536), b"")), daemon=True)
    thread.start()
    logged(stream, monkeypatch, "y" * 300_000)
    monkeypatch.undo()
    del stream  # closes the pipe
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
    assert b"y" * 300_000 in b"".join(found)


def test_a_stream_that_is_no_file_stays_as_it_is() -> None:
    memory = io.StringIO()
    assert guarded(memory) is memory
    with guarded(None) as nowhere:
        nowhere.write("nothing reads this")


CASES = {
    "a bad configuration": ("raise ConfigError(['no'])", 2),
    "a failure that may pass": ("raise RetryableError('disk full')", 75),
    "an unforeseen fault": ("raise RuntimeError('no')", 1),
    "a warning at the end": ("import warnings; warnings.warn('late')", 0),
    "success": ("pass", 0),
}


@pytest.mark.parametrize(("body", "status"), CASES.values(), ids=CASES)
def test_exit_codes_are_right_though_nobody_reads_the_log(body: str, status: int) -> None:
    code = f"""
import monitor.cli.main as cli
from monitor.common.errors import ConfigError, RetryableError
def app():
    {body}
cli.app = app
cli.main()
"""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([sys.executable, "-c", code], stderr=writer, cwd=ROOT, check=False, timeout=60)
    finally:
        os.close(writer)
    assert done.returncode == status


def test_the_daemon_outlives_its_log_reader(tmp_path: Path) -> None:
    """A whole daemon on files, whose log pipe is closed while it runs; it works on and stops on request with 0."""
    command = [sys.executable, "-m", "monitor", "run", str(following(tmp_path))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if b"daemon started" in line:
                break
        process.stdout.close()
        time.sleep(2)  # checkpoints are saved
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)  # logs "daemon stopped"
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
