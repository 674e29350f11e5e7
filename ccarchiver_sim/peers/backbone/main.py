"""Command line of the simulated client of the data backbone."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.settings import load_settings
from ccarchiver_sim.peers.backbone.options import INTERVAL_S, BackboneOptions
from ccarchiver_sim.peers.backbone.place import STORE_NAME, overlaps, store_of
from ccarchiver_sim.peers.common.runloop import PeerError
from ccarchiver_sim.peers.common.site import run_peer
from ccarchiver_sim.program import LogLevel, app_of

if TYPE_CHECKING:
    from ccarchiver_sim.peers.common.runloop import RunLoop


def backbone(
    *,
    store: Annotated[
        Path | None,
        typer.Option(
            help=f"Folder for the stored files; default: {STORE_NAME} beside DBB_STAGING."
        ),
    ] = None,
    interval: Annotated[
        float, typer.Option(min=0.01, help="Seconds between two searches for new files.")
    ] = INTERVAL_S,
    delay: Annotated[
        float, typer.Option(min=0, help="Seconds to wait before each file, as a slow network.")
    ] = 0.0,
    log_level: LogLevel = "INFO",
) -> None:
    """Run a simulated client of the data backbone until SIGTERM or Ctrl-C.

    It takes the files out of DBB_STAGING, checks that they are complete, stores them, and removes
    its link. It reads the archiver's site file in $IIP_CONFIG_DIR.
    """

    def work(loop: RunLoop) -> None:
        # Loading astropy takes half a second: not for --help.
        from ccarchiver_sim.peers.backbone.service import Backbone  # noqa: PLC0415

        try:
            staging = load_settings().archive.dbb_staging
        except ConfigError as error:
            raise PeerError(str(error)) from error
        if store is not None and overlaps(staging, store):
            raise PeerError(
                f"--store {store} and DBB_STAGING, {staging}, overlap, so stored files would be "
                "taken again; select a folder outside of it that does not contain it"
            )
        options = BackboneOptions(
            staging=staging, store=store or store_of(staging), interval=interval, delay=delay
        )
        Backbone(loop, options).run()

    raise typer.Exit(run_peer("backbone", log_level, work))


main = app_of(backbone)

if __name__ == "__main__":
    main()
