"""The CSC with the IDL of several releases of SAL and of the observatory's definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj
from structlog.testing import capture_logs

from ccarchiver_core import __version__
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.site_sections import SalNames
from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.worker import WorkerContext
from ccarchiver_core.sal_interface.salobj_calls import finish
from ccarchiver_sal.csc import CCArchiverCsc
from ccarchiver_sal.idl_check import read_interfaces
from interfaces.generate import write
from interfaces.release import Release
from interfaces.salxml import load_xml
from tests.core.redis_helpers import eventually, site
from tests.interfaces.test_salxml import XML
from tests.sal import idl_variants
from tests.sal.csc_harness import (
    csc_at_work,
    end_readout,
    header_ready,
    limit,
    sender,
    start_integration,
)
from tests.sal.fake_workers import fake_workers_at_work
from tests.sal.idl_variants import Topic, Variant, lacking_field, lacking_topic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ccarchiver_sim.testbed.brokers import PrivateRedis

pytestmark = pytest.mark.processes

VARIANTS = {
    "XML 10.0": idl_variants.XML_10_0,
    "SAL 6, XML 10.1": idl_variants.XML_10_1,
    "configurable": idl_variants.CONFIGURABLE,
    "SAL 7, XML 12": idl_variants.XML_12,
    "SAL 7, XML 15": idl_variants.XML_15,
    "minimal": idl_variants.MINIMAL,
}


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Variant], Path]:
    """Return a function that makes salobj read a variant's IDL."""

    def write(variant: Variant) -> Path:
        folder = variant.write(tmp_path)
        monkeypatch.setattr("lsst.ts.idl.get_idl_dir", lambda: folder)
        return folder

    return write


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
async def test_csc_archives_an_image_with_the_idl_of(
    variant: Variant, fresh_redis: PrivateRedis, use: Callable[[Variant], Path]
) -> None:
    use(variant)
    settings = site(fresh_redis.port)
    async with (
        sender("CCCamera") as camera,
        sender("CCHeaderService") as headers,
        fake_workers_at_work(settings) as workers,
        csc_at_work(settings) as harness,
    ):
        await harness.to("start", "enable")
        start_integration(camera, "i")
        end_readout(camera, "i")
        header_ready(headers, "i")

        async def passed() -> bool:
            return len(await workers.exposures()) == 3

        await eventually(passed, "three events in the bridge's mailbox")
        for topic in StatusTopic:
            await workers.send(
                FileStatus(
                    topic=topic,
                    camera="COMCAM",
                    archiver="CCArchiver",
                    obsid="i",
                    raft="22",
                    sensor="S00",
                    filename="i.fits",
                    status_code=0,
                    description="ok",
                )
            )
            event = await getattr(harness.remote, f"evt_{topic}").next(flush=False, timeout=limit())
            assert (event.obsid, event.raft, event.sensor, event.statusCode) == (
                "i",
                "22",
                "S00",
                0,
            )
        await finish(harness.csc.fault(code=5751, report="a fault of the test"))
        await harness.to("standby")
        await harness.to("exitControl")


def test_left_out_topics_are_logged_in_one_line(use: Callable[[Variant], Path]) -> None:
    folder = use(idl_variants.XML_10_1)
    with capture_logs() as lines:
        read_interfaces(SalNames())
    (line,) = [line for line in lines if line["event"] == "interface.left_out"]
    assert line["left_out"] == (
        "event settingVersions, event settingsApplied, event appliedSettingsMatchStart"
    )
    assert line["idl"] == f"{folder}/sal_revCoded_CCArchiver.idl (SAL 6.1.1, XML 10.1.0)"


