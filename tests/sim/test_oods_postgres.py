"""The OODS with its registry in PostgreSQL, as at the observatory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim.testbed.brokers.postgres import PrivatePostgres
from tests.sim import wire_samples
from tests.sim.oods_files import IMAGE, datasets, repository_of, request, write_file
from tests.sim.peer_rig import LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sim.peer_rig import ArchiverEnd, Peers, SiteFolder

REQUESTS = "cc_publish_to_oods"
REPORTS = "oods_publish_to_cc"

pytestmark = pytest.mark.extended


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[PrivatePostgres]:
    server = PrivatePostgres(tmp_path / "postgres")
    try:
        server.start()
        yield server
    finally:
        server.remove()


def test_oods_ingests_into_postgresql_and_continues_after_its_restart(
    archiver: ArchiverEnd,
    peers: Peers,
    site: SiteFolder,
    postgres: PrivatePostgres,
    tmp_path: Path,
) -> None:
    archiver.declare()
    peers.start("oods", "--registry", postgres.url, "--report-after", "0")
    *sensors, last = wire_samples.SENSORS
    for sensor in sensors:
        archiver.send(REQUESTS, request(write_file(site, sensor), sensor))
    statuses = [archiver.receive(REPORTS)["STATUS_CODE"] for _ in sensors]
    assert statuses == [0] * len(sensors)
    assert not list(repository_of(site).glob("*.sqlite3"))

    postgres.stop()
    path = write_file(site, last)
    archiver.send(REQUESTS, request(path, last))
    report = archiver.receive(REPORTS)
    assert report["STATUS_CODE"] == 1
    assert f"the Butler repository {repository_of(site)} cannot be written:" in str(
        report["DESCRIPTION"]
    )
    postgres.start()
    assert archiver.receive(REPORTS)["STATUS_CODE"] == 0
    assert path.is_file()
    assert datasets(site) == {IMAGE: len(wire_samples.SENSORS)}

    other = peers.start(
        "oods",
        "--registry",
        postgres.url,
        "--repository",
        str(tmp_path / "other"),
        wait_for_event=None,
    )
    other.wait_logged("has the tables of another one")
    assert other.process.wait_ended(LIMIT_S) == 1


def test_oods_names_the_extension_that_a_database_lacks(
    peers: Peers, postgres: PrivatePostgres, tmp_path: Path
) -> None:
    # Each server has this database too, and the extension is added to the other one only.
    bare = f"{postgres.url.rpartition('/')[0]}/template1"
    path = tmp_path / "butler"
    oods = peers.start("oods", "--registry", bare, "--repository", str(path), wait_for_event=None)
    assert oods.process.wait_ended(LIMIT_S) == 1
    [line] = oods.log.splitlines()
    assert line.startswith(f"oods: the registry of the Butler repository {path}, ")
    assert line.endswith("CREATE EXTENSION btree_gist")
    assert not path.exists()
