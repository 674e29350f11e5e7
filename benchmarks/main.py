"""Command line of the benchmarks."""

import asyncio
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from benchmarks.catch_up import measure_catch_up
from benchmarks.latency import Done, images_taken, measure_latency, steps_of
from benchmarks.load import measure_load
from benchmarks.plot import plot
from benchmarks.profiled import begin, configuration_with_profiler, show_profiles
from benchmarks.report import show
from benchmarks.result import Latency, Result, describe_machine
from benchmarks.scaling import LARGEST_LEDGER, LEDGERS, measure_scaling
from ccarchiver_sim.console import EXIT_INTERRUPTED, EXIT_OK, make_console, run_until_signalled
from ccarchiver_sim.program import app_of

RESULTS = Path(__file__).parent / "results"
GROWTH_IMAGES = 50
"""Images measured for each size of the ledger; the medians are stable from about thirty."""


@dataclass(frozen=True)
class BenchmarkPlan:
    """Measurements of one run.

    Parameters
    ----------
    images, rounds
        Of the latency; without rounds it is not measured.
    load
        Whether to measure bursts and steady rates.
    catch_up
        Whether to measure live exposures during a catch-up.
    ledgers
        Sizes of the ledger; without them the growth is not measured.
    profile
        Whether to run the workers under the profiler; only latency rounds are run then.
    """

    images: int
    rounds: int
    load: bool = False
    ledgers: tuple[int, ...] = ()
    catch_up: bool = False
    profile: bool = False


async def run_plan(plan: BenchmarkPlan, console: Console) -> Result:
    """Measure and show progress on the console; all started processes end before this returns."""
    result = Result(machine=describe_machine())
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        if plan.rounds:
            task = progress.add_task(
                "floor and archiver in turn", total=steps_of(plan.images, plan.rounds)
            )
            if plan.profile:
                result.latency = await _profiled(plan, console, lambda: progress.advance(task))
            else:
                result.latency = await measure_latency(
                    plan.images, plan.rounds, lambda: progress.advance(task)
                )
        if plan.catch_up:
            result.catch_up = await measure_catch_up(
                _progress_printer(progress, console, "catch-up")
            )
        if plan.load:
            result.load = await measure_load(_progress_printer(progress, console, "load"))
        if plan.ledgers:
            result.growth = await measure_scaling(
                GROWTH_IMAGES, plan.ledgers, _progress_printer(progress, console, "growth")
            )
    result.machine.load_after = os.getloadavg()[0]
    return result


def _progress_printer(progress: Progress, console: Console, name: str) -> Callable[[str], None]:
    """Return a function that shows the current part; without a terminal it prints a line each."""
    task = progress.add_task(name, total=None)

    def show_progress(what: str) -> None:
        progress.update(task, description=f"{name}: {what}")
        if not console.is_terminal:
            console.print(f"{name}: {what}")

    return show_progress


async def _profiled(plan: BenchmarkPlan, console: Console, done: Done) -> Latency:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configuration = configuration_with_profiler(folder)
        latency = await measure_latency(
            plan.images, plan.rounds, done, configuration=configuration, begin=begin
        )
        show_profiles(folder, images_taken(plan.images, plan.rounds), console)
    return latency


async def run_and_report(plan: BenchmarkPlan, json: Path | None, console: Console) -> int:
    """Measure, print, write the result and its plot, and return the exit code."""
    try:
        result = await run_plan(plan, console)
    except asyncio.CancelledError:
        console.print("bench: interrupted; all processes that it started have ended")
        return EXIT_INTERRUPTED
    show(result, console)
    if plan.profile:
        return EXIT_OK  # the times of a profiled worker cannot be compared
    path = json or RESULTS / f"bench-{result.machine.started.replace(':', '')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    picture = path.with_suffix(".png")
    console.print(
        f"written: {path} and {picture.name}" if plot(result, picture) else f"written: {path}"
    )
    return EXIT_OK


def command(  # noqa: PLR0913 - each is an option of the command
    *,
    images: Annotated[int, typer.Option(min=1, help="Images counted in each latency round.")] = 200,
    rounds: Annotated[
        int, typer.Option(min=0, help="Rounds of floor and archiver; 0: no latency.")
    ] = 3,
    load: Annotated[
        bool, typer.Option("--load", help="Bursts, steady rates, cost of an exposure.")
    ] = False,
    growth: Annotated[
        bool,
        typer.Option(
            "--growth", help="Latency with 0 and 10,000 images in the ledger, 1 to 100 in progress."
        ),
    ] = False,
    large: Annotated[
        bool, typer.Option("--large", help="With --growth: also 100,000 images in the ledger.")
    ] = False,
    catch_up: Annotated[
        bool,
        typer.Option("--catch-up", help="With 0 rounds: live exposures during a catch-up."),
    ] = False,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile", help="Run the workers under the profiler and print where the time goes."
        ),
    ] = False,
    json: Annotated[
        Path | None, typer.Option(help="File of the result; a plot is written beside it.")
    ] = None,
) -> None:
    """Measure the whole archiver and the floor: each hop that a message must make, alone.

    No server needs to run before, and no process is left after it.
    """
    if profile and (load or growth or catch_up or not rounds):
        raise typer.BadParameter(
            "--profile works with latency rounds only: its times cannot be compared"
        )
    ledgers = (*LEDGERS, LARGEST_LEDGER) if large else LEDGERS
    plan = BenchmarkPlan(
        images,
        rounds,
        load,
        ledgers if growth else (),
        catch_up=catch_up or bool(rounds and not profile),
        profile=profile,
    )
    console = make_console()
    raise typer.Exit(run_until_signalled(run_and_report(plan, json, console), console))


def main() -> None:
    """Run the program."""
    app_of(command)()


if __name__ == "__main__":
    main()