@pytest.mark.parametrize(
    ("change", "component", "lacking"),
    [
        (lacking_topic("logevent_summaryState"), "CCArchiver", "event summaryState"),
        (lacking_topic("command_start"), "CCArchiver", "command start"),
        (lacking_topic("ackcmd"), "CCArchiver", "topic ackcmd"),
        (lacking_topic("logevent_imageInOODS"), "CCArchiver", "event imageInOODS"),
        (
            lacking_field("logevent_imageInOODS", "obsid"),
            "CCArchiver",
            "field obsid of event imageInOODS",
        ),
        (
            lacking_field("logevent_errorCode", "private_origin"),
            "CCArchiver",
            "field private_origin of event errorCode",
        ),
        (lacking_topic("logevent_endReadout"), "CCCamera", "event endReadout"),
        (
            lacking_field("logevent_startIntegration", "imageName"),
            "CCCamera",
            "field imageName of event startIntegration",
        ),
        (
            lacking_topic("logevent_largeFileObjectAvailable"),
            "CCHeaderService",
            "event largeFileObjectAvailable",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_csc_is_refused_without_a_needed_part_of(
    change: Callable[[Topic], Topic | None],
    component: str,
    lacking: str,
    fresh_redis: PrivateRedis,
    use: Callable[[Variant], Path],
) -> None:
    folder = use(idl_variants.XML_15.but(change))
    context = WorkerContext(Worker.SAL, site(fresh_redis.port))
    with pytest.raises(ConfigError) as caught:
        CCArchiverCsc(context)
    await context.close()
    message = str(caught.value)
    assert f"the IDL of {component} lacks {lacking}" in message
    assert f"{folder}/sal_revCoded_{component}.idl (SAL 7.4.1, XML 15.0.0)" in message
    assert "\n" not in message


async def test_settings_are_published_if_the_idl_has_the_events(
    fresh_redis: PrivateRedis, use: Callable[[Variant], Path]
) -> None:
    use(idl_variants.CONFIGURABLE)
    settings = site(fresh_redis.port)
    async with fake_workers_at_work(settings), csc_at_work(settings) as harness:
        available = await harness.remote.evt_settingVersions.next(flush=False, timeout=limit())
        assert available.recommendedSettingsLabels == ""
        await harness.remote.cmd_start.set_start(settingsToApply="", timeout=limit())
        applied = await harness.remote.evt_settingsApplied.next(flush=False, timeout=limit())
        assert applied.settingsVersion.startswith(f"{__version__}:")
        event = harness.remote.evt_appliedSettingsMatchStart
        matches = await event.next(flush=False, timeout=limit())
        assert matches.appliedSettingsMatchStartIsTrue


async def test_csc_is_refused_without_an_idl_file(
    fresh_redis: PrivateRedis, use: Callable[[Variant], Path]
) -> None:
    path = use(idl_variants.XML_10_1) / "sal_revCoded_CCCamera.idl"
    path.unlink()
    context = WorkerContext(Worker.SAL, site(fresh_redis.port))
    with pytest.raises(ConfigError, match="no IDL of CCCamera") as caught:
        CCArchiverCsc(context)
    await context.close()
    assert str(path) in str(caught.value)


async def test_command_that_the_csc_does_not_know_is_rejected(
    fresh_redis: PrivateRedis, use: Callable[[Variant], Path]
) -> None:
    """`salobj` itself would not construct the CSC."""

    def renamed(topic: Topic) -> Topic:
        is_known = topic.name == "command_setAuthList"
        return Topic("command_polish", topic.fields) if is_known else topic

    use(idl_variants.XML_10_1.but(renamed))
    async with csc_at_work(site(fresh_redis.port)) as harness:
        with pytest.raises(salobj.AckError, match="does not support the command"):
            await harness.to("polish")
        await harness.remote.cmd_setLogLevel.set_start(level=20, timeout=limit())


async def test_salobj_6_does_not_know_the_index_of_sal_7(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archiver's components have no index, so it is not affected."""
    write(load_xml(XML, ["Test"]), "15.0.0", Release.SAL_7, tmp_path)
    monkeypatch.setattr("lsst.ts.idl.get_idl_dir", lambda: tmp_path)
    async with salobj.Domain() as domain:
        assert not salobj.SalInfo(domain, "Test").indexed
        with pytest.raises(ValueError, match="not an indexed SAL component"):
            salobj.SalInfo(domain, "Test", index=1)
