"""Command line of the simulated Controller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ccarchiver_sim.peers.common.site import Site, run_peer
from ccarchiver_sim.peers.controller.options import ControllerOptions
from ccarchiver_sim.peers.controller.service import ArchiveController
from ccarchiver_sim.program import LogLevel, MuteOption, app_of

if TYPE_CHECKING:
    from ccarchiver_sim.peers.common.runloop import RunLoop


def controller(
    *,
    name: Annotated[
        str | None,
        typer.Option(
            help="COMPONENT in its answers; default: ARCHIVE_CONTROLLER_NAME of the site."
        ),
    ] = None,
    mute: MuteOption = None,
    negative: Annotated[
        bool, typer.Option("--negative", help="Acknowledge with ACK_BOOL FALSE.")
    ] = False,
    ack_delay: Annotated[
        float, typer.Option(min=0, help="Seconds to wait before each acknowledgement.")
    ] = 0.0,
    target_dir: Annotated[
        str | None, typer.Option(help="Answer with exactly this TARGET_DIR; create no directory.")
    ] = None,
    log_level: LogLevel = "INFO",
) -> None:
    """Run a simulated Controller until SIGTERM or Ctrl-C.

    It assigns the day's directory to each image, answers the archiver's health checks, and links
    each arrived file into the staging trees of the OODS and the data backbone. It reads the
    archiver's site file in $IIP_CONFIG_DIR.
    """

    def work(loop: RunLoop) -> None:
        site = Site.load()
        options = ControllerOptions(
            component=name or site.settings.archive_controller_name,
            mute=frozenset(mute or ()),
            negative=negative,
            ack_delay=ack_delay,
            target_dir=target_dir,
        )
        ArchiveController(loop, site, options).run()

    raise typer.Exit(run_peer("controller", log_level, work))


main = app_of(controller)

if __name__ == "__main__":
    main()
