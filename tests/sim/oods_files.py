"""Files and requests for the tests of the OODS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from ccarchiver_sim.butler.instrument import instrument_of
from ccarchiver_sim.butler.query import datasets_by_image
from ccarchiver_sim.peers.camera.exposure import image_name
from ccarchiver_sim.peers.forwarder import fitsfile
from ccarchiver_sim.peers.forwarder.sensors import Sensor
from tests.sim import wire_samples

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_sim.peers.forwarder.header import Keyword
    from tests.sim.peer_rig import SiteFolder

DAY = "2026-11-22"
IMAGE = image_name("20261122", 14)


def write_file(
    site: SiteFolder,
    sensor: str = "S00",
    image: str = IMAGE,
    *,
    raft: str = "22",
    **changes: object,
) -> Path:
    """Write a file into the staging tree of the OODS; a keyword whose value is None is missing."""
    path = site.settings.archive.oods_staging / DAY / f"{image}-R{raft}{sensor}.fits"
    lines = yaml.safe_load(wire_samples.header_file(image))["PRIMARY"]
    values = {line["keyword"]: line["value"] for line in lines} | changes
    keywords: list[Keyword] = [
        (keyword, value, "") for keyword, value in values.items() if value is not None
    ]
    fitsfile.write(path, image, Sensor(raft=raft, name=sensor), keywords, "MD5")
    return path


def request(path: Path, sensor: str = "S00", image: str = IMAGE) -> str:
    return wire_samples.ingest_request(str(path), image, sensor)


def repository_of(site: SiteFolder) -> Path:
    return site.settings.archive.oods_staging.parent / "butler"


def datasets(site: SiteFolder) -> dict[str, int]:
    """Return the number of datasets of each image in the repository of the OODS."""
    return dict(datasets_by_image(repository_of(site), instrument_of(site.settings).collection))


def bad_file(site: SiteFolder, path: Path) -> Path:
    """Return the path to which the OODS moves a bad file."""
    staging = site.settings.archive.oods_staging
    return staging.parent / "bad_files" / path.relative_to(staging)
