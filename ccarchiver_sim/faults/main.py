"""Command line of the fault campaign."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ccarchiver_sim.console import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    make_console,
    run_until_signalled,
)
from ccarchiver_sim.faults.butler_check import check_delivered
from ccarchiver_sim.faults.fault_testbed import HOST_DOWN_EXPOSURES, FaultTestbed
from ccarchiver_sim.faults.pairs import JOINT, draw_pairs, reason_against
from ccarchiver_sim.faults.registry import MAKERS, SHORT
from ccarchiver_sim.faults.report import table_of, write_json
from ccarchiver_sim.faults.result import Result
from ccarchiver_sim.faults.runner import CampaignPlan, Runner
from ccarchiver_sim.faults.scenario import Scenario
from ccarchiver_sim.faults.two_faults import TwoFaults
from ccarchiver_sim.program import app_of

SEEDS = 1_000_000
"""Upper bound of a random seed: short enough to be typed again."""
KILLS = 30
"""Default number of rounds of each kill scenario: each failpoint of the bridge occurs once."""


@dataclass(frozen=True)
class Campaign:
    """The campaign that the command line requests."""

    scenarios: Sequence[Callable[[], Scenario]]
    plan: CampaignPlan
    seed: int
    json: Path | None
    keep: bool
    host_down_exposures: int


async def run_campaign(campaign: Campaign, console: Console) -> int:
    """Run the scenarios, print the figures, and end everything that was started.

    Returns
    -------
    code
        Zero if nothing was lost and no other check failed.
    """
    results: list[Result] = []
    testbeds: list[FaultTestbed] = []
    code = EXIT_FAILED
    scenarios = [make() for make in campaign.scenarios]
    try:
        has_all = True
        for with_redis_group, with_catch_up in ((False, False), (True, False), (False, True)):
            chosen = [
                one
                for one in scenarios
                if (one.needs_redis_group, one.needs_catch_up) == (with_redis_group, with_catch_up)
            ]
            if chosen:
                testbed = FaultTestbed(
                    campaign.seed, with_redis_group=with_redis_group, with_catch_up=with_catch_up
                )
                testbed.host_down_exposures = campaign.host_down_exposures
                testbeds.append(testbed)
                await _run_on(testbed, chosen, campaign, results, console)
                has_all &= _butler_has_all(testbed, console)
        code = EXIT_OK if has_all and all(result.passed for result in results) else EXIT_FAILED
    except asyncio.CancelledError:
        console.print("campaign: interrupted; all programs that it started have ended")
        code = EXIT_INTERRUPTED
    finally:
        if results:
            console.print(table_of(results, campaign.seed))
        if campaign.json is not None:
            write_json(campaign.json, results, campaign.seed)
        for folder in (testbed.rig.folder for testbed in testbeds):
            if campaign.keep or code == EXIT_FAILED:
                console.print(f"logs: {folder.logs}")
            else:
                folder.remove()
    return code


async def _run_on(
    testbed: FaultTestbed,
    scenarios: Sequence[Scenario],
    campaign: Campaign,
    results: list[Result],
    console: Console,
) -> None:
    """Run scenarios on one testbed and add their results."""
    console.print(f"run folder: {testbed.rig.folder.root}, seed {campaign.seed}")
    async with testbed:
        await testbed.open()
        runner = Runner(testbed, campaign.plan, console.print)
        kind = ", Redis with replicas and Sentinels" if testbed.rig.redis_group else ""
        console.print(f"brokers, workers and peers are up{kind}")
        for scenario in scenarios:
            results.append(await runner.run(scenario))
            _print_result(console, results[-1])


def _butler_has_all(testbed: FaultTestbed, console: Console) -> bool:
    """Print and return whether the Butler has each CCD of all exposures that were delivered."""
    check = check_delivered(testbed.settings, testbed.oracle)
    console.print("\n".join(check.lines), highlight=False, markup=False)
    return check.is_complete


def _print_result(console: Console, result: Result) -> None:
    verdict = "ok" if result.passed else "FAILED"
    console.print(
        f"{result.scenario}: {verdict}, {result.accepted} accepted, {result.lost} lost, "
        f"{result.recovered} recovered within {result.slowest_recovery_s:g} s, "
        f"{result.seconds:g} s in all",
        markup=False,
    )
    if result.incomplete:
        console.print(f"  {result.incomplete} images lack events of dropped statuses")
    for text in result.failures:
        console.print(f"  {text}", style="red", markup=False)


def command(  # noqa: PLR0913 - each is an option of the command
    *,
    kills: Annotated[int | None, typer.Option(min=1, help="Rounds of each kill scenario.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of all random choices; random by default.")
    ] = None,
    scenario: Annotated[
        list[str] | None, typer.Option(help="Run only this scenario; repeatable. Default: all.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write the figures to this file as JSON.")
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=0, help="After them, this many rounds of two faults at once.")
    ] = 0,
    pair: Annotated[
        list[str] | None,
        typer.Option(help='Two faults at once, as "redis-killed + kill-sal"; repeatable.'),
    ] = None,
    only_pairs: Annotated[
        bool, typer.Option("--only-pairs", help="No single faults, only two at once.")
    ] = False,
    short: Annotated[
        bool, typer.Option("--short", help="One scenario of each kind, each once.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Each scenario once, with its shortest outage.")
    ] = False,
    long: Annotated[bool, typer.Option("--long", help="Include outages of 120 s.")] = False,
    host_down: Annotated[
        int, typer.Option(min=1, help="Exposures in host-down, while the host is down.")
    ] = HOST_DOWN_EXPOSURES,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the run folder even after a success.")
    ] = False,
    show: Annotated[bool, typer.Option("--list", help="List the scenarios and exit.")] = False,
) -> None:
    """Inject faults into an archiver that processes exposures continuously, and count lost images.

    No program needs to run beforehand, and none remains. The exit code is 0 only if nothing was
    lost.
    """
    console = make_console()
    if show:
        for name, make in MAKERS.items():
            console.print(f"{name:<28} {make().about}", markup=False, highlight=False)
        return
    unknown = [name for name in scenario or () if name not in MAKERS]
    if unknown:
        raise typer.BadParameter(
            f"no scenario {', '.join(unknown)}; --list shows them all", param_hint="--scenario"
        )
    is_brief = short or once
    seed = secrets.randbelow(SEEDS) if seed is None else seed
    chosen: list[Callable[[], Scenario]] = []
    if not only_pairs and not (pair and not scenario):
        chosen += [MAKERS[name] for name in scenario or (SHORT if short else MAKERS)]
    named = [_parse_pair(text) for text in pair or ()]
    for drawn in (
        *(draw_pairs(seed, 1, is_short=is_brief, within=[names])[0] for names in named),
        *draw_pairs(seed, pairs, is_short=is_brief),
    ):
        chosen.append(partial(TwoFaults, drawn))
    plan = CampaignPlan(
        kills=kills or (None if is_brief else KILLS), is_short=is_brief, is_long=long
    )
    campaign = Campaign(chosen, plan, seed, json, keep, host_down)
    raise typer.Exit(run_until_signalled(run_campaign(campaign, console), console))


def _parse_pair(text: str) -> tuple[str, str]:
    """Return the names of the two scenarios that an option names."""
    one, _, other = (word.strip() for word in text.partition(JOINT.strip()))
    for name in (one, other):
        if name not in MAKERS:
            raise typer.BadParameter(
                f"no scenario {name!r}; --list shows them all", param_hint="--pair"
            )
    reason = "it is one fault" if one == other else reason_against(MAKERS[one](), MAKERS[other]())
    if reason is not None:
        raise typer.BadParameter(f"{one} and {other}: {reason}", param_hint="--pair")
    names = list(MAKERS)
    return (one, other) if names.index(one) < names.index(other) else (other, one)


def main() -> None:
    """Run the program."""
    app_of(command)()


if __name__ == "__main__":
    main()
