"""Check of the IDL files, in which SAL's topics and fields are defined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import failure, ok, warning
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.site_sections import SalNames
from ccarchiver_core.sal_interface.comparison import compare, remedy
from ccarchiver_core.sal_interface.idl_file import read_idl
from ccarchiver_core.sal_interface.needs import needs_of
from ccarchiver_core.sal_interface.suffix import suffix_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.sal_interface.comparison import Comparison
    from ccarchiver_core.sal_interface.needs import TopicNeed

NAME = "dds.idl"

SITES_OWN = "copy the IDL files of the site's other components there"
"""What to do about files that differ from those of the other programs on the bus."""


def check(site: Site) -> Iterator[Finding]:
    """Check whether the IDL of the site's components has what the archiver needs."""
    # Imported here: a broken installation must be the finding of this check only.
    from lsst.ts.idl import get_idl_dir  # noqa: PLC0415

    names = SalNames() if site.settings_or_none is None else site.settings_or_none.sal
    yield from findings(get_idl_dir(), needs_of(names))


def findings(folder: Path, needs: dict[str, tuple[TopicNeed, ...]]) -> Iterator[Finding]:
    """Yield the findings about the IDL files in a folder."""
    comparisons = []
    for component, topics in needs.items():
        try:
            comparisons.append((compare(read_idl(folder, component), topics), topics))
        except ConfigError as error:
            found, _, action = str(error).partition("; ")
            yield failure(NAME, f"{found}: the CSC does not start", action)
    bad = False
    for comparison, topics in comparisons:
        for finding in _of_component(comparison, topics):
            bad = True
            yield finding
    versions = _versions(comparison for comparison, _ in comparisons)
    if len(versions) > 1:
        bad = True
        found = ", ".join(f"{version} ({', '.join(names)})" for version, names in versions.items())
        yield warning(NAME, f"{folder} has files of different releases: {found}", SITES_OWN)
    if not bad and len(comparisons) == len(needs):
        yield ok(NAME, _summary(folder, versions, [comparison for comparison, _ in comparisons]))


def _of_component(comparison: Comparison, needs: Iterable[TopicNeed]) -> Iterator[Finding]:
    idl = comparison.idl
    if comparison.missing:
        found = f"the IDL of {idl.component} lacks {', '.join(comparison.missing)}: {idl.label}"
        yield failure(NAME, f"{found}: the CSC does not start", remedy(idl))
    used = [idl.topics[need.topic] for need in needs if need.topic in idl.topics]
    other = [topic.name for topic in used if topic.suffix != suffix_of(idl, topic)]
    if other:
        found = (
            f"{idl.label}: the suffix of {len(other)} of {len(used)} topics, such as {other[0]}, "
            "is not the one that SAL gives to its fields: programs with the IDL of the "
            "observatory do not receive them"
        )
        yield warning(NAME, found, SITES_OWN)


def _versions(comparisons: Iterable[Comparison]) -> dict[str, list[str]]:
    """Return the components by the versions of their IDL."""
    versions: dict[str, list[str]] = {}
    for comparison in comparisons:
        idl = comparison.idl
        key = f"SAL {idl.sal_version}, XML {idl.xml_version}"
        versions.setdefault(key, []).append(idl.component)
    return versions


def _summary(
    folder: Path, versions: dict[str, list[str]], comparisons: Sequence[Comparison]
) -> str:
    names = ", ".join(comparison.idl.component for comparison in comparisons)
    left_out = [part for comparison in comparisons for part in comparison.left_out]
    text = f"{names} in {folder} ({', '.join(versions)})"
    return f"{text}; left out: {', '.join(left_out)}" if left_out else text
