"""A Butler repository into which raw files are ingested where they are."""

from __future__ import annotations

import enum
import filecmp
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from astropy.time import Time
from lsst.daf.butler import (
    Butler,
    DatasetIdGenEnum,
    DatasetRef,
    DimensionRecord,
    FileDataset,
    Timespan,
)
from lsst.utils.db_auth import DbAuthError
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from ccarchiver_sim.butler.creation import RAW, create, register
from ccarchiver_sim.butler.errors import (
    EXTENSION,
    RepositoryError,
    registry_unavailable,
    unavailable,
)
from ccarchiver_sim.butler.registry_address import database_of
from ccarchiver_sim.butler.sqlite_lock import require_writable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from ccarchiver_sim.butler.instrument import Instrument
    from ccarchiver_sim.butler.observation import Observation

LOCK_WAIT_S: Final = 1.0
"""Time to wait for another writer, whose transaction takes milliseconds; the caller tries again."""

UNAVAILABLE: Final = (
    sqlite3.OperationalError,
    OperationalError,
    InterfaceError,  # a connection that was closed
    InternalError,  # a replica of PostgreSQL, which is read-only
    OSError,
)
"""Errors whose cause is the repository, not a file."""


@dataclass(frozen=True)
class RawFile:
    """A file to ingest: its path, the full name of its CCD, and its exposure."""

    path: Path
    detector: str
    observation: Observation


class Status(enum.Enum):
    """The result for one file."""

    INGESTED = enum.auto()
    """It is a new dataset of the repository."""
    KNOWN = enum.auto()
    """The repository had it already."""
    REJECTED = enum.auto()
    """It cannot be ingested."""


@dataclass(frozen=True)
class Result:
    """The status of a file; the text names the reason for a rejection, or the known file."""

    status: Status
    text: str = ""


