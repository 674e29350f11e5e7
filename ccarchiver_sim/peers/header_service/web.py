"""HTTP server of the header files on loopback."""

from __future__ import annotations

import functools
import logging
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from ccarchiver_sim.peers.common.runloop import PeerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST: Final = "127.0.0.1"
"""The simulator serves only its own machine."""

MIME_TYPE: Final = "application/yaml"

log = logging.getLogger(__name__)


class _Handler(SimpleHTTPRequestHandler):
    """HTTP handler for the files of one folder, without a directory list."""

    @override
    def guess_type(self, path: object) -> str:
        return MIME_TYPE

    @override
    def list_directory(self, path: object) -> None:
        self.send_error(404, "no directory list; request a header by its URL")

    @override
    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)


@contextmanager
def serve_folder(folder: Path, port: int) -> Iterator[str]:
    """Serve the files of a folder for the time of a block.

    Parameters
    ----------
    folder : `Path`
        The folder.
    port : `int`
        Port on which to listen; 0 selects a free one.

    Yields
    ------
    base : `str`
        HTTP address of the folder, without a slash at the end.

    Raises
    ------
    PeerError
        If the port is in use.
    """
    handler = functools.partial(_Handler, directory=str(folder))
    try:
        server = ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        raise PeerError(
            f"cannot listen on {HOST}:{port}: {error.strerror}; set another --port"
        ) from error
    with server:
        thread = threading.Thread(target=server.serve_forever, name="http", daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
