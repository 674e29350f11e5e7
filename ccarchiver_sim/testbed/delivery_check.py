"""What became of an exposure, as seen from outside: files on disk and events on SAL."""

from dataclasses import dataclass
from pathlib import Path

from ccarchiver_sim.testbed.folder import RunFolder
from ccarchiver_sim.testbed.sal_observer import END_READOUT, INGESTED, RETRIEVED, SalObserver


@dataclass(frozen=True)
class ImageProof:
    """Counts for one exposure; each should be the number of its CCDs."""

    obsid: str
    oods_files: int
    """Files in the staging tree for the OODS."""
    dbb_files: int
    """Files in the staging tree for the data backbone."""
    retrieved: int
    """Distinct CCDs with a good imageRetrievalForArchiving event."""
    ingested: int
    """Distinct CCDs with a good imageInOODS event."""
    seconds: float | None
    """From endReadout to the last of these events; None while there is none."""

    def is_complete(self, expected: int) -> bool:
        """Tell whether nothing is missing."""
        return all(count == expected for count in (self.oods_files, self.dbb_files, self.retrieved, self.ingested))


def prove(observer: SalObserver, folder: RunFolder, obsid: str) -> ImageProof:
    """Look at the disk and at what was recorded, and count."""
    return ImageProof(
        obsid=obsid,
        oods_files=count_files(folder.oods_staging, obsid),
        dbb_files=count_files(folder.dbb_staging, obsid),
        retrieved=len(observer.sensors(RETRIEVED, obsid)),
        ingested=len(observer.sensors(INGESTED, obsid)),
        seconds=duration(observer, obsid),
    )


def count_files(tree: Path, obsid: str) -> int:
    """Count the FITS files of an image in a staging tree."""
    # The dash ends the image's name: without it image 1 would count the files of image 10.
    return sum(1 for path in tree.rglob(f"{obsid}-*.fits") if path.stat().st_size > 0)


def duration(observer: SalObserver, obsid: str) -> float | None:
    """Return the seconds from an image's endReadout to its last event, by the senders' stamps."""
    begin = observer.of(END_READOUT, imageName=obsid)
    ends = [event.sent for topic in (RETRIEVED, INGESTED) for event in observer.of(topic, obsid=obsid)]
    return max(ends) - begin[0].sent if begin and ends else None
