"""The CSC notices when the network interface of SAL loses or changes its address."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from ccarchiver_core.base.errors import InterfaceChangedError
from ccarchiver_core.base.exit_codes import EXIT_INTERFACE_CHANGED
from ccarchiver_sal.interface_watch import (
    CHECKS_BEFORE_RESTART,
    CYCLONE_VARIABLE,
    InterfaceWatch,
    ipv4_addresses,
)
from tests.core.redis_helpers import LIMIT_S
from tests.support.namespaces import needs_namespace, run_alone

if TYPE_CHECKING:
    from ccarchiver_core.runtime.heartbeat import HeartbeatPublisher

HERE = Path(__file__).parent
FIRST, SECOND = "10.9.0.1", "10.9.0.7"


class Host:
    """A host with one interface, whose addresses a test sets."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.heartbeat = SimpleNamespace(degraded_reason="")
        self.watch = InterfaceWatch(
            "site0", cast("HeartbeatPublisher", self.heartbeat), lambda _name: self.addresses
        )

    def check(self, *addresses: str) -> str:
        """Set the addresses and check; return what the heartbeat reports."""
        self.addresses = list(addresses)
        self.watch.check()
        return str(self.heartbeat.degraded_reason)


def test_lost_address_is_reported_until_it_is_back() -> None:
    host = Host(FIRST)
    assert not host.check(FIRST)
    for _ in range(2 * CHECKS_BEFORE_RESTART):
        assert "site0 has lost its address 10.9.0.1" in host.check()
    assert not host.check(FIRST)


def test_other_address_ends_the_process_after_some_checks() -> None:
    host = Host(FIRST)
    for _ in range(CHECKS_BEFORE_RESTART - 1):
        assert host.check(SECOND)
    with pytest.raises(InterfaceChangedError, match=r"site0 has the address 10\.9\.0\.7"):
        host.check(SECOND)


def test_address_that_another_one_joins_stays_in_use() -> None:
    host = Host(FIRST)
    for _ in range(2 * CHECKS_BEFORE_RESTART):
        assert not host.check(SECOND, FIRST)


def test_moment_without_address_begins_the_count_again() -> None:
    host = Host(FIRST)
    for addresses in ([SECOND], [SECOND], [], [SECOND], [SECOND]):
        assert host.check(*addresses)


def test_interface_is_found_by_name_and_by_address() -> None:
    assert "127.0.0.1" in ipv4_addresses("lo")
    assert ipv4_addresses("127.0.0.1") == ["127.0.0.1"]
    assert ipv4_addresses("192.0.2.1") == []
    assert ipv4_addresses("none0") == []


def test_configuration_of_cyclone_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat = cast("HeartbeatPublisher", SimpleNamespace(degraded_reason=""))
    assert InterfaceWatch.of_the_bus(heartbeat) is not None
    monkeypatch.setenv(CYCLONE_VARIABLE, "<CycloneDDS/>")
    assert InterfaceWatch.of_the_bus(heartbeat) is None


@pytest.mark.processes
@needs_namespace
def test_csc_ends_when_the_address_changes_and_starts_with_the_new_one(tmp_path: Path) -> None:
    program = HERE / "changing_interface.py"
    ended = run_alone(program, [str(tmp_path)], HERE.parent.parent, 3 * LIMIT_S, os.environ)
    assert ended.returncode == 0, ended.stderr
    reason, code, again = ended.stdout.splitlines()
    assert reason.startswith("SAL is cut off: the network interface lo has lost its address")
    assert int(code) == EXIT_INTERFACE_CHANGED, ended.stderr
    assert again == "started again"
    assert "worker.interface_changed" in (tmp_path / "ccarchiver_sal.log").read_text("utf-8")
