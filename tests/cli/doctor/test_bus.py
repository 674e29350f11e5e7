"""`ccarchiver doctor` compares the topics on the bus with the IDL at hand."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj

from ccarchiver_cli.doctor import bus
from ccarchiver_cli.doctor.finding import Level
from ccarchiver_core.config.site_sections import SalNames
from ccarchiver_core.sal_interface.idl_file import read_idl
from ccarchiver_sim import pace
from ccarchiver_sim.testbed.environment import sal_environment
from interfaces.__main__ import COMMITTED_IDL
from tests.core.redis_helpers import LIMIT_S
from tests.sal import idl_variants

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_cli.doctor.finding import Finding

NAMES = SalNames()


def evaluate(*seen: str) -> Finding:
    idls = [read_idl(COMMITTED_IDL, component) for component in NAMES.all]
    return bus.evaluate(idls, NAMES, set(seen))


def test_empty_bus_is_good() -> None:
    assert evaluate().level is Level.OK
    assert evaluate("CCCamera_logevent_somethingElse_12345678").level is Level.OK


def test_topics_with_the_same_suffix_are_good() -> None:
    finding = evaluate("CCCamera_logevent_endReadout_b604e524")
    assert finding.level is Level.OK
    assert "topics in use with the suffixes of the IDL here: 1" in finding.found


def test_topic_with_another_suffix_is_reported() -> None:
    finding = evaluate(
        "CCCamera_logevent_endReadout_82211edd", "CCArchiver_logevent_heartbeat_b34b16be"
    )
    assert finding.level is Level.WARNING
    assert "another suffix: 1, such as CCCamera_logevent_endReadout_82211edd" in finding.found
    assert "which has b604e524 here" in finding.found


LIST_TOPICS = (
    "import os; from ccarchiver_cli.doctor.bus import topics_on_the_bus;"
    "print(*topics_on_the_bus(os.environ['LSST_DDS_PARTITION_PREFIX'], float({seconds})))"
)


@pytest.mark.processes
@pytest.mark.extended  # the real discovery needs several starts of SAL
async def test_topics_of_a_program_with_another_idl_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sal_environment().items():
        monkeypatch.setenv(name, value)
    folder = idl_variants.XML_15.write(tmp_path)
    monkeypatch.setattr("lsst.ts.idl.get_idl_dir", lambda: folder)
    async with salobj.Controller("CCCamera", do_callbacks=False):
        done = pace.run(
            [sys.executable, "-c", LIST_TOPICS.format(seconds=pace.scaled(bus.LISTEN))],
            LIMIT_S,
            capture_output=True,
            text=True,
            check=True,
        )
    seen = set(done.stdout.split())
    assert any(name.startswith("CCCamera_logevent_endReadout_") for name in seen)
    assert evaluate(*seen).level is Level.WARNING
