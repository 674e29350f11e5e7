"""Creation of a Butler repository, and the registration of its instrument."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lsst.daf.butler import Butler, Config, DatasetType
from lsst.daf.butler.registry import ConflictingDefinitionError
from lsst.daf.butler.registry.interfaces import SchemaAlreadyDefinedError

from ccarchiver_sim.butler.errors import RepositoryError

if TYPE_CHECKING:
    from ccarchiver_sim.butler.instrument import Instrument

RAW: Final = "raw"
"""Name of the dataset type of raw files, as in the observatory's repositories."""

DIMENSIONS: Final = ("instrument", "exposure", "detector")

STORAGE_CLASS: Final = "FitsFile"
"""Name of the type in which the Butler returns a raw file. The observatory's own type,
`Exposure`, needs its image library, which package indexes do not have."""

CONFIGURATION: Final = {
    "storageClasses": {STORAGE_CLASS: {"pytype": "astropy.io.fits.HDUList"}},
    "datastore": {
        "formatters": {STORAGE_CLASS: "ccarchiver_sim.butler.formatter.RawFormatter"},
    },
}

CONFIGURATION_FILE: Final = "butler.yaml"
"""File in the root of a repository; a folder without it is not a repository."""

MAX_EXPOSURE: Final = 9999_12_31_99999
MAX_DETECTOR: Final = 999
"""Limits of the numbers that may be assigned to exposures and detectors."""


def create(root: Path, registry: str | None = None) -> None:
    """Create an empty repository unless there is one; another process may do the same.

    Parameters
    ----------
    root : `Path`
        Its root.
    registry : `str`, optional
        Address of an empty PostgreSQL database for its registry; by default, the registry is a file
        of SQLite in the repository.

    Raises
    ------
    RepositoryError
        If the database has tables of another repository.
    """
    if (root / CONFIGURATION_FILE).exists():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    # A repository with this name is always complete: a process that is killed leaves only a
    # temporary folder.
    unfinished = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        Butler.makeRepo(str(unfinished / root.name), config=_configuration(registry))
        try:
            (unfinished / root.name).rename(root)
        except OSError:
            if not (root / CONFIGURATION_FILE).exists():
                raise
    except SchemaAlreadyDefinedError as error:
        raise RepositoryError(
            f"the database for the Butler repository {root} has the tables of another one, or of "
            "an attempt that was interrupted; use an empty database"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _configuration(registry: str | None) -> Config:
    where = {} if registry is None else {"registry": {"db": registry}}
    return Config({**CONFIGURATION, **where})


def register(butler: Butler, instrument: Instrument) -> None:
    """Register an instrument, its detectors, the dataset type and the collection.

    Nothing is written if all of them are registered already.

    Raises
    ------
    RepositoryError
        If the repository has another instrument of the same name.
    """
    if _is_registered(butler, instrument):
        return
    try:
        with butler.transaction():
            butler.registry.syncDimensionData("instrument", _instrument_record(instrument))
            for record in _detector_records(instrument):
                butler.registry.syncDimensionData("detector", record)
        # The Butler creates tables and runs outside of a transaction.
        butler.registry.registerDatasetType(
            DatasetType(RAW, DIMENSIONS, STORAGE_CLASS, universe=butler.dimensions)
        )
    except ConflictingDefinitionError as error:
        raise RepositoryError(
            f"the Butler repository has another instrument {instrument.name} than the site file: "
            f"{error}; use another repository, or correct ATS in the site file"
        ) from error
    butler.collections.register(instrument.collection)


def _is_registered(butler: Butler, instrument: Instrument) -> bool:
    # The collection is registered last.
    if instrument.collection not in butler.collections.query("*"):
        return False
    known = butler.query_dimension_records("detector", instrument=instrument.name, explain=False)
    return {(record.id, record.full_name) for record in known} == {
        (detector.number, detector.full_name) for detector in instrument.detectors
    }


def _instrument_record(instrument: Instrument) -> dict[str, object]:
    return {
        "name": instrument.name,
        "visit_max": MAX_EXPOSURE,
        "exposure_max": MAX_EXPOSURE,
        "detector_max": MAX_DETECTOR,
        "class_name": instrument.class_name,
    }


def _detector_records(instrument: Instrument) -> list[dict[str, object]]:
    return [
        {
            "instrument": instrument.name,
            "id": detector.number,
            "full_name": detector.full_name,
            "name_in_raft": detector.name,
            "raft": detector.raft,
            "purpose": detector.purpose,
        }
        for detector in instrument.detectors
    ]
