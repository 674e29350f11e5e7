"""Output of the campaign's figures as a table and as JSON."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import psutil
from rich.table import Table

from ccarchiver_sim.faults.pairs import JOINT
from ccarchiver_sim.faults.result import Result, total

HEADINGS = (
    "faults",
    "accepted",
    "delivered",
    "lost",
    "dead\nletters",
    "duplicated",
    "recovered",
    "slowest\nrecovery, s",
    "took, s",
)
GIGABYTE = 1e9


def table_of(results: Sequence[Result], seed: int) -> Table:
    """Return a table with a row for each scenario and a total."""
    table = Table(title=f"fault campaign, seed {seed}")
    table.add_column("scenario", no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    table.add_column("")
    for result in results:
        _add(table, result)
    table.add_section()
    _add(table, total(results))
    return table


def _add(table: Table, result: Result) -> None:
    counts = (
        result.faults,
        result.accepted,
        result.delivered,
        result.lost,
        result.dead_lettered,
        result.duplicated,
        result.recovered,
    )
    table.add_row(
        result.scenario.replace(JOINT, f"{JOINT.rstrip()}\n"),
        *(str(count) for count in counts),
        f"{result.slowest_recovery_s:.1f}",
        f"{result.seconds:.0f}",
        "[green]ok[/]" if result.passed else "[red]FAILED[/]",
    )


def write_json(path: Path, results: Sequence[Result], seed: int) -> None:
    """Write all figures, and the data needed to repeat the campaign."""
    document = {
        "seed": seed,
        "machine": {
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / GIGABYTE, 1),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "scenarios": [result.as_json() for result in results],
        "total": total(results).as_json(),
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
