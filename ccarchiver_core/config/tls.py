"""Encryption of connections: TLS contexts that verify the server's certificate and name."""

from __future__ import annotations

import re
import ssl
import stat
from typing import TYPE_CHECKING

from ccarchiver_core.base.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_core.config.site_sections import Tls

MIN_TLS_VERSION = ssl.TLSVersion.TLSv1_2
"""RFC 8996 forbids older versions."""

READABLE_BY_OTHERS = 0o077

REMEDY = (
    'docs/operations/brokers.md, "Encrypted connections": CA_FILE, CERT_FILE, '
    "the name in the server's certificate"
)
"""Remedy for an encryption error. Neither side needs a restart afterwards."""


_OF_TLS = re.compile(r"certificate|ssl(?!=)", re.IGNORECASE)
"""Words of errors about encryption. pika's texts about other errors contain ``ssl=False``."""


def is_of_tls(text: str) -> bool:
    """Return whether an error text is about encryption.

    Only the text tells it, because OpenSSL, redis-py and pika wrap such errors in other ones.
    """
    return _OF_TLS.search(text) is not None


def client_context(tls: Tls, section: str) -> ssl.SSLContext:
    """Return the TLS context of a client, which verifies the server's certificate and name.

    It is safe to repeat.

    Parameters
    ----------
    tls : `Tls`
        The section of the site file.
    section : `str`
        Name of that section, for error messages.

    Raises
    ------
    ConfigError
        If a file is missing or invalid, or if the private key is readable by other users. The text
        names section, key and file.
    """
    if tls.ca_file is not None:
        _require_readable(tls.ca_file, f"{section}.CA_FILE")
    try:
        # With a CA_FILE, no certificate authority of the system is trusted.
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca_file)
    except ssl.SSLError:
        raise ConfigError(f"{section}.CA_FILE: {tls.ca_file}: has no PEM certificate") from None
    context.minimum_version = MIN_TLS_VERSION
    if tls.cert_file is not None and tls.key_file is not None:
        _require_readable(tls.cert_file, f"{section}.CERT_FILE")
        _require_readable(tls.key_file, f"{section}.KEY_FILE")
        _require_private(tls.key_file, f"{section}.KEY_FILE")
        try:
            # Without a callback, OpenSSL would ask on the terminal for the password of a key.
            context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_password)
        except (ssl.SSLError, _EncryptedKeyError):
            raise ConfigError(
                f"{section}: CERT_FILE {tls.cert_file} and KEY_FILE {tls.key_file} are not a "
                "certificate and its key (PEM, the key without a password)"
            ) from None
    return context


class _EncryptedKeyError(Exception):
    """The private key is encrypted with a password."""


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
        msg = f"{key}: {path}: mode {mode:o} gives other users access: chmod 600 {path}"
        raise ConfigError(msg)
