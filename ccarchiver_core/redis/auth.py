"""How a connection to Redis is let in: login and encryption."""

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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ccarchiver_core.config.credentials import Credentials
    from ccarchiver_core.config.settings import Settings

SECTION = "REDIS_TLS"

_log = structlog.get_logger(__name__)


class FileLogin(CredentialProvider):
    """Logs in with what the credentials file has at that time: a new password needs no restart.

    Raises
    ------
    ConfigError
        When it is made, if the file is missing or wrong. Later the last good one is used on.
    """

    def __init__(self) -> None:
        self._last = load_redis_credentials()

    @override
    def get_credentials(self) -> tuple[str, str]:
        found = self._read()
        return found.user, found.password.get_secret_value()

    @override
    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()  # redis-py's own does the same, and warns of it at each connection

    def _read(self) -> Credentials:
        try:
            self._last = load_redis_credentials()
        except ConfigError as error:
            _log.warning("redis.login_file_invalid", error=str(error), effect="logging in as before")
        return self._last


def connection_options(settings: Settings) -> dict[str, Any]:
    """Give what redis-py has to know for login and encryption; nothing for a site with neither.

    Raises
    ------
    ConfigError
        If a file is missing or wrong.
    """
    login = {"credential_provider": FileLogin()} if settings.redis_login else {}
    return login | tls_options(settings.redis_tls)


class EncryptedConnection(SSLConnection):
    """Has a context of ours, made anew each time it connects: a renewed certificate needs no restart.

    redis-py would keep its first context for ever, and beside CA_FILE believe whom the system believes.
    """

    @override
    def _connection_arguments(self) -> Mapping[str, Any]:
        files = self.ssl_context
        tls = Tls.model_validate(
            {"USE": True, "CA_FILE": files.ca_certs, "CERT_FILE": files.certfile, "KEY_FILE": files.keyfile}
        )
        try:
            files.context = client_context(tls, SECTION)
        except ConfigError as error:
            raise OSError(str(error)) from None  # redis-py makes "not connected" of it: who waits says why
        return super()._connection_arguments()


def tls_options(tls: Tls) -> dict[str, Any]:
    """Give what redis-py has to know for encryption; the pool's connections must be `EncryptedConnection`.

    Raises
    ------
    ConfigError
        If a file is missing or wrong.
    """
    if not tls.use:
        return {}
    client_context(tls, SECTION)  # a wrong file shows at once, not at the first connection
    files = {"ssl_ca_certs": tls.ca_file, "ssl_certfile": tls.cert_file, "ssl_keyfile": tls.key_file}
    return {
        "ssl": True,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        **{name: str(path) for name, path in files.items() if path is not None},
    }
