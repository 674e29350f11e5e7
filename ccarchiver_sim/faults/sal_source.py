"""Source of the camera's and the header service's events, in any sequence, each one recorded."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from ccarchiver_sim.peers.camera.exposure import Exposure, image_name, observing_date
from ccarchiver_sim.peers.common.daq import DaqCatalogue
from ccarchiver_sim.peers.common.sal import SalComponent, sal_component, tai_now
from ccarchiver_sim.peers.header_service import header_file
from ccarchiver_sim.peers.header_service.web import MIME_TYPE, serve_folder

CAMERA = "CCCamera"
HEADER_SERVICE = "CCHeaderService"
START = "startIntegration"
END = "endReadout"
HEADER = "largeFileObjectAvailable"
TOPICS = (START, END, HEADER)
"""The events of a complete exposure, in the usual sequence."""
GENERATOR = "CCHeaderService"

OnEvent = Callable[[str, str], None]
"""Function that is called with the topic and the image of each event."""


class SalSource:
    """Camera and header service in this process, so that the sequence of events is free.

    Parameters
    ----------
    folder
        Folder for header files.
    on_event
        Function that is called before each event is put.
    port
        Port of the header service; any free one if 0.
    daq
        Catalogue to which each image is added when it is read out.
    """

    def __init__(
        self, folder: Path, on_event: OnEvent, *, port: int = 0, daq: DaqCatalogue | None = None
    ) -> None:
        self._folder = folder
        self._on_event = on_event
        self._port = port
        self._daq = daq
        self._stack = AsyncExitStack()
        self._camera_stack = AsyncExitStack()
        self._camera: SalComponent | None = None
        self._headers: SalComponent | None = None
        self._address = ""
        self._images = 0
        self._used = 0
        """Highest number of an image."""
        self._names: dict[int, str] = {}
        """Name of each image by its number."""
        self._began: dict[str, float] = {}
        self._ended: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._address = stack.enter_context(serve_folder(self._folder, self._port))
            stack.push_async_callback(self._close_camera)
            await self.restart_camera()
            self._headers = await stack.enter_async_context(sal_component(HEADER_SERVICE))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _close_camera(self) -> None:
        await self._camera_stack.aclose()

    async def restart_camera(self) -> None:
        """Replace the camera by another process of it: DDS then has no event of the former one.

        The numbers of the images go on.
        """
        # One is always open, for the exposures that are in progress.
        former, self._camera_stack = self._camera_stack, AsyncExitStack()
        self._camera = await self._camera_stack.enter_async_context(sal_component(CAMERA))
        await former.aclose()

    @property
    def last_number(self) -> int:
        """Highest number of an image so far."""
        return self._used

    @contextmanager
    def begin_again_after(self, number: int) -> Iterator[None]:
        """Use the numbers above this one again for the time of a block, as a camera that lost it.

        Afterwards the numbers go on.
        """
        self._images = number
        try:
            yield
        finally:
            self._images = self._used

    def new_image(self) -> str:
        """Return the name of a new image."""
        self._images += 1
        if self._images in self._names:  # another exposure of a name, with its own times
            name = self._names[self._images]
            self._began.pop(name, None)
            self._ended.pop(name, None)
            return name
        name = image_name(observing_date(datetime.now(UTC)), self._images)
        self._names[self._images] = (
            name  # the observing day may end before its number is used again
        )
        self._used = max(self._used, self._images)
        return name

    async def start(self, image: str) -> None:
        """Begin an exposure. A repeated event has the time of the first one."""
        began = self._began.setdefault(image, tai_now())
        await self._put(self._camera, START, image, Exposure(image).start_integration(began))

    async def end(self, image: str) -> None:
        """End an exposure, even if it was not begun."""
        if self._daq is not None:
            self._daq.add(image)
        await self._put(self._camera, END, image, self._end_readout(image))

    async def header(self, image: str) -> None:
        """Write an image's header file and announce it."""
        fields = self._end_readout(image)
        content = header_file.render(header_file.header_lines(fields))
        name = header_file.file_name(image)
        (self._folder / name).write_bytes(content)
        announcement: dict[str, str | float | bool] = {
            "url": f"{self._address}/{name}",
            "generator": GENERATOR,
            "version": 1.0,
            "byteSize": len(content),
            "checkSum": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "mimeType": MIME_TYPE,
            "id": image,
        }
        await self._put(self._headers, HEADER, image, announcement)

    def _end_readout(self, image: str) -> dict[str, str | float | bool]:
        """Return the fields of an image's endReadout, the same each time."""
        now = tai_now()
        began = self._began.setdefault(image, now)
        return Exposure(image).end_readout(began, self._ended.setdefault(image, now))

    async def put(self, topic: str, image: str) -> None:
        """Put one of the three events."""
        await {START: self.start, END: self.end, HEADER: self.header}[topic](image)

    async def _put(
        self,
        component: SalComponent | None,
        topic: str,
        image: str,
        fields: dict[str, str | float | bool],
    ) -> None:
        if component is None:
            raise RuntimeError("the SAL source is not started; use it in an `async with` block")
        self._on_event(topic, image)
        await component.put(topic, **fields)
