"""Certificates for one test run, and the authority that signs them."""

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
        """Return the section of a site file that uses the certificate."""
        return {
            "USE": True,
            "CA_FILE": str(self.ca),
            "CERT_FILE": str(self.cert),
            "KEY_FILE": str(self.key),
        }

    @property
    def server(self) -> ServerTls:
        """Return the TLS configuration of a private server."""
        return ServerTls(self.ca, self.cert, self.key)


class Authority:
    """Signs certificates that are valid for the time of a test.

    Parameters
    ----------
    folder
        Folder for the files; it is created.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def sign(self, *names: str) -> Certificate:
        """Return a certificate for host names or addresses, or for a client if there are none."""
        issued = (
            self._ca.issue_cert(*names)
            if names
            else self._ca.issue_cert("archiver@observatory.example")
        )
        stem = names[0] if names else "client"
        cert, key = self._folder / f"{stem}.pem", self._folder / f"{stem}.key"
        issued.cert_chain_pems[0].write_to_path(str(cert))
        key.touch(mode=PRIVATE_MODE)
        issued.private_key_pem.write_to_path(str(key))
        return Certificate(self.ca, cert, key)
