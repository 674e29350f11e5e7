"""The users and passwords for RabbitMQ and Redis, from a file that nobody else may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from ccarchiver_core.base.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

CREDENTIAL_FILE = "iip_cred.yaml"
CREDENTIAL_DIR_VARIABLE = "IIP_CREDENTIAL_DIR"
SYSTEMD_VARIABLE = "CREDENTIALS_DIRECTORY"
"""Set by systemd for a unit with LoadCredential=; it makes that directory, on a file system that is never swapped."""
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600


RABBITMQ, REDIS = "rabbitmq_users", "redis_users"
"""The two mappings of the file; a site of the replaced archiver has only the first."""


class Credentials(BaseModel):
    """A user and a password; the password never shows in a text form of this object."""

    model_config = ConfigDict(frozen=True)

    user: str = Field(min_length=1, validation_alias="service_user")
    password: SecretStr = Field(validation_alias="service_passwd")


def credentials_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Give the file's place: ``$IIP_CREDENTIAL_DIR``, else where systemd has put it, else ``~/.lsst``."""
    folder = environ.get(CREDENTIAL_DIR_VARIABLE)
    of_systemd = environ.get(SYSTEMD_VARIABLE)
    if not folder and of_systemd and os.path.exists(os.path.join(of_systemd, CREDENTIAL_FILE)):  # noqa: PTH110, PTH118  Path.exists raises for a directory of somebody else
        folder = of_systemd
    return (Path(folder) if folder else Path.home() / ".lsst") / CREDENTIAL_FILE


def load_credentials(path: Path | None = None) -> Credentials:
    """Read RabbitMQ's user and password after checking who else could; safe to repeat.

    Raises
    ------
    ConfigError
        If a mode is too wide (with the chmod command that mends it), or the file is missing or malformed.
        The file's content is never part of the text.
    """
    return _load(RABBITMQ, path)


def load_redis_credentials(path: Path | None = None) -> Credentials:
    """Read Redis' user and password, for a site with ``REDIS_LOGIN: true``; otherwise like `load_credentials`."""
    return _load(REDIS, path)


def _load(section: str, path: Path | None) -> Credentials:
    path = credentials_path() if path is None else path
    try:
        if os.environ.get(SYSTEMD_VARIABLE) == str(path.parent):
            _require_private(path.parent)
            _require_private(path)
        else:
            _require_mode(path.parent, DIRECTORY_MODE)
            _require_mode(path, FILE_MODE)
        document = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
    except FileNotFoundError as error:
        msg = (
            f"{error.filename}: no such file; RabbitMQ's credentials belong in {path} "
            f"(set {CREDENTIAL_DIR_VARIABLE} to use another directory)"
        )
        raise ConfigError(msg) from None
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(msg) from None
    except yaml.YAMLError:
        msg = f"{path}: not valid YAML"  # the parser's own text would quote the password's line
        raise ConfigError(msg) from None
    users = document.get(section) if isinstance(document, dict) else None
    try:
        return Credentials.model_validate(users)
    except ValidationError:
        msg = f"{path}: must have the mapping {section} with service_user and service_passwd, both text"
        raise ConfigError(msg) from None


def _require_mode(path: Path, wanted: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode != wanted:
        why = " lets others in" if mode & 0o077 else ""
        msg = f"{path}: mode {mode:o}{why}; it must be {wanted:o}: chmod {wanted:o} {path}"
        raise ConfigError(msg)


def _require_private(path: Path) -> None:
    """Check what systemd made, with modes of its own: 500 and 400, or 550 and 440 of root with an access list.

    With an access list the group's bits are the list's mask; they let nobody in but the unit's user, and root's group.
    """
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    allowed = 0o750 if status.st_uid == status.st_gid == 0 else 0o700
    if mode & ~allowed or status.st_uid not in {0, os.getuid()}:
        msg = (
            f"{path}: mode {mode:o} of user {status.st_uid} lets others in, so systemd did not make it; "
            f"unset {SYSTEMD_VARIABLE}, or let LoadCredential= of the unit make it"
        )
        raise ConfigError(msg)
