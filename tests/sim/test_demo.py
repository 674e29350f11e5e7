"""The demo: its file for a shell, its text when a server ends, and bursts of events."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import tempfile
import time
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj
from rich.console import Console
from typing_extensions import override

from ccarchiver_cli.doctor.processes import OURS
from ccarchiver_core.base.exit_codes import EXIT_CONFIG
from ccarchiver_core.config.settings import load_settings
from ccarchiver_sim.demo.main import run_demo
from ccarchiver_sim.demo.night import Night, NightPlan
from ccarchiver_sim.demo.progress import StepError, Steps
from ccarchiver_sim.peers.common.daq import SECONDS_A_MINUTE, DaqCatalogue
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.environment import DDS_CONFIGURATION, applied, sal_environment
from ccarchiver_sim.testbed.folder import RunFolder
from ccarchiver_sim.testbed.peer_process import Peer
from ccarchiver_sim.testbed.rig import CAMERA, FORWARDER, Rig
from ccarchiver_sim.testbed.sal_observer import CSC, INGESTED, SalObserver

if TYPE_CHECKING:
    from collections.abc import Iterator

BURST = 500
"""Events at once: those of 55 images of nine CCDs, as after a long stop of Redis."""


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Return a folder with a short path, as a socket in a run folder needs."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.mark.processes
@pytest.mark.parametrize(
    "environment", [{}, {"CCARCHIVER_HOST": "north", "LSST_DDS_INTERFACE": "lo"}]
)
def test_environment_file_has_every_variable_that_the_workers_have_and_doctor_compares(
    environment: dict[str, str], short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DDS_CONFIGURATION, "<General><Interfaces>a 'b' $c</Interfaces></General>")
    rig = Rig(parent=short_folder, environment=environment)
    of_workers = {name: value for name, value in rig.env.items() if name.startswith(OURS)}

    script = f"set -a; . {rig.folder.environment_file}; set +a; exec env -0"
    output = subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": os.defpath}, capture_output=True, check=True
    ).stdout.decode()
    shell = dict(entry.split("=", 1) for entry in output.split("\0") if entry)

    assert {name: value for name, value in shell.items() if name.startswith(OURS)} == of_workers
    assert {"LSST_SITE", DDS_CONFIGURATION, *environment} <= set(of_workers)


@pytest.mark.processes
async def test_failed_step_names_the_server_that_ended(short_folder: Path) -> None:
    rig = Rig(parent=short_folder)
    await rig.start_broker(rig.redis)
    rig.redis.kill()

    def fault() -> None:
        with Steps(quiet(), rig.how_a_program_ended).step("the archiver to ENABLED"):
            raise RuntimeError("CCArchiver went to FAULT: 5701")

    with pytest.raises(StepError) as caught:
        fault()
    await rig.close()

    assert str(caught.value) == (
        "the archiver to ENABLED failed: redis-server was killed by SIGKILL (exit status -9); "
        f"its log: {rig.redis.log_path}"
    )


@pytest.mark.processes
async def test_step_ends_at_once_when_a_server_ends(short_folder: Path) -> None:
    rig = Rig(parent=short_folder)
    await rig.start_broker(rig.redis)
    night = Night(rig, NightPlan(1, 1.0), quiet())

    async def stop_redis() -> None:
        await asyncio.sleep(0)
        os.kill(rig.redis.pid, signal.SIGTERM)

    stopping = asyncio.create_task(stop_redis())
    with pytest.raises(ExceptionGroup, match=r"unhandled errors") as caught:
        async with asyncio.timeout(60):
            await night.watched(asyncio.Event().wait())
    await stopping
    await rig.close()

    assert "redis-server ended with exit status 0; its log: " in str(caught.value.exceptions[0])


class UnstartedPeer(Peer):
    """A peer that is not started; only its options count."""

    @override
    def launch(self) -> None:
        """Start nothing."""

    @override
    async def wait_ready(self) -> None:
        """Return at once."""


async def test_first_scan_of_a_demo_is_answered_and_lists_only_its_own_images(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rig, "peer_kind", UnstartedPeer)
    rig = Rig(parent=short_folder)
    await Night(rig, NightPlan(1, 1.0), quiet()).start_peers()

    folders = {}
    for name in (CAMERA, FORWARDER):
        options = rig.peers[name].options
        folders[name] = Path(options[options.index("--daq") + 1])
    assert folders[CAMERA] == folders[FORWARDER]
    assert folders[CAMERA].is_relative_to(rig.folder.root)

    catalogue = DaqCatalogue(folders[CAMERA])
    window = load_settings(rig.folder.site_file).scan_window
    minutes = math.ceil(window / SECONDS_A_MINUTE)
    # None would be no answer.
    assert catalogue.images(minutes, time.time()) == []
    catalogue.add("CC_O_20261122_000001")
    assert catalogue.images(minutes, time.time()) == ["CC_O_20261122_000001"]


def test_step_without_an_ended_program_states_its_own_error() -> None:
    def fail() -> None:
        with Steps(quiet(), lambda: None).step("exposures"):
            raise TimeoutError("the camera read out 1 of 2 exposures in time")

    with pytest.raises(
        StepError, match=r"^exposures failed: the camera read out 1 of 2 exposures in time$"
    ):
        fail()


def quiet() -> Console:
    return Console(file=StringIO())


@pytest.mark.processes
async def test_observer_records_every_event_of_a_burst_while_its_process_is_busy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with applied(sal_environment()):
        async with salobj.Controller(CSC, do_callbacks=False) as csc, SalObserver() as observer:
            csc.evt_summaryState.set_put(summaryState=salobj.State.ENABLED)
            await observer.wait_for_first_state()
            for number in range(BURST):
                # No await: the observer's callbacks cannot run meanwhile.
                csc.evt_imageInOODS.set_put(obsid=f"CC_O_20261122_{number:06}", force_output=True)
            await polling.wait_for(
                lambda: len(observer.of(INGESTED)) >= BURST, 20, "all events of the burst"
            )
            assert [event.fields["obsid"] for event in observer.of(INGESTED)] == [
                f"CC_O_20261122_{number:06}" for number in range(BURST)
            ]
    assert "queue is" not in caplog.text, "a warning in the demo's output that means nothing"


@pytest.mark.parametrize(
    ("name", "value"),
    [("LSST_DDS_PEER", "rti"), ("LSST_DDS_OWNERSHIP", "mine"), ("LSST_DDS_DOMAIN_ID", "231")],
)
def test_demo_ends_with_one_line_if_a_dds_variable_is_wrong(
    name: str, value: str, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(short_folder))
    output = StringIO()

    code = asyncio.run(run_demo(NightPlan(1, 1.0), Console(file=output), keep=False))

    assert code == EXIT_CONFIG
    assert output.getvalue().startswith(f"demo: {name} is {value!r}, ")
    assert output.getvalue().count("\n") == 1
    assert list(short_folder.iterdir()) == [], "a run folder that remains"


def test_run_folder_writes_no_secret_into_the_environment_file(short_folder: Path) -> None:
    folder = RunFolder(short_folder)
    folder.write_environment({"IIP_CONFIG_DIR": "/x", "PATH": "/bin", "PASSWORD": "s3cret"})
    assert folder.environment_file.read_text(encoding="utf-8") == "IIP_CONFIG_DIR=/x\n"
