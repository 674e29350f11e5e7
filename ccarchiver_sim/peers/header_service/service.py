"""The simulated header service: from the camera's endReadout to an announced header file."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from typing import TYPE_CHECKING, Any, Final

from ccarchiver_sim.peers.common.async_run import pause
from ccarchiver_sim.peers.common.runloop import print_event
from ccarchiver_sim.peers.header_service import header_file
from ccarchiver_sim.peers.header_service.web import MIME_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ccarchiver_sim.peers.common.sal import SalComponent

VERSION: Final = 1.0

SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""Pattern of image names that may be part of a file name and of an address."""

log = logging.getLogger(__name__)


class HeaderService:
    """Writer and announcer of headers.

    Parameters
    ----------
    component : `SalComponent`
        The header service on SAL.
    name : `str`
        Name of the component.
    stop : `asyncio.Event`
        Event that ends the service.
    folder : `Path`
        Folder for the header files.
    address : `str`
        HTTP address of the folder, without a slash at the end.
    delay : `float`
        Seconds from an endReadout to the announcement; images do not wait for each other.
    """

    def __init__(
        self,
        *,
        component: SalComponent,
        name: str,
        stop: asyncio.Event,
        folder: Path,
        address: str,
        delay: float,
    ) -> None:
        self._component = component
        self._name = name
        self._stop = stop
        self._folder = folder
        self._address = address
        self._delay = delay
        self._read_out: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()

    async def start(self, camera: str) -> None:
        """Start to receive the events of a camera, by its name on SAL."""
        # The callback only queues: a slower one could lose events in a burst.
        await self._component.listen(camera, {"endReadout": self._read_out.put_nowait})

    async def run(self) -> None:
        """Announce headers until stopped."""
        async with asyncio.TaskGroup() as announcements:
            feeder = announcements.create_task(self._feed(announcements))
            await self._stop.wait()
            feeder.cancel()

    async def _feed(self, announcements: asyncio.TaskGroup) -> None:
        while True:
            announcements.create_task(self._announce(await self._read_out.get()))

    async def _announce(self, end_readout: Mapping[str, Any]) -> None:
        image = str(end_readout["imageName"])
        if SAFE_NAME.fullmatch(image) is None:
            log.error("no header for image %r: its name cannot be part of a file's name", image)
            return
        if await pause(self._stop, self._delay):
            return
        content = header_file.render(header_file.header_lines(end_readout))
        name = header_file.file_name(image, self._name)
        # Written before the announcement: receivers fetch the file at once.
        try:
            (self._folder / name).write_bytes(content)
        except OSError as error:
            log.error("no header for image %s: cannot write %s: %s", image, name, error.strerror)  # noqa: TRY400 - complete
            return
        url = f"{self._address}/{name}"
        checksum = hashlib.md5(content, usedforsecurity=False).hexdigest()
        await self._component.put(
            "largeFileObjectAvailable",
            url=url,
            generator=self._name,
            version=VERSION,
            byteSize=len(content),
            checkSum=checksum,
            mimeType=MIME_TYPE,
            id=image,
        )
        print_event(
            "put", topic="largeFileObjectAvailable", image=image, url=url, checksum=checksum
        )
