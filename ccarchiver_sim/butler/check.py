"""What the Butler has of the exposures of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_sim.butler.instrument import instrument_of
from ccarchiver_sim.butler.place import repository_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ccarchiver_core.config.settings import Settings


@dataclass(frozen=True)
class ButlerCheck:
    """Datasets in a repository.

    Parameters
    ----------
    repository : `Path`
        Its root.
    collection : `str`
        Collection of the raw images.
    found : mapping
        Number of datasets of each exposure, by its obsid.
    files : `int`
        Number of files of an exposure.
    """

    repository: Path
    collection: str
    found: Mapping[str, int]
    files: int

    @property
    def total(self) -> int:
        """Number of datasets of all exposures."""
        return sum(self.found.values())

    @property
    def expected(self) -> int:
        """Number of CCDs of all exposures."""
        return self.files * len(self.found)

    @property
    def is_complete(self) -> bool:
        """Whether the Butler has each CCD of each exposure, and each one once."""
        return all(count == self.files for count in self.found.values())

    @property
    def lines(self) -> list[str]:
        """Lines for people: the total, and the exposures that are not complete."""
        return [
            f"Butler: {self.total} of {self.expected} datasets in {self.collection}",
            *(
                f"  {obsid}: {count} of {self.files}"
                for obsid, count in self.found.items()
                if count != self.files
            ),
        ]

    @property
    def command(self) -> str:
        """The command with which a user lists the datasets."""
        return (
            f".venv/bin/butler query-datasets {self.repository} raw "
            f"--collections '{self.collection}'"
        )


def check_butler(settings: Settings, obsids: Sequence[str]) -> ButlerCheck:
    """Return what the Butler of a site has of some exposures.

    Raises
    ------
    FileNotFoundError
        If there is no repository.
    """
    # Loading the Butler takes a second: not at the start of a run.
    from ccarchiver_sim.butler.query import datasets_by_image  # noqa: PLC0415

    repository = repository_of(settings)
    collection = instrument_of(settings).collection
    counts = datasets_by_image(repository, collection)
    return ButlerCheck(
        repository=repository,
        collection=collection,
        found={obsid: counts[obsid] for obsid in obsids},
        files=settings.files_per_image,
    )
