"""The systemd unit: systemd accepts it, and its sandbox is neither missing nor too strict."""

from __future__ import annotations

import shutil
from configparser import RawConfigParser
from pathlib import Path

import pytest

from ccarchiver_core.config.credentials import CREDENTIAL_DIR_VARIABLE
from ccarchiver_core.config.settings import CONFIG_DIR_VARIABLE, LOG_DIR_VARIABLE
from ccarchiver_sim import pace

ROOT = Path(__file__).parent.parent.parent
UNIT = ROOT / "deploy" / "ccarchiver.service"
ENVIRONMENT = ROOT / "deploy" / "ccarchiver.env"
SUPERVISORD = ROOT / "supervisord.conf"
LIMIT_S = 60.0


def service() -> dict[str, str]:
    """Return the [Service] section; of repeated keys, the last value."""
    parser = RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented method to keep upper case
    parser.read(UNIT, encoding="utf-8")
    return dict(parser["Service"])


def environment() -> dict[str, str]:
    lines = ENVIRONMENT.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.mark.processes
def test_systemd_accepts_every_line_of_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze is not None, (
        "no systemd-analyze; `make setup-tests` installs Debian's package systemd"
    )
    text = UNIT.read_text(encoding="utf-8")
    for program in ("supervisord", "supervisorctl"):  # systemd-analyze needs the programs to exist
        text = text.replace(f"/opt/ccarchiver/.venv/bin/{program}", "/bin/true")
    path = tmp_path / UNIT.name
    path.write_text(text, encoding="utf-8")
    done = pace.run([analyze, "verify", str(path)], LIMIT_S, capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert ours == [], "systemd only warns about an unknown key"
    assert done.returncode == 0, done.stderr


def test_unit_allows_what_dds_and_leases_need() -> None:
    keys = service()
    families = set(keys["RestrictAddressFamilies"].split())
    assert families == {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"}
    assert keys["SystemCallFilter"] == "@system-service"
    too_much = {
        "ProtectProc",
        "ProcSubset",
        "ProtectHostname",
        "MemoryDenyWriteExecute",
        "PrivateNetwork",
        "PrivateUsers",
    }
    assert too_much & set(keys) == set()
    assert not [key for key in keys if key.startswith("IPAddress")]


def test_unit_has_no_capabilities_and_can_write_its_folders() -> None:
    keys, env = service(), environment()
    assert keys["CapabilityBoundingSet"] == ""
    assert keys["NoNewPrivileges"] == "true"
    assert keys["ProtectSystem"] == "strict"
    assert env[LOG_DIR_VARIABLE] == f"/var/log/{keys['LogsDirectory']}"
    assert env["CCARCHIVER_RUN_DIR"] == f"/run/{keys['RuntimeDirectory']}"
    assert {CONFIG_DIR_VARIABLE, CREDENTIAL_DIR_VARIABLE} <= set(env), "these are only read"


def test_unit_stop_timeout_exceeds_that_of_all_workers() -> None:
    parser = RawConfigParser(strict=False)
    parser.read(SUPERVISORD, encoding="utf-8")
    waits = [int(part["stopwaitsecs"]) for part in parser.values() if "stopwaitsecs" in part]
    assert len(waits) == 4, "the workers and the event listener"
    assert int(service()["TimeoutStopSec"]) >= sum(waits), (
        "in the worst case they stop one after the other"
    )
