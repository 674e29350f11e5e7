"""Command line of the simulated Forwarder."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ccarchiver_sim.peers.common.site import Site, run_peer
from ccarchiver_sim.peers.forwarder.fitsfile import DEFAULT_AMPLIFIERS, Layout
from ccarchiver_sim.peers.forwarder.options import (
    FAIL_CODES,
    PRESENCE_KEY,
    ForwarderOptions,
    Identity,
    Misbehaviour,
)
from ccarchiver_sim.peers.forwarder.service import Forwarder
from ccarchiver_sim.program import LogLevel, MuteOption, app_of
from ccarchiver_sim.raws.segments import AMPLIFIERS

if TYPE_CHECKING:
    from ccarchiver_sim.peers.common.runloop import RunLoop


def forwarder(  # noqa: PLR0913 - each is an option of the command
    *,
    name: Annotated[str, typer.Option(help="Name of this Forwarder.")] = "f99",
    hostname: Annotated[
        str | None,
        typer.Option(help="Hostname in its registration; default: that of this machine."),
    ] = None,
    ip: Annotated[str, typer.Option(help="Address in its registration.")] = "127.0.0.1",
    consume_queue: Annotated[
        str | None, typer.Option(help="Queue that it consumes; default: NAME_consume.")
    ] = None,
    presence_key: Annotated[
        str,
        typer.Option(
            help="Redis key of its presence; the known release has one for all Forwarders."
        ),
    ] = PRESENCE_KEY,
    redis_db: Annotated[
        int | None,
        typer.Option(
            min=0, help="Its own Redis database, EMPTIED at start; default: FORWARDER_REDIS_DB."
        ),
    ] = None,
    wait_for_queue: Annotated[
        bool,
        typer.Option(
            help="Wait until the queue exists; the real Forwarder exits if it is missing."
        ),
    ] = True,
    work_dir: Annotated[
        Path | None, typer.Option(help="Folder for its files; default: a temporary one.")
    ] = None,
    ack_delay: Annotated[
        float, typer.Option(min=0, help="Seconds to wait before each acknowledgement.")
    ] = 0.0,
    mute: MuteOption = None,
    fail_code: Annotated[
        int | None,
        typer.Option(
            help="Send a failure with this code for every image "
            f"({', '.join(map(str, FAIL_CODES))})."
        ),
    ] = None,
    die_after: Annotated[
        str | None, typer.Option(help="Exit on receipt of this type of message.")
    ] = None,
    die_mid_transfer: Annotated[
        int | None, typer.Option(min=1, help="Exit after this many files of an image.")
    ] = None,
    duplicate_telemetry: Annotated[
        bool, typer.Option("--duplicate-telemetry", help="Send every status of a file twice.")
    ] = False,
    daq: Annotated[
        Path | None,
        typer.Option(help="Folder of the camera's images; without it, SCAN has no answer."),
    ] = None,
    scan_time: Annotated[
        float, typer.Option(min=0, help="Seconds for which it does nothing else during a SCAN.")
    ] = 0.0,
    amplifiers: Annotated[
        int, typer.Option(min=1, max=AMPLIFIERS, help="Image extensions of a file; a CCD has 16.")
    ] = DEFAULT_AMPLIFIERS,
    compress: Annotated[
        bool, typer.Option("--compress", help="Compress the images, as the camera does.")
    ] = False,
    log_level: LogLevel = "INFO",
) -> None:
    """Run a simulated Forwarder until SIGTERM or Ctrl-C.

    It registers as free in Redis and waits until it is paired. For each image it writes a small
    FITS file for each CCD and copies the files to the archiver's target. It declares no queue. It
    reads the archiver's site file in $IIP_CONFIG_DIR.
    """
    if fail_code is not None and fail_code not in FAIL_CODES:
        raise typer.BadParameter(
            f"{fail_code} is none of {', '.join(map(str, FAIL_CODES))}", param_hint="--fail-code"
        )
    identity = Identity(
        name=name,
        hostname=hostname or socket.gethostname(),
        ip=ip,
        consume_queue=consume_queue or f"{name}_consume",
        presence_key=presence_key,
    )
    misbehaviour = Misbehaviour(
        ack_delay=ack_delay,
        mute=frozenset(mute or ()),
        fail_code=fail_code,
        die_after=die_after,
        die_mid_transfer=die_mid_transfer,
        duplicate_telemetry=duplicate_telemetry,
        scan_time=scan_time,
    )

    def work(loop: RunLoop) -> None:
        site = Site.load()
        with tempfile.TemporaryDirectory(prefix=f"{name}-") as temporary:
            options = ForwarderOptions(
                identity=identity,
                misbehaviour=misbehaviour,
                redis_db=site.settings.forwarder_redis_db if redis_db is None else redis_db,
                wait_for_queue=wait_for_queue,
                work_dir=work_dir or Path(temporary),
                daq=daq,
                layout=Layout(amplifiers, compressed=compress),
            )
            Forwarder(loop, site, options).run()

    raise typer.Exit(run_peer("forwarder", log_level, work))


main = app_of(forwarder)

if __name__ == "__main__":
    main()
