"""The result table of the demo."""

from collections.abc import Sequence

from rich.table import Table

from ccarchiver_sim.testbed.delivery_check import ImageProof

NAME_WIDTH = 20
"""Length of an obsid such as CC_O_20261122_000001."""


def table_of(proofs: Sequence[ImageProof], expected: int) -> Table:
    """Return a table with a row for each exposure; `expected` is the number of its files."""
    table = Table(
        title=f"{len(proofs)} exposures, {expected} CCDs each",
        caption="files in the two staging trees; CCDs with a SAL event; "
        "seconds from endReadout to the last event",
    )
    # Never truncated, even at 80 columns: users search the logs for the obsid.
    table.add_column("exposure", no_wrap=True, min_width=NAME_WIDTH)
    for heading in ("OODS\nfiles", "DBB\nfiles", "fetched\nevents", "in OODS\nevents", "s"):
        table.add_column(heading, justify="right")
    table.add_column("", no_wrap=True)
    for proof in proofs:
        counts = (proof.oods_files, proof.dbb_files, proof.retrieved, proof.ingested)
        table.add_row(
            proof.obsid,
            *(_cell(count, expected) for count in counts),
            "-" if proof.seconds is None else f"{proof.seconds:.2f}",
            "[green]complete[/]" if proof.is_complete(expected) else "[red]missing[/]",
        )
    return table


def _cell(count: int, expected: int) -> str:
    text = f"{count}/{expected}"
    return text if count == expected else f"[red]{text}[/]"
