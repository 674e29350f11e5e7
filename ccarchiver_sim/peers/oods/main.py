"""Command line of the simulated OODS."""

from __future__ import annotations

import logging
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ccarchiver_sim.butler.place import REPOSITORY_NAME, repository_of
from ccarchiver_sim.peers.common.runloop import PeerError
from ccarchiver_sim.peers.common.site import Site, run_peer
from ccarchiver_sim.peers.oods.options import REPORT_AFTER_S, OodsOptions
from ccarchiver_sim.program import LogLevel, app_of

if TYPE_CHECKING:
    from ccarchiver_sim.peers.common.runloop import RunLoop

BAD_FILES_NAME: Final = "bad_files"
"""Folder beside OODS_STAGING, which has only files to ingest."""

BUTLER_REMEDY: Final = (
    "the simulated OODS needs the Butler; install it: pip install -r requirements-simulators.txt"
)


def oods(  # noqa: PLR0913 - each is an option of the command
    *,
    repository: Annotated[
        Path | None,
        typer.Option(
            help="Butler repository, created if missing; "
            f"default: {REPOSITORY_NAME} beside OODS_STAGING."
        ),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(
            help="Empty PostgreSQL database of a new repository, postgresql://USER@HOST/DATABASE; "
            "default: a file of SQLite."
        ),
    ] = None,
    bad_files: Annotated[
        Path | None,
        typer.Option(
            help="Folder for files that cannot be ingested; "
            f"default: {BAD_FILES_NAME} beside OODS_STAGING."
        ),
    ] = None,
    report_after: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds after which to report a repository that cannot be written."
        ),
    ] = REPORT_AFTER_S,
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

    It checks each file that the Controller names, ingests it into its Butler repository and sends a
    status to the archiver. It reads the archiver's site file in $IIP_CONFIG_DIR.
    """

    def work(loop: RunLoop) -> None:
        try:
            # Loading the Butler takes a second: not for --help, and with a remedy if it is missing.
            from ccarchiver_sim.peers.oods.service import Oods  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise PeerError(f"{error}: {BUTLER_REMEDY}") from error
        # The Butler logs each of its transactions, as the OODS does.
        logging.getLogger("lsst.daf.butler").setLevel(logging.WARNING)
        site = Site.load()
        options = OodsOptions(
            repository=repository or repository_of(site.settings),
            bad_files=bad_files or site.settings.archive.oods_staging.parent / BAD_FILES_NAME,
            registry=registry,
            report_after=report_after,
            no_raft=no_raft,
            legacy_status=legacy_status,
            duplicate=duplicate,
        )
        Oods(loop, site, options).run()

    raise typer.Exit(run_peer("oods", log_level, work))


main = app_of(oods)

if __name__ == "__main__":
    main()
