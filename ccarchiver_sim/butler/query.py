"""What a repository has, as anyone who opens it sees it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lsst.daf.butler import Butler, MissingDatasetTypeError

from ccarchiver_sim.butler.creation import RAW

if TYPE_CHECKING:
    from pathlib import Path


def datasets_by_image(root: Path, collection: str) -> Counter[str]:
    """Return the number of raw datasets of each image, by the name of the image.

    Raises
    ------
    FileNotFoundError
        If there is no repository.
    """
    with Butler.from_config(str(root), writeable=False) as butler:
        try:
            refs = butler.query_datasets(
                RAW, collection, with_dimension_records=True, explain=False, limit=None
            )
        except MissingDatasetTypeError:
            return Counter()
        exposures = (ref.dataId.records["exposure"] for ref in refs)
        return Counter(str(record.obs_id) for record in exposures if record is not None)
