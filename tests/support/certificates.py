"""Certificates for one test run: an authority, and what it signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme

from ccarchiver_sim.testbed.brokers.server import ServerTls

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE_MODE = 0o600


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as files."""

    ca: Path
    cert: Path
    key: Path

    @property
    def section(self) -> dict[str, object]:
        """The section of a site file that uses it."""
        return {"USE": True, "CA_FILE": str(self.ca), "CERT_FILE": str(self.cert), "KEY_FILE": str(self.key)}

    @property
    def server(self) -> ServerTls:
        """For a private server."""
        return ServerTls(self.ca, self.cert, self.key)


class Authority:
    """Signs certificates, valid for the time of a test.

    Parameters
    ----------
    folder
        Where the files go; made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def sign(self, *names: str) -> Certificate:
        """Give a certificate for host names or addresses, or, without any, one for a client."""
        issued = self._ca.issue_cert(*names) if names else self._ca.issue_cert("archiver@observatory.example")
        stem = names[0] if names else "client"
        cert, key = self._folder / f"{stem}.pem", self._folder / f"{stem}.key"
        issued.cert_chain_pems[0].write_to_path(str(cert))
        key.touch(mode=PRIVATE_MODE)
        issued.private_key_pem.write_to_path(str(key))
        return Certificate(self.ca, cert, key)
