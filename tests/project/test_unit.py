"""The systemd unit: notifies, restarts what may pass, and gives the daemon no more of the machine than it needs."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.support.paths import ROOT

UNIT = ROOT / "deploy" / "leewayd.service"
MOST_EXPOSED = 1.5

DIRECTIVES = """
Type=notify WatchdogSec=60 Restart=on-failure RestartPreventExitStatus=2 UMask=0077 StateDirectoryMode=0700
StateDirectory=leewayd DynamicUser=yes Environment=OPENBLAS_NUM_THREADS=1 NoNewPrivileges=yes CapabilityBoundingSet=
AmbientCapabilities= ProtectSystem=strict ProtectHome=yes ProtectProc=invisible ProcSubset=pid ProtectClock=yes
ProtectHostname=yes ProtectKernelLogs=yes ProtectKernelModules=yes ProtectKernelTunables=yes ProtectControlGroups=yes
PrivateTmp=yes PrivateDevices=yes PrivateUsers=yes DevicePolicy=closed KeyringMode=private LockPersonality=yes
MemoryDenyWriteExecute=yes RemoveIPC=yes RestrictNamespaces=yes RestrictRealtime=yes RestrictSUIDSGID=yes
SystemCallArchitectures=native SystemCallFilter=@system-service
""".split()  # noqa: SIM905 - reads better than a list


def directives() -> list[str]:
    lines = UNIT.read_text().splitlines()
    return [line.strip() for line in lines if line and not line.startswith(("#", "["))]


@pytest.mark.parametrize("directive", DIRECTIVES)
def test_the_unit_has(directive: str) -> None:
    assert directive in directives()


def test_the_filter_of_system_calls_leaves_out_what_needs_privileges() -> None:
    filters = [line for line in directives() if line.startswith("SystemCallFilter=")]
    # The list that allows comes first; systemd takes the later one away from it.
    assert filters == ["SystemCallFilter=@system-service", "SystemCallFilter=~@resources @privileged"]


def test_reload_is_a_signal_and_a_fault_that_may_pass_is_tried_again() -> None:
    found = directives()
    assert "ExecReload=/bin/kill -HUP $MAINPID" in found
    # 75 is a failure as any other: nothing keeps the unit from starting again, however often.
    assert not any(line.startswith(("SuccessExitStatus=", "RestartForceExitStatus=")) for line in found)
    assert "StartLimitIntervalSec=0" in found
    # No network of its own and no list of addresses: Kafka and the receivers may be anywhere.
    assert not any(line.startswith(("PrivateNetwork=", "IPAddressDeny=")) for line in found)


def test_the_exposure_is_low() -> None:
    if (analyze := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", str(UNIT)], capture_output=True, text=True, check=False
    )
    if "Unknown option" in done.stderr or "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at a unit that is not loaded")
    found = re.search(r"Overall exposure level for leewayd\.service: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= MOST_EXPOSED
