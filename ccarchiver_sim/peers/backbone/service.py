"""The simulated client of the data backbone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ccarchiver_sim.peers.backbone.fits_check import BadFileError, check_fits
from ccarchiver_sim.peers.backbone.place import REJECTED_NAME, TAKEN_NAME, taken, waiting
from ccarchiver_sim.peers.backbone.store import Store
from ccarchiver_sim.peers.common.runloop import print_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ccarchiver_sim.peers.backbone.options import BackboneOptions
    from ccarchiver_sim.peers.common.runloop import RunLoop

log = logging.getLogger(__name__)


class Backbone:
    """The client: takes the files of a staging tree, checks and stores them.

    Parameters
    ----------
    loop : `RunLoop`
        The process's run loop.
    options : `BackboneOptions`
        Its folders and times.
    """

    def __init__(self, loop: RunLoop, options: BackboneOptions) -> None:
        self._loop = loop
        self._options = options
        self._staging = options.staging
        self._taken = options.staging / TAKEN_NAME
        self._rejected = options.staging / REJECTED_NAME
        self._store = Store(options.store)
        self._problem = ""
        """The problem that was logged last and still exists."""

    def run(self) -> None:
        """Take files until the run loop stops."""
        self._loop.ready(staging=self._staging, store=self._options.store)
        while not self._loop.stop.is_set():
            try:
                self._take_all()
                self._problem = ""
            except OSError as error:
                self._log_once(
                    f"{error.filename or self._options.store}: {error.strerror or error}"
                )
            self._loop.stop.wait(self._options.interval)
        self._loop.wait()

    def _take_all(self) -> None:
        """Store all files, first those that were taken before and could not be stored.

        Raises
        ------
        OSError
            If a file cannot be stored now; the next ones could not be stored either.
        """
        for path, below in self._all_taken():
            if self._loop.stop.wait(self._options.delay):
                return
            self._finish(path, below)

    def _all_taken(self) -> Iterator[tuple[Path, Path]]:
        """Return the taken files, and those that wait as soon as they are taken."""
        for path in taken(self._staging):
            yield path, path.relative_to(self._taken)
        for path in waiting(self._staging):
            below = path.relative_to(self._staging)
            # The Controller can replace a file by a newer one at any time. With a renaming at the
            # beginning, what is removed at the end is what was stored.
            if _rename(path, self._taken / below):
                yield self._taken / below, below

    def _finish(self, path: Path, below: Path) -> None:
        """Check and store a file, and remove the link; reject the file if it is not complete."""
        try:
            check_fits(path)
        except BadFileError as error:
            rejected = self._rejected / below
            _rename(path, rejected)
            log.error("%s not stored: %s; moved to %s", below, error, rejected)  # noqa: TRY400 - complete
            print_event("rejected", file=below)
            return
        stored = self._store.put(path, below)
        path.unlink()
        log.info("%s stored", below)
        print_event("stored", file=below, bytes=stored.size, sha256=stored.sha256)

    def _log_once(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.error("cannot store files, trying again: %s", problem)


def _rename(path: Path, target: Path) -> bool:
    """Move a file within the tree; return False if it is no longer there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.replace(target)
    except FileNotFoundError:
        return False
    return True
