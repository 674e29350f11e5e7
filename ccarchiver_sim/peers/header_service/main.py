"""Command line of the simulated header service."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ccarchiver_sim.peers.camera.exposure import COMPONENT as CAMERA
from ccarchiver_sim.peers.common.async_run import run_async_peer
from ccarchiver_sim.peers.common.runloop import print_event
from ccarchiver_sim.peers.common.sal import sal_component
from ccarchiver_sim.peers.header_service.header_file import COMPONENT
from ccarchiver_sim.peers.header_service.service import HeaderService
from ccarchiver_sim.peers.header_service.web import serve_folder
from ccarchiver_sim.program import LogLevel, app_of

if TYPE_CHECKING:
    import asyncio


def header_service(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="HTTP port on loopback; 0 selects a free one.")
    ] = 0,
    folder: Annotated[
        Path | None, typer.Option(help="Folder for header files; default: a temporary one.")
    ] = None,
    delay: Annotated[
        float, typer.Option(min=0, help="Seconds from endReadout to the announcement.")
    ] = 0.0,
    component: Annotated[
        str, typer.Option(help="Name on SAL: CCHeaderService, ATHeaderService, MTHeaderService.")
    ] = COMPONENT,
    camera: Annotated[
        str, typer.Option(help="Name on SAL of the camera whose events it receives.")
    ] = CAMERA,
    log_level: LogLevel = "WARNING",
) -> None:
    """Run a simulated header service until SIGTERM or Ctrl-C.

    For each endReadout of the camera it writes a header file, serves it over HTTP, and sends
    largeFileObjectAvailable. LSST_DDS_PARTITION_PREFIX and LSST_DDS_DOMAIN_ID configure SAL.
    """

    async def work(stop: asyncio.Event) -> None:
        with tempfile.TemporaryDirectory(prefix="headers-") as temporary:
            place = folder or Path(temporary)
            place.mkdir(parents=True, exist_ok=True)
            with serve_folder(place, port) as address:
                async with sal_component(component) as on_sal:
                    service = HeaderService(
                        component=on_sal,
                        name=component,
                        stop=stop,
                        folder=place,
                        address=address,
                        delay=delay,
                    )
                    await service.start(camera)
                    print_event("ready", peer="header_service", url=address)
                    await service.run()

    raise typer.Exit(run_async_peer("header_service", log_level, work))


main = app_of(header_service)

if __name__ == "__main__":
    main()
