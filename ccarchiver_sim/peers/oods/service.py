"""The simulated OODS and its handling of the requests that wait."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from ccarchiver_sim.butler.errors import (
    RegistryUnavailableError,
    RepositoryError,
    RepositoryUnavailableError,
)
from ccarchiver_sim.butler.instrument import instrument_of
from ccarchiver_sim.butler.registry_address import require_postgresql
from ccarchiver_sim.butler.repository import Repository, Status
from ccarchiver_sim.peers.common import wire
from ccarchiver_sim.peers.common.queue_server import QueueServer
from ccarchiver_sim.peers.common.rabbit import MESSAGE_EXCHANGE, ConsumerOptions
from ccarchiver_sim.peers.common.runloop import PeerError
from ccarchiver_sim.peers.oods import messages
from ccarchiver_sim.peers.oods.bad_files import BadFiles
from ccarchiver_sim.peers.oods.inspection import BadFileError, inspect
from ccarchiver_sim.peers.oods.request import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ccarchiver_sim.butler.repository import RawFile, Result
    from ccarchiver_sim.peers.common.runloop import RunLoop
    from ccarchiver_sim.peers.common.site import Site
    from ccarchiver_sim.peers.common.wire import Message
    from ccarchiver_sim.peers.oods.options import OodsOptions

MAX_BATCH: Final = 500
"""Files in one transaction: more would save little, and the first status waits for the last
file."""

RETRY_S: Final = 1.0
"""Time between two attempts to write a repository that is unavailable."""

log = logging.getLogger(__name__)


class Oods:
    """The simulated OODS.

    Parameters
    ----------
    loop : `RunLoop`
        The process's run loop.
    site : `Site`
        Addresses, queues, credentials.
    options : `OodsOptions`
        Path of its repository and the release that it imitates.
    """

    def __init__(self, loop: RunLoop, site: Site, options: OodsOptions) -> None:
        settings = site.settings
        self._loop = loop
        self._settings = settings
        self._options = options
        self._bad_files = BadFiles(options.bad_files, settings.archive.oods_staging)
        self._server = QueueServer(
            loop,
            site,
            ConsumerOptions(queue=settings.queue_to_oods, prefetch=MAX_BATCH),
            MESSAGE_EXCHANGE,
        )
        self._link = self._server.link

    def run(self) -> None:
        """Handle requests until the run loop stops.

        Raises
        ------
        PeerError
            If the repository cannot be opened, or the address of its registry is wrong.
        """
        instrument = instrument_of(self._settings)
        if self._options.registry is not None:
            try:
                require_postgresql(self._options.registry)
            except RepositoryError as error:
                raise PeerError(f"--registry: {error}") from error
        try:
            repository = Repository.open(
                self._options.repository, instrument, self._options.registry
            )
        except RegistryUnavailableError as error:
            raise PeerError(str(error)) from error
        except RepositoryError as error:
            raise PeerError(f"{error}; --repository selects another one") from error
        with repository as self._repository:
            self._server.serve_batches(
                self._settings.file_ingest_request,
                self._on_requests,
                MAX_BATCH,
                repository=self._options.repository,
                collection=instrument.collection,
            )

    def _on_requests(self, received: Sequence[Message]) -> bool:
        """Handle the requests that wait; return False if the OODS ends before."""
        return self._ingest(_readable(received))

    def _ingest(self, requests: Sequence[Request]) -> bool:
        """Ingest files in one transaction, as soon as the repository can be written."""
        began = time.monotonic()
        is_reported = False
        while True:
            files = self._inspect(requests)
            requests = [request for request, _ in files]
            if not files:
                return True
            try:
                results = self._repository.ingest([file for _, file in files])
            except RepositoryUnavailableError as error:
                if not is_reported and time.monotonic() - began >= self._options.report_after:
                    is_reported = True
                    self._report_unavailable(requests, error)
                if self._loop.stop.wait(RETRY_S):
                    return False
                continue
            except Exception as error:
                log.exception("failed on %d files", len(files))
                return self._ingest_each(requests, error)
            for request, result in zip(requests, results, strict=True):
                self._report_result(request, result)
            log.info("%d files in one transaction", len(files))
            return True

    def _ingest_each(self, requests: Sequence[Request], error: Exception) -> bool:
        """Ingest each file alone after an error whose cause is one of them."""
        if len(requests) == 1:
            # SQLAlchemy adds lines with the statement.
            text, _, _ = str(error).partition("\n")
            self._report_bad(requests[0], f"{type(error).__name__}: {text}")
            return True
        return all(self._ingest([request]) for request in requests)

    def _inspect(self, requests: Sequence[Request]) -> list[tuple[Request, RawFile]]:
        """Return the requests whose files can be ingested; report the others."""
        good: list[tuple[Request, RawFile]] = []
        for request in requests:
            try:
                good.append((request, inspect(request)))
            except BadFileError as error:
                self._report_bad(request, str(error))
        return good

    def _report_result(self, request: Request, result: Result) -> None:
        if result.status is Status.REJECTED:
            self._report_bad(request, result.text)
            return
        if result.status is Status.KNOWN:
            log.info("%s: the Butler has it already, as %s", request.path.name, result.text)
        # The same text for a repeated request: the archiver publishes an equal status only once.
        self._report(
            request,
            messages.INGESTED,
            f"OBSID {request.obsid}: file {request.path} ingested into OODS",
        )

    def _report_bad(self, request: Request, reason: str) -> None:
        moved = self._bad_files.take(request.path)
        where = "" if moved is None else f"; moved to {moved}"
        description = f"OBSID {request.obsid}: file {request.path} not ingested: {reason}{where}"
        log.error("%s", description)
        self._report(request, messages.NOT_INGESTED, description)

    def _report_unavailable(self, requests: Sequence[Request], error: Exception) -> None:
        log.error("%s; %d files wait", error, len(requests))
        for request in requests:
            description = f"OBSID {request.obsid}: file {request.path} not ingested yet: {error}"
            self._report(request, messages.NOT_INGESTED, description)

    def _report(self, request: Request, code: int, description: str) -> None:
        # Some releases name the status after the request.
        name = (
            self._settings.file_ingest_request if self._options.legacy_status else messages.STATUS
        )
        report = messages.report(
            request.message, name, code, description, with_raft=not self._options.no_raft
        )
        for _ in range(2 if self._options.duplicate else 1):
            self._link.publish(self._settings.queue_from_oods, wire.encode_block(report))


def _readable(received: Sequence[Message]) -> list[Request]:
    """Return the requests that can be read; log the others."""
    requests: list[Request] = []
    for message in received:
        try:
            requests.append(Request.of(message))
        except wire.WireError as error:
            log.warning("skipped: %s", error)
    return requests
