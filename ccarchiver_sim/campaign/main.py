"""Command line of the fault campaign."""

import asyncio
import secrets
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ccarchiver_sim.campaign.registry import MAKERS
from ccarchiver_sim.campaign.report import table_of, write_json
from ccarchiver_sim.campaign.result import Result
from ccarchiver_sim.campaign.runner import Plan, Runner
from ccarchiver_sim.campaign.scenario import Scenario
from ccarchiver_sim.campaign.stage import Stage

EXIT_NOTHING_LOST = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
"""The shell's number for Ctrl-C."""
PIPE_WIDTH = 140
"""Where the output is no terminal there is no width to ask for; rich's 80 would fold the table."""
SEEDS = 1_000_000
"""Seeds made up are below this: short enough to be typed again."""
KILLS = 30
SHORT_KILLS = 3
"""Kills of each scenario of kills; three rounds of each worker and of all make some 20, the kill points the rest."""


@dataclass(frozen=True)
class Campaign:
    """What the command line asks for."""

    scenarios: Sequence[Callable[[], Scenario]]
    plan: Plan
    seed: int
    json: Path | None
    keep: bool


async def run_campaign(campaign: Campaign, console: Console) -> int:
    """Run the scenarios and print the figures; everything started has ended when this returns.

    Returns
    -------
    code
        Zero if nothing was lost and nothing else went wrong.
    """
    stage = Stage(campaign.seed)
    folder = stage.rig.folder
    console.print(f"run folder: {folder.root}, seed {campaign.seed}")
    results: list[Result] = []
    code = EXIT_FAILED
    try:
        async with stage:
            await stage.open()
            runner = Runner(stage, campaign.plan, console.print)
            console.print("brokers, workers and peers are up")
            for make in campaign.scenarios:
                results.append(await runner.run(make()))
                _tell(console, results[-1])
        code = EXIT_NOTHING_LOST if all(result.passed for result in results) else EXIT_FAILED
    except asyncio.CancelledError:
        console.print("campaign: interrupted; all it started has ended")
        code = EXIT_INTERRUPTED
    finally:
        if results:
            console.print(table_of(results, campaign.seed))
        if campaign.json is not None:
            write_json(campaign.json, results, campaign.seed)
        if campaign.keep or code == EXIT_FAILED:
            console.print(f"logs: {folder.logs}")
        else:
            folder.remove()
    return code


def _tell(console: Console, result: Result) -> None:
    verdict = "ok" if result.passed else "FAILED"
    console.print(
        f"{result.scenario}: {verdict}, {result.accepted} accepted, {result.lost} lost, {result.recovered} recovered "
        f"within {result.slowest_recovery_s:g} s, {result.seconds:g} s in all",
        markup=False,
    )
    for text in result.failures:
        console.print(f"  {text}", style="red", markup=False)


async def until_signalled(work: "asyncio.Future[int]", console: Console) -> int:
    """Wait for the campaign; the first SIGINT or SIGTERM makes it clean up and end, further ones change nothing."""
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            console.print(f"campaign: ending everything it started, a few seconds ({time.strftime('%H:%M:%S')})")
            work.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt)
    return await work


def command(  # noqa: PLR0913 - each is an option of the command
    *,
    kills: Annotated[int | None, typer.Option(min=1, help="Deaths of workers in each scenario of kills.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of all choices; made up and shown if not given.")] = None,
    scenario: Annotated[
        list[str] | None, typer.Option(help="Only this scenario; may be repeated. All if not given.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    short: Annotated[bool, typer.Option("--short", help="Each scenario once, with its shortest outage.")] = False,
    long: Annotated[bool, typer.Option("--long", help="Outages of 120 s as well.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the run folder also if all went well.")] = False,
    show: Annotated[bool, typer.Option("--list", help="List the scenarios and end.")] = False,
) -> None:
    """Inject faults into a running archiver that takes exposures all the time, and count what was lost.

    Needs nothing running and leaves nothing running. Exit code 0 only if nothing was lost.
    """
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    if show:
        for name, make in MAKERS.items():
            console.print(f"{name:<28} {make().about}", markup=False, highlight=False)
        return
    unknown = [name for name in scenario or () if name not in MAKERS]
    if unknown:
        raise typer.BadParameter(f"no scenario {', '.join(unknown)}; --list shows them all", param_hint="--scenario")
    chosen = [MAKERS[name] for name in scenario or MAKERS]
    plan = Plan(kills=kills or (SHORT_KILLS if short else KILLS), is_short=short, is_long=long)
    wanted = Campaign(chosen, plan, secrets.randbelow(SEEDS) if seed is None else seed, json, keep)

    async def work() -> int:
        return await until_signalled(asyncio.ensure_future(run_campaign(wanted, console)), console)

    raise typer.Exit(asyncio.run(work()))


def main() -> None:
    """Run the program."""
    typer.run(command)


if __name__ == "__main__":
    main()
