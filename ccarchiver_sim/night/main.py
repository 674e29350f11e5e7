"""Command line of the night."""

import asyncio
import json as json_module
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ccarchiver_sim.console import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    make_console,
    run_until_signalled,
)
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.main import SEEDS
from ccarchiver_sim.night.run import Night, NightRun
from ccarchiver_sim.night.schedule import NightPlan, draw_schedule
from ccarchiver_sim.program import app_of

MINUTE_S = 60
HOUR_S = 3600


def clock(seconds: float) -> str:
    """Return a time since the begin of the night as ``h:mm:ss``."""
    whole = int(seconds)
    return f"{whole // HOUR_S}:{whole % HOUR_S // MINUTE_S:02}:{whole % MINUTE_S:02}"


async def run_night(plan: NightPlan, json: Path | None, console: Console, *, keep: bool) -> int:
    """Run a night, print its timeline and its figures, and end everything that was started.

    Returns
    -------
    code
        Zero if nothing was lost and no operator was needed.
    """
    schedule = draw_schedule(plan)
    testbed = FaultTestbed(plan.seed)
    folder = testbed.rig.folder
    console.print(
        f"run folder: {folder.root}, seed {plan.seed}, {plan.hours:g} h at scale {plan.scale:g}: "
        f"{sum(len(group) for group in schedule.groups)} exposures in {len(schedule.groups)} "
        f"groups, {len(schedule.faults)} faults"
    )
    code = EXIT_FAILED
    try:
        async with testbed:
            await testbed.open()

            def say(at: float, text: str) -> None:
                console.print(f"{clock(at)}  {text}", markup=False, highlight=False)

            night = await NightRun(testbed, schedule, say).run()
            if json is not None:
                _write(json, plan, night)
            _print(console, night, plan.seed)
        code = EXIT_OK if night.result.passed else EXIT_FAILED
    except asyncio.CancelledError:
        console.print("night: interrupted; all programs that it started have ended")
        code = EXIT_INTERRUPTED
    finally:
        if keep or code == EXIT_FAILED:
            console.print(f"logs: {folder.logs}")
        else:
            folder.remove()
    return code


def _print(console: Console, night: Night, seed: int) -> None:
    table = Table(title=f"faults of the night, seed {seed}")
    table.add_column("fault")
    for heading in ("lasted, s", "images delayed", "recovery, s"):
        table.add_column(heading, justify="right")
    for fault in sorted(night.faults, key=lambda fault: fault.began):
        table.add_row(
            fault.name,
            f"{fault.ended - fault.began:.1f}",
            str(fault.delayed),
            f"{fault.recovery_s:.1f}",
        )
    console.print(table)
    result = night.result
    console.print(
        f"{night.taken} exposures, {result.accepted} accepted, {result.delivered} delivered, "
        f"{result.lost} lost, {result.incomplete} without events of dropped statuses, "
        f"{result.duplicated} events duplicated, {night.slow} late without a fault",
        markup=False,
    )
    console.print("\n".join(night.butler.lines), highlight=False, markup=False)
    if night.slowest is not None:
        console.print(f"slowest recovery: {night.slowest.recovery_s:.1f} s, {night.slowest.name}")
    for text in result.failures:
        console.print(f"  {text}", style="red", markup=False)


def _write(path: Path, plan: NightPlan, night: Night) -> None:
    document = {
        "plan": asdict(plan),
        "taken": night.taken,
        "late_without_a_fault": night.slow,
        "butler": {"datasets": night.butler.total, "expected": night.butler.expected},
        "result": night.result.as_json(),
        "faults": [asdict(fault) for fault in night.faults],
    }
    path.write_text(json_module.dumps(document, indent=1) + "\n", encoding="utf-8")


def command(
    *,
    hours: Annotated[float, typer.Option(min=0.01, help="Duration.")] = 8.0,
    scale: Annotated[
        float,
        typer.Option(
            min=0.02,
            max=1.0,
            help="Factor of the times between exposures (15 to 30 s) and between faults (1 to 3 an "
            "hour): 0.1 for ten times as many in the same duration.",
        ),
    ] = 1.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of all random choices; random by default.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write the figures to this file as JSON.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the run folder even after a success.")
    ] = False,
) -> None:
    """Take exposures as in a night, inject random faults, and do nothing as the operator.

    No program needs to run beforehand, and none remains. The exit code is 0 only if nothing was
    lost and the CSC never went to FAULT.
    """
    console = make_console()
    plan = NightPlan(hours, scale, secrets.randbelow(SEEDS) if seed is None else seed)
    raise typer.Exit(run_until_signalled(run_night(plan, json, console, keep=keep), console))


def main() -> None:
    """Run the program."""
    app_of(command)()


if __name__ == "__main__":
    main()
