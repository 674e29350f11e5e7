"""A campaign and a night find a delivered file that the Butler lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core.config.settings import Settings
from ccarchiver_sim.butler.place import repository_of
from ccarchiver_sim.butler.repository import Repository
from ccarchiver_sim.faults.butler_check import check_delivered
from ccarchiver_sim.faults.oracle import Oracle
from ccarchiver_sim.faults.sal_source import TOPICS
from ccarchiver_sim.testbed.sal_observer import INGESTED, RETRIEVED
from tests.sim.butler.raws import SENSORS, comcam, image, obsid_of

if TYPE_CHECKING:
    from pathlib import Path

PUT_AT = 10.0
REPORTED_AT = 11.0
CCDS = [("22", sensor) for sensor in SENSORS]


def expose(oracle: Oracle, obsid: str, reported: list[tuple[str, str]]) -> None:
    """Record an image and good status events for some of its CCDs."""
    for topic in TOPICS:
        oracle.put(topic, obsid, PUT_AT, enabled=True)
    for topic in (RETRIEVED, INGESTED):
        for raft, sensor in reported:
            fields = {
                "camera": "COMCAM",
                "obsid": obsid,
                "raft": raft,
                "sensor": sensor,
                "archiverName": "CCArchiver",
                "statusCode": 0,
                "description": "",
            }
            oracle.reported(topic, fields, REPORTED_AT)


def test_a_delivered_file_that_the_butler_lacks_is_named(tmp_path: Path) -> None:
    settings = Settings.model_validate({"ARCHIVE": {"OODS_STAGING": str(tmp_path / "oods")}})
    oracle = Oracle(frozenset(CCDS), lambda _obsid: 0)
    whole, short, undelivered = (obsid_of(number) for number in (1, 2, 3))
    expose(oracle, whole, CCDS)
    expose(oracle, short, CCDS)
    expose(oracle, undelivered, CCDS[:-1])
    with Repository.open(repository_of(settings), comcam()) as repository:
        repository.ingest([*image(tmp_path, 1), *image(tmp_path, 2)[:-1]])

    check = check_delivered(settings, oracle)

    assert not check.is_complete
    assert check.found == {whole: 9, short: 8}
    assert check.lines[1:] == [f"  {short}: 8 of 9"]