class Repository:
    """A repository of one instrument. Only one thread at a time may use it.

    Parameters
    ----------
    root : `Path`
        Root of the repository.
    instrument : `Instrument`
        The camera.
    butler : `Butler`
        The repository, opened for writing.
    """

    def __init__(self, root: Path, instrument: Instrument, butler: Butler) -> None:
        self.root = root
        self.instrument = instrument
        self._butler = butler
        self._numbers = {one.full_name: one.number for one in instrument.detectors}

    @classmethod
    def open(cls, root: Path, instrument: Instrument, registry: str | None = None) -> Self:
        """Open a repository; create it and register the instrument if necessary.

        Parameters
        ----------
        root : `Path`
            Root of the repository.
        instrument : `Instrument`
            The camera.
        registry : `str`, optional
            Address of the PostgreSQL database of a new repository; SQLite by default.

        Raises
        ------
        RepositoryUnavailableError
            If it cannot be created or written.
        RepositoryError
            If it has another instrument of the same name, or its database cannot be used.
        """
        try:
            create(root, registry)
            butler = Butler.from_config(str(root), writeable=True)
            register(butler, instrument)
        except (OperationalError, OSError) as error:
            database = database_of(root, registry)
            if database is not None and isinstance(error, OperationalError):
                raise registry_unavailable(root, database, error) from error
            raise unavailable(root, error) from error
        except RuntimeError as error:
            # The Butler has no class of its own for a database without the extension.
            is_known = isinstance(error, DbAuthError) or EXTENSION in str(error)
            database = database_of(root, registry)
            if database is None or not is_known:
                raise
            raise registry_unavailable(root, database, error) from error
        except ModuleNotFoundError as error:
            raise RepositoryError(
                f"the Butler repository {root} has its registry in PostgreSQL: {error}; install "
                "it: pip install -r requirements-simulators.txt"
            ) from error
        return cls(root, instrument, butler)

    def ingest(self, files: Sequence[RawFile]) -> list[Result]:
        """Ingest files in one transaction.

        Returns
        -------
        results : `list` [`Result`]
            Result for each file, in the same sequence.

        Raises
        ------
        RepositoryUnavailableError
            If the repository cannot be written now; then it has none of the new files.
        """
        try:
            require_writable(self.root, LOCK_WAIT_S)
            with self._butler.transaction():
                return self._ingest(files)
        except UNAVAILABLE as error:
            raise unavailable(self.root, error) from error

    def _ingest(self, files: Sequence[RawFile]) -> list[Result]:
        results: dict[int, Result] = {}
        conflicts = self._register_exposures(file.observation for file in files)
        known = self._known(files)
        new: dict[tuple[int, int], RawFile] = {}
        for place, file in enumerate(files):
            number = self._numbers.get(file.detector)
            if number is None:
                results[place] = self._unknown_detector(file.detector)
                continue
            if (conflict := conflicts.get(file.observation)) is not None:
                results[place] = Result(Status.REJECTED, conflict)
                continue
            key = (file.observation.exposure_id, number)
            other = new[key].path if key in new else known.get(key)
            if other is None:
                new[key] = file
                results[place] = Result(Status.INGESTED)
            else:
                results[place] = _compare(file.path, other)
        self._butler.ingest(
            *(self._dataset(file.path, *key) for key, file in new.items()), transfer="direct"
        )
        return [results[place] for place in range(len(files))]

    def _register_exposures(self, observations: Iterable[Observation]) -> dict[Observation, str]:
        """Register exposures; return the conflicts of those that are known otherwise."""
        conflicts: dict[Observation, str] = {}
        for observation in dict.fromkeys(observations):
            wanted = self._record("exposure", _exposure(observation))
            known = self._butler.query_dimension_records(
                "exposure",
                instrument=self.instrument.name,
                exposure=observation.exposure_id,
                explain=False,
            )
            if not known:
                self._register_exposure(observation)
            elif differences := _differences(known[0], wanted):
                conflicts[observation] = (
                    f"the Butler knows exposure {observation.exposure_id} with other metadata: "
                    f"{', '.join(differences)}"
                )
        return conflicts

    def _register_exposure(self, observation: Observation) -> None:
        records: dict[str, dict[str, object]] = {
            "physical_filter": {"name": observation.physical_filter, "band": observation.band},
            "day_obs": {"id": observation.day_obs},
            "group": {"name": observation.group},
            "exposure": _exposure(observation),
        }
        for element, fields in records.items():
            self._butler.registry.syncDimensionData(element, self._record(element, fields))

    def _record(self, element: str, fields: dict[str, object]) -> DimensionRecord:
        kind = self._butler.dimensions[element].RecordClass
        return kind(instrument=self.instrument.name, **fields)

    def _known(self, files: Sequence[RawFile]) -> dict[tuple[int, int], Path]:
        """Return the paths of the datasets of the files' exposures, by exposure and detector."""
        exposures = sorted({file.observation.exposure_id for file in files})
        refs = self._butler.query_datasets(
            RAW,
            self.instrument.collection,
            where="instrument = name AND exposure IN (exposures)",
            bind={"name": self.instrument.name, "exposures": exposures},
            explain=False,
            limit=None,
        )
        return {
            (int(ref.dataId["exposure"]), int(ref.dataId["detector"])): Path(
                self._butler.getURI(ref).ospath
            )
            for ref in refs
        }

    def _dataset(self, path: Path, exposure: int, detector: int) -> FileDataset:
        data_id = self._butler.registry.expandDataId(
            instrument=self.instrument.name, exposure=exposure, detector=detector
        )
        ref = DatasetRef(
            self._butler.get_dataset_type(RAW),
            data_id,
            run=self.instrument.collection,
            # As for the observatory's raw images: each repository assigns the same identifier.
            id_generation_mode=DatasetIdGenEnum.DATAID_TYPE_RUN,
        )
        return FileDataset(path=str(path), refs=[ref])

    def _unknown_detector(self, name: str) -> Result:
        return Result(
            Status.REJECTED,
            f"{self.instrument.name} has no detector {name}, only the {len(self._numbers)} of the "
            "site file",
        )

    def close(self) -> None:
        """Close the database."""
        self._butler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _exposure(observation: Observation) -> dict[str, object]:
    """Return the fields of the record of an exposure."""
    begin, end = (
        Time(when, format="isot", scale="tai") for when in (observation.begin, observation.end)
    )
    return {
        "id": observation.exposure_id,
        "obs_id": observation.obsid,
        "physical_filter": observation.physical_filter,
        "group": observation.group,
        "day_obs": observation.day_obs,
        "exposure_time": observation.exposure_time,
        "dark_time": observation.dark_time,
        "observation_type": observation.observation_type,
        "observation_reason": observation.reason,
        "seq_num": observation.seq_num,
        "seq_start": observation.seq_num,
        "seq_end": observation.seq_num,
        "target_name": observation.target,
        "science_program": observation.program,
        "has_simulated": True,
        "can_see_sky": observation.can_see_sky,
        "timespan": Timespan(begin, end),
    }


def _differences(known: DimensionRecord, wanted: DimensionRecord) -> list[str]:
    """Return the fields in which two records of an exposure differ, with both values."""
    ours, theirs = wanted.toDict(), known.toDict()
    return [
        f"{name} {theirs[name]}, not {ours[name]}" for name in ours if ours[name] != theirs[name]
    ]


def _compare(path: Path, known: Path) -> Result:
    """Return the result for a file whose exposure and detector the repository already has."""
    if path == known:
        return Result(Status.KNOWN, str(known))
    try:
        is_same = filecmp.cmp(path, known, shallow=False)
    except OSError as error:
        return Result(
            Status.REJECTED, f"the Butler has it as {known}, which cannot be read: {error.strerror}"
        )
    if is_same:
        return Result(Status.KNOWN, str(known))
    return Result(Status.REJECTED, f"the Butler has it as {known} with other content")
