"""Login and encryption of connections to Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from redis.asyncio import SSLConnection
from redis.credentials import CredentialProvider
from typing_extensions import override

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.credentials import load_redis_credentials
from ccarchiver_core.config.site_sections import Tls
from ccarchiver_core.config.tls import client_context
from ccarchiver_core.redis.server_check import CheckedConnection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ccarchiver_core.config.credentials import Credentials
    from ccarchiver_core.config.settings import Settings

SECTION = "REDIS_TLS"

_log = structlog.get_logger(__name__)


class FileLogin(CredentialProvider):
    """Reads user and password from the credentials file at each login.

    Therefore a new password needs no restart.

    Raises
    ------
    ConfigError
        In the constructor, if the file is missing or invalid. If the file becomes invalid later,
        the last valid credentials remain in use.
    """

    def __init__(self) -> None:
        self._last = load_redis_credentials()

    @override
    def get_credentials(self) -> tuple[str, str]:
        credentials = self._read()
        return credentials.user, credentials.password.get_secret_value()

    @override
    async def get_credentials_async(self) -> tuple[str, str]:
        # The inherited method does the same, but logs a warning at each connection.
        return self.get_credentials()

    def _read(self) -> Credentials:
        try:
            self._last = load_redis_credentials()
        except ConfigError as error:
            _log.warning(
                "redis.login_file_invalid",
                error=str(error),
                effect="logging in with the last valid credentials",
            )
        return self._last


def connection_options(settings: Settings) -> dict[str, Any]:
    """Return redis-py's options for login and encryption; none for a site that uses neither.

    Raises
    ------
    ConfigError
        If a file is missing or invalid.
    """
    login = {"credential_provider": FileLogin()} if settings.redis_login else {}
    return login | tls_options(settings.redis_tls)


class EncryptedConnection(SSLConnection):
    """Creates the archiver's own TLS context at each connection attempt.

    Therefore a renewed certificate needs no restart. redis-py would never replace its first
    context, and would trust the system's certificate authorities in addition to CA_FILE.
    """

    @override
    def _connection_arguments(self) -> Mapping[str, Any]:
        files = self.ssl_context
        tls = Tls.model_validate(
            {
                "USE": True,
                "CA_FILE": files.ca_certs,
                "CERT_FILE": files.certfile,
                "KEY_FILE": files.keyfile,
            }
        )
        try:
            files.context = client_context(tls, SECTION)
        except ConfigError as error:
            # redis-py turns an OSError into a ConnectionError, so the caller waits and logs it.
            raise OSError(str(error)) from None
        return super()._connection_arguments()


class EncryptedCheckedConnection(CheckedConnection, EncryptedConnection):
    """An encrypted connection to a Redis, not to a Sentinel."""


def tls_options(tls: Tls) -> dict[str, Any]:
    """Return redis-py's options for encryption.

    The connection class of the pool must be derived from `EncryptedConnection`.

    Raises
    ------
    ConfigError
        If a file is missing or invalid.
    """
    if not tls.use:
        return {}
    client_context(tls, SECTION)  # report an invalid file now, not at the first connection
    files = {
        "ssl_ca_certs": tls.ca_file,
        "ssl_certfile": tls.cert_file,
        "ssl_keyfile": tls.key_file,
    }
    return {
        "ssl": True,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        **{name: str(path) for name, path in files.items() if path is not None},
    }
