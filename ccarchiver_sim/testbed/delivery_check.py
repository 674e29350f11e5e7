"""Delivery check of an exposure from outside: files on disk and events on SAL."""

from dataclasses import dataclass
from pathlib import Path

from ccarchiver_sim.peers.backbone.place import store_of, stored, taken, waiting
from ccarchiver_sim.testbed.folder import RunFolder
from ccarchiver_sim.testbed.sal_observer import END_READOUT, INGESTED, RETRIEVED, SalObserver


@dataclass(frozen=True)
class DeliveryCheck:
    """Counts for one exposure; each should equal the number of its CCDs."""

    obsid: str
    oods_files: int
    """Files in the staging tree for the OODS."""
    dbb_files: int
    """Files in the staging tree for the data backbone, or in its store."""
    retrieved: int
    """Distinct CCDs with a good imageRetrievalForArchiving event."""
    ingested: int
    """Distinct CCDs with a good imageInOODS event."""
    seconds: float | None
    """Time from endReadout to the last of these events; None while there is none."""

    def is_complete(self, expected: int) -> bool:
        """Return whether nothing is missing."""
        return all(
            count == expected
            for count in (self.oods_files, self.dbb_files, self.retrieved, self.ingested)
        )


def check_delivery(observer: SalObserver, folder: RunFolder, obsid: str) -> DeliveryCheck:
    """Return the counts of one exposure, from the disk and the recorded events."""
    return DeliveryCheck(
        obsid=obsid,
        oods_files=count_files(folder.oods_staging, obsid),
        dbb_files=count_backbone_files(folder.dbb_staging, obsid),
        retrieved=len(observer.sensors(RETRIEVED, obsid)),
        ingested=len(observer.sensors(INGESTED, obsid)),
        seconds=duration(observer, obsid),
    )


def count_files(tree: Path, obsid: str) -> int:
    """Return the number of non-empty FITS files of an image in a staging tree."""
    # The dash ends the image name: without it, image 1 would include the files of image 10.
    return sum(1 for path in tree.rglob(f"{obsid}-*.fits") if path.stat().st_size > 0)


def count_backbone_files(staging: Path, obsid: str) -> int:
    """Return the number of files of an image that wait for the data backbone, or that it has."""
    # A file moves only forwards, so in this sequence none is missed.
    found = [*waiting(staging), *taken(staging), *stored(store_of(staging))]
    return len({path.name for path in found if path.name.startswith(f"{obsid}-") and _size(path)})


def _size(path: Path) -> int:
    """Return the size of a file, or 1 if the data backbone has taken it meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 1


def duration(observer: SalObserver, obsid: str) -> float | None:
    """Return the seconds from endReadout to the last event, by the senders' timestamps."""
    begin = observer.of(END_READOUT, imageName=obsid)
    ends = [
        event.sent for topic in (RETRIEVED, INGESTED) for event in observer.of(topic, obsid=obsid)
    ]
    return max(ends) - begin[0].sent if begin and ends else None
