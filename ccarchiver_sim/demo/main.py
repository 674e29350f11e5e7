"""Command line of the demo."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.base.exit_codes import EXIT_CONFIG, EXIT_UNAVAILABLE
from ccarchiver_core.base.resilient_output import resilient_output
from ccarchiver_core.config.settings import load_settings
from ccarchiver_sim.butler.check import ButlerCheck, check_butler
from ccarchiver_sim.console import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    make_console,
    run_until_signalled,
)
from ccarchiver_sim.demo.missed import SETTINGS as MISSED_SETTINGS
from ccarchiver_sim.demo.missed import MissedNight, overridden
from ccarchiver_sim.demo.night import Night, NightPlan
from ccarchiver_sim.demo.progress import StepError
from ccarchiver_sim.demo.table import table_of
from ccarchiver_sim.program import app_of
from ccarchiver_sim.testbed.rig import Rig
from ccarchiver_sim.testbed.site import settings_of

AFTER_THE_END = (
    "Its Redis, RabbitMQ, workers and peers have ended, only the files of the run folder remain: "
    "with its site.env, `ccarchiver` commands that need Redis now end with exit code "
    f"{EXIT_UNAVAILABLE}"
)
"""Without this line, the remedy of these commands, to start Redis, would mislead."""


async def run_demo(
    plan: NightPlan,
    console: Console,
    *,
    keep: bool,
    settings: Mapping[str, object] | None = None,
    picture: Path | None = None,
    missed: bool = False,
) -> int:
    """Run the night, print the table, and end everything that was started.

    Parameters
    ----------
    plan
        Number and cadence of the exposures.
    console
        Console for the output.
    keep
        Whether to keep the run folder, with the Butler repository.
    settings
        ROOT keys of a site; those of ComCam by default.
    picture
        File into which to draw the last image.
    missed
        Whether the archiver misses all exposures at first.

    Returns
    -------
    code
        Zero if every exposure is complete and the Butler has every CCD, and after missed exposures
        `ccarchiver night` reports that nothing is missing; 78 (EX_CONFIG) if SAL does
        not start with the environment of this process.
    """
    settings = settings or {}
    for line in overridden(settings) if missed else ():
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    try:
        rig = Rig({**settings, **MISSED_SETTINGS} if missed else settings)
    except ConfigError as error:
        console.print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
        return EXIT_CONFIG
    except ValueError as error:
        console.print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
        return EXIT_FAILED
    console.print(f"run folder: {rig.folder.root}", soft_wrap=True)
    console.print(f"status page, while this runs: {rig.status_url}", soft_wrap=True)
    command = f"set -a; . {rig.folder.environment_file}; set +a; .venv/bin/ccarchiver status"
    console.print(f"status, in another terminal:  {command}", soft_wrap=True, markup=False)
    code = EXIT_FAILED
    try:
        async with rig:
            night = (MissedNight if missed else Night)(rig, plan, console)
            checks = await night.run()
        console.print(table_of(checks, night.expected))
        complete = sum(check.is_complete(night.expected) for check in checks)
        console.print(f"{complete} of {plan.images} exposures complete")
        butler = check_butler(load_settings(rig.folder.site_file), [one.obsid for one in checks])
        console.print("\n".join(butler.lines), highlight=False)
        if picture is not None:
            text = _draw(butler, checks[-1].obsid, picture)
            console.print(text, soft_wrap=True, markup=False)
        if night.summary:
            console.print(night.summary, soft_wrap=True, markup=False, highlight=False)
        is_delivered = complete == plan.images and butler.is_complete and night.is_well
        code = EXIT_OK if is_delivered else EXIT_FAILED
        if keep or not is_delivered:
            console.print(f"to list them: {butler.command}", soft_wrap=True, markup=False)
    except StepError as error:
        console.print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
    except asyncio.CancelledError:
        console.print("demo: interrupted; all programs that it started have ended")
        code = EXIT_INTERRUPTED
    finally:
        if keep or code == EXIT_FAILED:
            console.print(f"logs: {rig.folder.logs}", soft_wrap=True)
            console.print(AFTER_THE_END, soft_wrap=True, highlight=False)
        else:
            rig.folder.remove()
    return code


def _draw(butler: ButlerCheck, obsid: str, picture: Path) -> str:
    """Draw an image with the files that the Butler has of it; return a text about the result."""
    try:
        # Loading matplotlib takes a second, and only a picture needs it.
        from ccarchiver_sim.butler.query import files_of_image  # noqa: PLC0415
        from ccarchiver_sim.demo.picture import draw  # noqa: PLC0415

        draw(obsid, files_of_image(butler.repository, butler.collection, obsid), picture)
    except ModuleNotFoundError as error:
        return f"no picture: {error}; install it: pip install -r requirements-dev.txt"
    except OSError as error:
        return f"no picture: cannot write {picture}: {error.strerror or error}"
    return f"picture of {obsid}: {picture}"


def demo(
    *,
    images: Annotated[int, typer.Option(min=1, help="Number of exposures.")] = 10,
    cadence: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds from one exposure to the next.")
    ] = 2.0,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Site file to use; the demo replaces its brokers and folders by private ones."
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="Keep the run folder with the Butler repository even after a success."
        ),
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the CCDs of the last image into this PNG file.")
    ] = None,
    missed: Annotated[
        bool,
        typer.Option(
            "--missed",
            help="Rehearse a catch-up: half of the exposures are taken while the CSC is in "
            "STANDBY, the others while it is dead, and all are archived afterwards.",
        ),
    ] = False,
) -> None:
    """Run a night of exposures with private brokers, supervised workers and simulated peers.

    No program needs to run beforehand, and none remains. The exit code is 0 only if every exposure
    is complete and the Butler has every CCD. With --missed, `ccarchiver night` must also report
    that nothing is missing.
    """
    console = make_console()
    try:
        settings = None if config is None else settings_of(config)
    except ConfigError as error:
        console.print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_FAILED) from None
    night = run_demo(
        NightPlan(images, cadence),
        console,
        keep=keep,
        settings=settings,
        picture=picture,
        missed=missed,
    )
    raise typer.Exit(run_until_signalled(night, console))


@resilient_output()
def main() -> None:
    """Run the program."""
    app_of(demo)()


if __name__ == "__main__":
    main()
