"""Tables of a result."""

from rich.console import Console
from rich.table import Table

from benchmarks.result import CatchUp, Growth, Latency, Load, PathResult, Result, Steady
from benchmarks.stats import Summary

NUMBERS = ("median", "90 %", "99 %", "longest", "n", "missing")


def show(result: Result, console: Console) -> None:
    """Print all tables of a result."""
    machine = result.machine
    console.print(
        f"{machine.started}, {machine.cores} cores, Python {machine.python}; "
        f"load average {machine.load_before:.1f} before, {machine.load_after:.1f} after"
    )
    if result.latency is not None:
        console.print(_floors(result.latency))
        for fsync, paths in result.latency.paths.items():
            console.print(_paths(result.latency, fsync, paths))
    if result.catch_up is not None:
        console.print(_catch_up(result.catch_up))
    if result.load is not None:
        for table in _load(result.load):
            console.print(table)
    if result.growth:
        console.print(_growth(result.growth))


def _table(title: str, first: str, *headings: str) -> Table:
    table = Table(title=title)
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _numbers(summary: Summary) -> tuple[str, ...]:
    times = (summary.median, summary.p90, summary.p99, summary.longest)
    return (*(f"{time:.2f}" for time in times), str(summary.count), str(summary.missing))


def _floors(latency: Latency) -> Table:
    table = _table("the floor: each hop alone, ms", "hop", *NUMBERS)
    for hop, summary in latency.floors.items():
        table.add_row(hop, *_numbers(summary))
    return table


def _paths(latency: Latency, fsync: str, paths: list[PathResult]) -> Table:
    title = (
        f"the archiver, appendfsync {fsync}, ms: "
        f"{latency.rounds} rounds of {latency.images} images, one in progress at a time"
    )
    table = _table(title, "path", *NUMBERS, "floor", "ratio", "peer")
    for path in paths:
        peer = "" if path.peer is None else f"{path.peer.median:.2f}"
        table.add_row(
            path.name, *_numbers(path.took), f"{path.floor_ms:.2f}", f"{path.ratio:.2f}", peer
        )
    return table


def _catch_up(found: CatchUp) -> Table:
    title = (
        f"live exposures during a catch-up of {found.missed} missed ones, and without it, ms: "
        f"{found.left} left at the end"
    )
    table = _table(title, "path", *(f"{name}, during" for name in NUMBERS), "without", "n", "ratio")
    for path in found.paths:
        table.add_row(
            path.name,
            *_numbers(path.during),
            f"{path.without.median:.2f}",
            str(path.without.count),
            f"{path.ratio:.2f}",
        )
    return table


def _load(load: Load) -> list[Table]:
    workers = _table("workers", "worker", "start, s", "CPU when idle, ms a second", "memory, MB")
    for name, seconds in load.start_s.items():
        workers.add_row(
            name, f"{seconds:.2f}", f"{load.idle_cpu_ms[name]:.1f}", f"{load.rss_mb[name]:.0f}"
        )
    bursts = _table("bursts", "what", "count", "lost", "out of order", "seconds", "a second")
    statuses = load.statuses
    for hop, each in load.bare_per_second.items():
        bursts.add_row(
            f"{hop} alone",
            str(statuses.count),
            "0",
            "",
            f"{statuses.count / each:.2f}",
            f"{each:.0f}",
        )
    seconds = statuses.count / statuses.per_second if statuses.per_second else 0.0
    bursts.add_row(
        "ingest statuses",
        str(statuses.count),
        str(statuses.lost),
        str(statuses.out_of_order),
        f"{seconds:.2f}",
        f"{statuses.per_second:.0f}",
    )
    for burst in load.bursts:
        rate = f"{(burst.count - burst.lost) / burst.seconds:.0f}" if burst.seconds else ""
        bursts.add_row(
            burst.topic, str(burst.count), str(burst.lost), "", f"{burst.seconds:.2f}", rate
        )
    return [workers, bursts, _steady(load), _commands(load)]


def _name(steady: Steady) -> str:
    return f"{steady.exposures_per_second:g} a second, {steady.ccds} CCDs"


def _steady(load: Load) -> Table:
    workers = list(load.start_s)
    table = _table(
        "steady: median (99 %) in ms; CPU in ms an exposure",
        "exposures",
        "taken",
        "lost",
        *(name.replace(" → ", " →\n") for name in load.steady[0].paths),
        *(f"CPU\n{worker}" for worker in workers),
    )
    for steady in load.steady:
        paths = (_short(summary) for summary in steady.paths.values())
        cpu = (f"{steady.cpu_ms[worker]:.1f}" for worker in workers)
        table.add_row(_name(steady), str(steady.exposures), str(steady.lost), *paths, *cpu)
    return table


def _commands(load: Load) -> Table:
    table = _table(
        "Redis commands an exposure, those within scripts included",
        "command",
        *map(_name, load.steady),
    )
    most = load.steady[0].redis_commands
    for name in sorted(most, key=lambda name: -most[name]):
        counts = [steady.redis_commands.get(name, 0.0) for steady in load.steady]
        if any(counts):
            table.add_row(name, *(f"{count:.1f}" for count in counts))
    table.add_row("all", *(f"{sum(steady.redis_commands.values()):.1f}" for steady in load.steady))
    return table


def _short(summary: Summary) -> str:
    return f"{summary.median:.2f} ({summary.p99:.2f})"


def _growth(growth: list[Growth]) -> Table:
    workers = list(growth[0].cpu_ms)
    table = _table(
        "growth: median in ms, and its ratio to the floor just before; CPU in ms an exposure",
        "ledger",
        "in progress",
        *(name.replace(" → ", " →\n") for name in growth[0].paths),
        *(f"CPU\n{worker}" for worker in workers),
    )
    for one in growth:
        paths = (
            f"{took.median:.2f} ({took.median / one.floor_ms[name]:.2f})"
            for name, took in one.paths.items()
        )
        table.add_row(
            str(one.ledger),
            str(one.in_work),
            *paths,
            *(f"{cpu:.1f}" for cpu in one.cpu_ms.values()),
        )
    return table
