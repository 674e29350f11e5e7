"""Plot of a result: each path and its floor."""

from pathlib import Path

import matplotlib as mpl

from benchmarks.baselines import REDIS, REDIS_HOPS
from benchmarks.result import Growth, Latency, Result

mpl.use("Agg")  # needs no display

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

SIZE_IN = (11, 4.5)
DPI = 120
BAR = 0.6


def plot(result: Result, path: Path) -> bool:
    """Draw the latencies and the growth of a result into a PNG file.

    Returns
    -------
    is_written
        False if the result has neither; no file is written then.
    """
    latency = result.latency
    panels = (len(latency.paths) if latency is not None else 0) + bool(result.growth)
    if not panels:
        return False
    figure, axes = plt.subplots(panels, 1, figsize=(SIZE_IN[0], SIZE_IN[1] * panels), squeeze=False)
    free = list(axes[:, 0])
    if latency is not None:
        for fsync in latency.paths:
            _latency(free.pop(0), latency, fsync)
    if result.growth:
        _growth(free.pop(0), result.growth)
    machine = result.machine
    figure.suptitle(
        f"{machine.started}, {machine.cores} cores, load average {machine.load_before:.1f}",
        fontsize=9,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
    return True


def _latency(axes: Axes, latency: Latency, fsync: str) -> None:
    """Draw a stacked bar for each path (its hops, then up to its median) and its 90 and 99 %."""
    paths = latency.paths[fsync]
    hops = list(dict.fromkeys(hop for path in paths for hop in path.hops))
    left = [0.0] * len(paths)
    names = [path.name for path in paths]
    for hop in hops:
        floor = latency.floors[REDIS_HOPS[fsync] if hop == REDIS else hop]
        widths = [floor.median * path.hops.get(hop, 0) for path in paths]
        axes.barh(names, widths, left=left, height=BAR, label=f"floor: {hop}")
        left = [begin + width for begin, width in zip(left, widths, strict=True)]
    own = [max(0.0, path.took.median - path.floor_ms) for path in paths]
    axes.barh(names, own, left=left, height=BAR, color="0.7", label="the archiver, to the median")
    for place, path in enumerate(paths):
        axes.plot([path.took.median, path.took.p90], [place, place], color="black")
        axes.plot(
            [path.took.p90], [place], "|", color="black", label="90 %" if place == 0 else None
        )
        axes.plot(
            [path.took.p99], [place], ".", color="black", label="99 %" if place == 0 else None
        )
    axes.invert_yaxis()
    axes.set_title(f"appendfsync {fsync}", fontsize=9)
    axes.set_xlabel("ms")
    axes.legend(fontsize=8)


def _growth(axes: Axes, growth: list[Growth]) -> None:
    """Draw each path's ratio to its floor by the number of images in the ledger and in progress."""
    names = [f"{one.ledger}\n{one.in_work}" for one in growth]
    for path in growth[0].paths:
        axes.plot(
            names, [one.paths[path].median / one.floor_ms[path] for one in growth], "o-", label=path
        )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("images in the ledger, images in progress")
    axes.set_ylabel("median / floor")
    axes.legend(fontsize=8)
