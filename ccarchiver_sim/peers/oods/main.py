"""Command line of the simulated OODS."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ccarchiver_sim.peers.common.site import Site, run_peer
from ccarchiver_sim.peers.oods.options import OodsOptions
from ccarchiver_sim.peers.oods.service import Oods
from ccarchiver_sim.program import LogLevel, app_of

if TYPE_CHECKING:
    from ccarchiver_sim.peers.common.runloop import RunLoop

CATALOGUE_NAME: Final = "oods_catalogue.sqlite3"


def oods(
    *,
    catalogue: Annotated[
        Path | None,
        typer.Option(help=f"Catalogue, an SQLite file; default: {CATALOGUE_NAME} in OODS_STAGING."),
    ] = None,
    no_raft: Annotated[
        bool, typer.Option("--no-raft", help="Omit RAFT and SENSOR from its statuses.")
    ] = False,
    legacy_status: Annotated[
        bool,
        typer.Option(
            "--legacy-status", help="Name its statuses CC_FILE_INGEST_REQUEST, as some releases do."
        ),
    ] = False,
    duplicate: Annotated[
        bool, typer.Option("--duplicate", help="Send every status twice.")
    ] = False,
    log_level: LogLevel = "INFO",
) -> None:
    """Run a simulated OODS until SIGTERM or Ctrl-C.

    It checks each file that the Controller names, enters it in its catalogue and sends a status to
    the archiver. It reads the archiver's site file in $IIP_CONFIG_DIR.
    """

    def work(loop: RunLoop) -> None:
        site = Site.load()
        options = OodsOptions(
            catalogue=catalogue or site.settings.archive.oods_staging / CATALOGUE_NAME,
            no_raft=no_raft,
            legacy_status=legacy_status,
            duplicate=duplicate,
        )
        Oods(loop, site, options).run()

    raise typer.Exit(run_peer("oods", log_level, work))


main = app_of(oods)

if __name__ == "__main__":
    main()
