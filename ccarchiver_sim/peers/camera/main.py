"""Command line of the simulated camera."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ccarchiver_sim.peers.camera.exposure import (
    COMPONENT,
    SOURCE,
    SOURCES,
    Exposure,
    image_name,
    observing_date,
)
from ccarchiver_sim.peers.camera.remote_control import run_commands
from ccarchiver_sim.peers.camera.shutter import Shutter
from ccarchiver_sim.peers.common.async_run import pause, run_async_peer
from ccarchiver_sim.peers.common.daq import DaqCatalogue
from ccarchiver_sim.peers.common.runloop import print_event
from ccarchiver_sim.peers.common.sal import sal_component
from ccarchiver_sim.program import LogLevel, app_of

if TYPE_CHECKING:
    import asyncio

DATE: Final = re.compile(r"\d{8}")

SETTLE_S: Final = 2.0
"""Time in which running readers discover a new writer; earlier events reach them as history."""


def camera(  # noqa: PLR0913 - each is an option of the command
    *,
    images: Annotated[int, typer.Option(min=1, help="Number of images.")] = 1,
    cadence: Annotated[
        float, typer.Option(min=0, help="Seconds from the start of one image to the next.")
    ] = 3.0,
    exposure: Annotated[
        float, typer.Option(min=0, help="Exposure time of each image in seconds.")
    ] = 1.0,
    readout: Annotated[
        float, typer.Option(min=0, help="Seconds from the end of exposure to endReadout.")
    ] = 0.1,
    date: Annotated[
        str | None, typer.Option(help="Day in the image names, YYYYMMDD; default: today.")
    ] = None,
    sequence_start: Annotated[
        int, typer.Option(min=0, max=999_999, help="Number of the first image.")
    ] = 1,
    settle: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds to wait at the start, until readers discover the camera."
        ),
    ] = SETTLE_S,
    stdin: Annotated[
        bool,
        typer.Option(
            "--stdin", help="Execute JSON commands from standard input instead of --images."
        ),
    ] = False,
    component: Annotated[
        str, typer.Option(help="Name on SAL: CCCamera, ATCamera, MTCamera.")
    ] = COMPONENT,
    daq: Annotated[
        Path | None,
        typer.Option(help="Folder in which it lists the images that it took, for SCAN."),
    ] = None,
    log_level: LogLevel = "WARNING",
) -> None:
    """Run a simulated camera, by default ComCam: take images or execute commands from stdin.

    It prints each event as one line of JSON on stdout. Commands for --stdin, one a line: {"take":
    {"image": "CC_O_20261122_000001", "exposure": 0.1}}, {"start": "CC_O_20261122_000001"}, {"end":
    "..."}, {"quit": true}. LSST_DDS_PARTITION_PREFIX and LSST_DDS_DOMAIN_ID configure SAL.
    """
    day = date or observing_date(dt.datetime.now(dt.UTC))
    if DATE.fullmatch(day) is None:
        raise typer.BadParameter(
            f"{day} is not YYYYMMDD, for example 20261122", param_hint="--date"
        )
    source = SOURCES.get(component, SOURCE)
    names = [image_name(day, sequence_start + index, source) for index in range(images)]
    sequence = [
        Exposure(image=name, seconds=exposure, index=index, in_sequence=images)
        for index, name in enumerate(names)
    ]

    async def work(stop: asyncio.Event) -> None:
        async with sal_component(component) as on_sal:
            if await pause(stop, settle):
                return
            catalogue = None if daq is None else DaqCatalogue(daq)
            shutter = Shutter(on_sal, stop, readout, catalogue)
            print_event("ready", peer="camera")
            if stdin:
                await run_commands(shutter, stop)
            else:
                await shutter.take_all(sequence, cadence)

    raise typer.Exit(run_async_peer("camera", log_level, work))


main = app_of(camera)

if __name__ == "__main__":
    main()
