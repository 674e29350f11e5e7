"""What a repository has, as anyone who opens it sees it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from lsst.daf.butler import Butler, MissingDatasetTypeError

from ccarchiver_sim.butler.creation import RAW


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


def files_of_image(root: Path, collection: str, obsid: str) -> dict[str, Path]:
    """Return the raw files of an image, by the full names of their CCDs.

    Raises
    ------
    FileNotFoundError
        If there is no repository.
    """
    instrument, _, _ = collection.partition("/")
    with Butler.from_config(str(root), writeable=False) as butler:
        refs = butler.query_datasets(
            RAW,
            collection,
            where="instrument = name AND exposure.obs_id = obsid",
            bind={"name": instrument, "obsid": obsid},
            with_dimension_records=True,
            explain=False,
        )
        detectors = ((ref, ref.dataId.records["detector"]) for ref in refs)
        return {
            str(record.full_name): Path(butler.getURI(ref).ospath)
            for ref, record in detectors
            if record is not None
        }
