"""Follow exposures from the camera into the data service, only by SAL.

    python examples/night_remote.py --images 10

It needs ts-salobj, the IDL of CCArchiver and CCCamera, and the environment of DDS
(LSST_DDS_PARTITION_PREFIX, LSST_DDS_DOMAIN_ID). It brings the archiver to ENABLED, prints for each
exposure how many files are ingested, and returns the archiver to STANDBY. Exit code 1: the status
of a file is a failure, or it did not arrive in time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter

from lsst.ts import salobj

FILES_PER_IMAGE = 9
"""ComCam has nine CCDs."""
STATUS_OK = 0
"""Any other statusCode means that a file failed; `description` has the reason."""


class Night:
    """Counter of the ingested files of each exposure, from the archiver's events."""

    def __init__(self, archiver: salobj.Remote) -> None:
        self.ingested: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._changed = asyncio.Condition()
        # A callback receives every event. A loop that reads the newest one would miss most of nine
        # events that arrive at once.
        archiver.evt_imageInOODS.callback = self._on_file

    async def _on_file(self, data: salobj.BaseMsgType) -> None:
        async with self._changed:
            counter = self.ingested if data.statusCode == STATUS_OK else self.failed
            counter[data.obsid] += 1
            self._changed.notify_all()

    async def wait(self, image: str, limit: float) -> bool:
        """Wait for the events of all files of an exposure; return whether all are ingested."""
        try:
            async with asyncio.timeout(limit), self._changed:
                await self._changed.wait_for(
                    lambda: self.ingested[image] + self.failed[image] >= FILES_PER_IMAGE
                )
        except TimeoutError:
            pass
        return self.ingested[image] >= FILES_PER_IMAGE


async def follow(images: int, limit: float) -> bool:
    """Enable the archiver and follow some exposures; return whether all of them are complete."""
    async with (
        salobj.Domain() as domain,
        salobj.Remote(domain, "CCArchiver") as archiver,
        salobj.Remote(domain, "CCCamera", readonly=True, include=["endReadout"]) as camera,
    ):
        night = Night(archiver)
        await salobj.set_summary_state(archiver, salobj.State.ENABLED)
        camera.evt_endReadout.flush()  # drop the newest earlier event, which is history
        print("archiver ENABLED", flush=True)  # noqa: T201 (the output of the program)
        well = True
        for _ in range(images):
            readout = await camera.evt_endReadout.next(flush=False, timeout=limit)
            arrived = await night.wait(readout.imageName, limit)
            well = well and arrived
            ingested = night.ingested[readout.imageName]
            print(  # noqa: T201 (as above)
                f"{readout.imageName}: {ingested} of {FILES_PER_IMAGE} files ingested", flush=True
            )
        await salobj.set_summary_state(archiver, salobj.State.STANDBY)
        print("archiver STANDBY", flush=True)  # noqa: T201 (as above)
        return well


def main() -> int:
    """Read the command line, follow the exposures and return the exit code."""
    parser = argparse.ArgumentParser(
        description="Follow exposures from the camera into the data service."
    )
    parser.add_argument("--images", type=int, default=1, help="how many exposures to follow")
    parser.add_argument(
        "--limit", type=float, default=60.0, help="longest wait for an exposure, seconds"
    )
    options = parser.parse_args()
    return 0 if asyncio.run(follow(options.images, options.limit)) else 1


if __name__ == "__main__":
    sys.exit(main())
