"""Command line of the soak."""

import asyncio
import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ccarchiver_core.base.resilient_output import resilient_output
from ccarchiver_sim.console import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    make_console,
    run_until_signalled,
)
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.program import app_of
from ccarchiver_sim.soak.run import Soaked, SoakPlan, soak
from ccarchiver_sim.soak.slope import Trend, trends

NO_CHOICES = 0
"""Seed; a soak makes no random choices, so its value has no effect."""


async def run_soak(plan: SoakPlan, json: Path | None, console: Console, *, keep: bool) -> int:
    """Run a soak, print the trends, and end everything that was started.

    Returns
    -------
    code
        Zero if nothing grew, nothing was lost and no worker restarted.
    """
    testbed = FaultTestbed(NO_CHOICES, settings=plan.settings)
    console.print(f"run folder: {testbed.rig.folder.root}")
    code = EXIT_FAILED
    try:
        async with testbed:
            await testbed.open()
            result = await soak(testbed, plan, console.print)
        found = trends(result.samples)
        console.print(_table(found))
        console.print(
            f"{result.accepted} images, {result.lost} lost, "
            f"{result.restarts} unexpected worker restarts"
        )
        is_well = (
            all(trend.is_flat for trend in found) and result.lost == 0 and result.restarts == 0
        )
        code = EXIT_OK if is_well else EXIT_FAILED
        if json is not None:
            _write(json, plan, result, found)
    except asyncio.CancelledError:
        console.print("soak: interrupted; all programs that it started have ended")
        code = EXIT_INTERRUPTED
    finally:
        if keep or code == EXIT_FAILED:
            console.print(f"logs: {testbed.rig.folder.logs}")
        else:
            testbed.rig.folder.remove()
    return code


def _table(found: Sequence[Trend]) -> Table:
    table = Table(title="second half of the soak")
    table.add_column("figure")
    for heading in ("first", "last", "slope, per hour", "growth", "allowed"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for trend in found:
        verdict = "[green]flat[/]" if trend.is_flat else "[red]GROWS[/]"
        numbers = (trend.first, trend.last, trend.per_hour, trend.growth, trend.tolerance)
        table.add_row(trend.name, *(f"{number:.2f}" for number in numbers), verdict)
    return table


def _write(path: Path, plan: SoakPlan, result: Soaked, found: Sequence[Trend]) -> None:
    document = {
        "minutes": plan.minutes,
        "rate": plan.rate,
        "accepted": result.accepted,
        "lost": result.lost,
        "restarts": result.restarts,
        "trends": [trend.as_json() for trend in found],
        "samples": [{"at": sample.at, **sample.figures} for sample in result.samples],
    }
    path.write_text(json_module.dumps(document, indent=1) + "\n", encoding="utf-8")


def command(
    *,
    minutes: Annotated[
        float,
        typer.Option(
            min=0.1, help="Duration. In less than 6 minutes, filling caches count as growth."
        ),
    ] = 10.0,
    rate: Annotated[float, typer.Option(min=0.1, help="Exposures per second.")] = 3.0,
    json: Annotated[
        Path | None, typer.Option(help="Write trends and samples to this file as JSON.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the run folder even after a success.")
    ] = False,
) -> None:
    """Take exposures at a steady rate and fail if memory, files, threads or streams grow.

    No program needs to run beforehand, and none remains.
    """
    console = make_console()
    raise typer.Exit(
        run_until_signalled(run_soak(SoakPlan(minutes, rate), json, console, keep=keep), console)
    )


@resilient_output()
def main() -> None:
    """Run the program."""
    app_of(command)()


if __name__ == "__main__":
    main()
