"""The encrypted side of a connection: which certificates count, and that the server is who it should be."""

from __future__ import annotations

import ssl
import stat
from typing import TYPE_CHECKING

from ccarchiver_core.base.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_core.config.site_sections import Tls

MIN_TLS_VERSION = ssl.TLSVersion.TLSv1_2
"""RFC 8996 forbids what is older."""

READABLE_BY_OTHERS = 0o077


REMEDY = (
    'docs/operations/brokers.md, "Encrypted connections": CA_FILE, CERT_FILE, the name in the server\'s certificate'
)
"""What to do about an error of the encryption: neither side has to be restarted."""


def is_of_tls(text: str) -> bool:
    """Tell by its words whether an error is one of encryption: OpenSSL, redis-py and pika wrap it in others."""
    return any(word in text.lower() for word in ("certificate", "ssl"))


def client_context(tls: Tls, section: str) -> ssl.SSLContext:
    """Make the context of a client: it verifies the server's certificate and name. Safe to repeat.

    Parameters
    ----------
    tls : `Tls`
        The section of the site file.
    section : `str`
        What that section is called, for messages.

    Raises
    ------
    ConfigError
        If a file is missing, readable by others, or not what it should be; the text names section, key and file.
    """
    if tls.ca_file is not None:
        _require_readable(tls.ca_file, f"{section}.CA_FILE")
    try:
        # a site that names an authority of its own means that no other is believed
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca_file)
    except ssl.SSLError:
        raise ConfigError(f"{section}.CA_FILE: {tls.ca_file}: has no certificate (PEM) in it") from None
    context.minimum_version = MIN_TLS_VERSION
    if tls.cert_file is not None and tls.key_file is not None:
        _require_readable(tls.cert_file, f"{section}.CERT_FILE")
        _require_readable(tls.key_file, f"{section}.KEY_FILE")
        _require_private(tls.key_file, f"{section}.KEY_FILE")
        try:
            # an encrypted key would make OpenSSL ask on the terminal; a worker has none
            context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_password)
        except (ssl.SSLError, _EncryptedKeyError):
            raise ConfigError(
                f"{section}: CERT_FILE {tls.cert_file} and KEY_FILE {tls.key_file} are not a certificate and its key "
                "(PEM, the key without a password)"
            ) from None
    return context


class _EncryptedKeyError(Exception):
    """The key file wants a password."""


def _no_password() -> str:
    raise _EncryptedKeyError


def _require_readable(path: Path, key: str) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ConfigError(f"{key}: {path}: cannot be read: {error.strerror}") from None


def _require_private(path: Path, key: str) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & READABLE_BY_OTHERS:
        raise ConfigError(f"{key}: {path}: mode {mode:o} lets others in: chmod 600 {path}")
