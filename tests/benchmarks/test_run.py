"""One small real run: the whole archiver, the baselines, and the output of the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from benchmarks import paths
from benchmarks.baselines import RABBIT, REDIS, REDIS_HOPS, REDIS_LAX, SAL
from benchmarks.latency import measure_latency, steps_of
from benchmarks.plot import plot
from benchmarks.report import show
from benchmarks.result import Latency, Result, describe_machine
from ccarchiver_core.config.site_sections import CCDS_PER_BOARD
from ccarchiver_sim.console import make_console

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = 5
PNG = b"\x89PNG"

# Extended: the parts of a benchmark have separate tests.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.extended,
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def measured() -> tuple[Latency, int]:
    """One round, and the number of its progress steps."""
    steps = 0

    def done() -> None:
        nonlocal steps
        steps += 1

    return await measure_latency(IMAGES, 1, done), steps


async def test_latency_run_measures_every_image_on_every_path(
    measured: tuple[Latency, int],
) -> None:
    latency, steps = measured
    assert {hop: summary.count for hop, summary in latency.floors.items()} == dict.fromkeys(
        (SAL, REDIS, RABBIT, REDIS_LAX), IMAGES
    )
    for found in latency.paths.values():
        for path, result in zip(paths.PATHS, found, strict=True):
            expected = IMAGES * (CCDS_PER_BOARD if path.per_file else 1)
            assert (result.name, result.took.count, result.took.missing) == (path.name, expected, 0)
    assert steps == steps_of(IMAGES, 1)


async def test_floor_of_a_path_is_the_sum_of_its_hops(measured: tuple[Latency, int]) -> None:
    latency, _ = measured
    hop = {name: summary.median for name, summary in latency.floors.items()}
    assert all(median > 0 for median in hop.values())
    for fsync, redis in REDIS_HOPS.items():
        xfer = latency.paths[fsync][1]
        assert xfer.floor_ms == pytest.approx(hop[SAL] + hop[redis] + 3 * hop[RABBIT])
        assert xfer.ratio == pytest.approx(xfer.took.median / xfer.floor_ms)
        assert xfer.peer is not None
        assert xfer.peer.count == IMAGES


async def test_result_is_shown_plotted_and_read_again(
    measured: tuple[Latency, int], tmp_path: Path
) -> None:
    result = Result(machine=describe_machine(), latency=measured[0])
    assert Result.model_validate_json(result.model_dump_json()) == result
    console = make_console()
    with console.capture() as capture:
        show(result, console)
    assert "CC_FWDR_END_READOUT" in capture.get()
    picture = tmp_path / "result.png"
    assert plot(result, picture)
    assert picture.read_bytes().startswith(PNG)
