"""The testbed of a campaign has one Redis behind a proxy, or a group with Sentinels."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccarchiver_core.config.settings import Settings, load_settings
from ccarchiver_core.config.value_types import CatchUp
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.testbed.folder import SITE_FILE


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a path that is short enough for a socket."""
    return tmp_path_factory.mktemp("s")


def settings_of_the_workers(testbed: FaultTestbed) -> Settings:
    return load_settings(Path(testbed.rig.worker_env["IIP_CONFIG_DIR"]) / SITE_FILE)


def test_workers_use_the_proxy_of_one_redis(folder: Path) -> None:
    testbed = FaultTestbed(1, folder)
    workers = settings_of_the_workers(testbed)
    assert workers.redis_port == testbed.redis_proxy.port
    assert not workers.redis_sentinels
    assert testbed.settings.redis_port == testbed.rig.redis.port
    with pytest.raises(RuntimeError, match="with_redis_group"):
        _ = testbed.redis_group


def test_workers_of_a_redis_group_ask_the_sentinels_and_peers_use_the_proxy(folder: Path) -> None:
    testbed = FaultTestbed(1, folder, with_redis_group=True)
    workers = settings_of_the_workers(testbed)
    assert list(workers.redis_sentinels) == testbed.redis_group.addresses["REDIS_SENTINELS"]
    assert testbed.settings.redis_port == testbed.redis_proxy.port
    assert testbed.rig.redis is testbed.redis_group.first


def test_testbed_with_catch_up_archives_missed_exposures(folder: Path) -> None:
    workers = settings_of_the_workers(FaultTestbed(1, folder, with_catch_up=True))
    assert workers.catch_up is CatchUp.AUTOMATIC
    assert "{obsid}" in workers.header_url_template
    assert settings_of_the_workers(FaultTestbed(1, folder)).catch_up is CatchUp.REPORT
