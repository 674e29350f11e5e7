"""The folder of one run, which holds its configuration, credentials, logs and staging trees."""

import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

PRIVATE_DIRECTORY_MODE = 0o700
PRIVATE_FILE_MODE = 0o600
"""The archiver rejects credential files with wider modes."""
PREFIX = "ccarchiver-"
LONGEST_SOCKET_PATH = 107
"""Maximum length of a unix socket's path (sun_path of unix(7), without its terminator)."""
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+", re.ASCII)
SITE_FILE = "ccarchiver_config.yaml"
CREDENTIAL_FILE = "iip_cred.yaml"


ENVIRONMENT_FILE = "site.env"
OWN_VARIABLES = ("IIP_", "LSST_", "CCARCHIVER_", "CYCLONEDDS_")
"""Prefixes of the variables that the workers read. `ccarchiver doctor` compares the same ones."""


class RunFolder:
    """Folders and files of one run.

    Parameters
    ----------
    parent
        Folder in which to create the run folder; the system's temporary folder by default. Keep its
        path short: the path of supervisord's socket has at most 107 characters.
    """

    def __init__(self, parent: Path | None = None) -> None:
        where = parent or Path(tempfile.gettempdir())
        longest = LONGEST_SOCKET_PATH - len(f"/{PREFIX}12345678/run/supervisor.sock.1234567")
        if _PLAIN_PATH.fullmatch(str(where)) is None or len(str(where.resolve())) > longest:
            raise ValueError(
                f"the temporary folder {str(where)!r} cannot be used: its path must have at most "
                f"{longest} characters (it will hold a socket), and only letters, digits and "
                "/ . _ - (a Forwarder puts it into a shell command); set TMPDIR to another folder, "
                "for example TMPDIR=/tmp"
            )
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        self.config = self._make("config")
        self.credentials = self._make("credentials")
        self.logs = self._make("logs")
        self.run = self._make("run")
        self.brokers = self._make("brokers")
        self.forwarder_staging = self._make("staging/forwarder")
        self.oods_staging = self._make("staging/oods")
        self.dbb_staging = self._make("staging/dbb")
        self.daq = self._make("daq")

    @property
    def site_file(self) -> Path:
        """Path of the archiver's site file."""
        return self.config / SITE_FILE

    def write_site(self, settings: Mapping[str, object]) -> None:
        """Write the site file with the keys of `settings` below ROOT.

        They take precedence over the staging trees that are set here.
        """
        archive: dict[str, object] = {
            "FORWARDER_STAGING": str(self.forwarder_staging),
            "OODS_STAGING": str(self.oods_staging),
            "DBB_STAGING": str(self.dbb_staging),
        }
        given = settings.get("ARCHIVE", {})
        if not isinstance(given, Mapping):
            raise TypeError(f"ARCHIVE must be a mapping of settings, not {given!r}")
        root = {**settings, "ARCHIVE": archive | dict(given)}
        self.site_file.write_text(yaml.safe_dump({"ROOT": root}, sort_keys=False), encoding="utf-8")

    def write_credentials(self, user: str, password: str, **others: Mapping[str, str]) -> None:
        """Write RabbitMQ's user and password, and other mappings, readable only by this user."""
        path = self.credentials / CREDENTIAL_FILE
        path.touch(mode=PRIVATE_FILE_MODE)
        users = {"service_user": user, "service_passwd": password}
        path.write_text(yaml.safe_dump({"rabbitmq_users": users, **others}), encoding="utf-8")

    @property
    def environment_file(self) -> Path:
        """Path of the file with the variables for a shell.

        A shell needs them to run `ccarchiver` and `supervisorctl` on this run.
        """
        return self.root / ENVIRONMENT_FILE

    def write_environment(self, variables: Mapping[str, str]) -> None:
        """Write the archiver's own variables for a shell to read. None of them is a secret."""
        lines = [
            f"{name}={shlex.quote(value)}\n"
            for name, value in variables.items()
            if name.startswith(OWN_VARIABLES)
        ]
        self.environment_file.write_text("".join(sorted(lines)), encoding="utf-8")

    def remove(self) -> None:
        """Remove the folder with all files; safe to repeat."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _make(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(parents=True, mode=PRIVATE_DIRECTORY_MODE)
        return path
