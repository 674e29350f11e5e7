"""How a connection to Redis is let in: login and encryption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from redis.credentials import CredentialProvider
from typing_extensions import override

from ccarchiver_core.credentials import load_redis_credentials
from ccarchiver_core.errors import ConfigError
from ccarchiver_core.tls import OLDEST, client_context

if TYPE_CHECKING:
    from ccarchiver_core.credentials import Credentials
    from ccarchiver_core.settings import Settings
    from ccarchiver_core.site_sections import Tls

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
            _log.warning("redis.login", error=str(error), effect="logging in as before")
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


def tls_options(tls: Tls) -> dict[str, Any]:
    """Give what redis-py has to know for encryption: it makes the context itself, anew for each connection.

    Raises
    ------
    ConfigError
        If a file is missing or wrong.
    """
    if not tls.use:
        return {}
    client_context(tls, "REDIS_TLS")  # redis-py would tell only at the first connection, and less
    files = {"ssl_ca_certs": tls.ca_file, "ssl_certfile": tls.cert_file, "ssl_keyfile": tls.key_file}
    return {
        "ssl": True,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_min_version": OLDEST,
        **{name: str(path) for name, path in files.items() if path is not None},
    }
