"""The table at the end of the demo."""

from collections.abc import Sequence

from rich.table import Table

from ccarchiver_sim.rig.proof import ImageProof


def table_of(proofs: Sequence[ImageProof], expected: int) -> Table:
    """Return a table with a row for each exposure; `expected` is the number of files an image has."""
    table = Table(title=f"{len(proofs)} exposures, {expected} CCDs each")
    table.add_column("exposure")
    for heading in ("OODS files", "DBB files", "retrieved", "in OODS"):
        table.add_column(heading, justify="right")
    table.add_column("s from endReadout\nto last event", justify="right")
    table.add_column("")
    for proof in proofs:
        counts = (proof.oods_files, proof.dbb_files, proof.retrieved, proof.ingested)
        table.add_row(
            proof.obsid,
            *(_cell(count, expected) for count in counts),
            "-" if proof.seconds is None else f"{proof.seconds:.2f}",
            "[green]complete[/]" if proof.is_complete(expected) else "[red]INCOMPLETE[/]",
        )
    return table


def _cell(count: int, expected: int) -> str:
    text = f"{count}/{expected}"
    return text if count == expected else f"[red]{text}[/]"
