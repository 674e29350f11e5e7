"""The result table of the demo."""

from collections.abc import Sequence

from rich.table import Table

from ccarchiver_sim.testbed.delivery_check import DeliveryCheck

NAME_WIDTH = 20
"""Length of an obsid such as CC_O_20261122_000001."""


def table_of(checks: Sequence[DeliveryCheck], expected: int) -> Table:
    """Return a table with a row for each exposure; `expected` is the number of its files."""
    table = Table(
        title=f"{len(checks)} exposures, {expected} CCDs each",
        caption="files of the OODS and of the data backbone; CCDs with a SAL event; "
        "seconds from endReadout to the last event",
    )
    # Never truncated, even at 80 columns: users search the logs for the obsid.
    table.add_column("exposure", no_wrap=True, min_width=NAME_WIDTH)
    for heading in ("OODS\nfiles", "DBB\nfiles", "fetched\nevents", "in OODS\nevents", "s"):
        table.add_column(heading, justify="right")
    table.add_column("", no_wrap=True)
    for check in checks:
        counts = (check.oods_files, check.dbb_files, check.retrieved, check.ingested)
        table.add_row(
            check.obsid,
            *(_cell(count, expected) for count in counts),
            "-" if check.seconds is None else f"{check.seconds:.2f}",
            "[green]complete[/]" if check.is_complete(expected) else "[red]missing[/]",
        )
    return table


def _cell(count: int, expected: int) -> str:
    text = f"{count}/{expected}"
    return text if count == expected else f"[red]{text}[/]"
