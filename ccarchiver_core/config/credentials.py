"""The users and passwords for RabbitMQ and Redis, from a file that no other user may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.yaml_tree import compose, tree_of, written

if TYPE_CHECKING:
    from collections.abc import Mapping

CREDENTIAL_FILE = "iip_cred.yaml"
CREDENTIAL_DIR_VARIABLE = "IIP_CREDENTIAL_DIR"
SYSTEMD_VARIABLE = "CREDENTIALS_DIRECTORY"
"""Variable that systemd sets for a unit with LoadCredential=.

systemd creates the directory on a file system that is never swapped.
"""
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
"""The usual modes. Every mode is accepted that gives access only to the owner, such as 400."""

ACCESS_OF_OTHERS = 0o077


RABBITMQ, REDIS = "rabbitmq_users", "redis_users"
"""The two mappings of the file. A file of the replaced archiver has only the first."""


class Credentials(BaseModel):
    """A user and a password. No text form of this object contains the password."""

    model_config = ConfigDict(frozen=True)

    user: str = Field(min_length=1, validation_alias="service_user")
    password: SecretStr = Field(validation_alias="service_passwd")


def credentials_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the credentials file.

    The directory is ``$IIP_CREDENTIAL_DIR``, else that of systemd if it has the file, else
    ``~/.lsst``.
    """
    folder = environ.get(CREDENTIAL_DIR_VARIABLE)
    of_systemd = environ.get(SYSTEMD_VARIABLE)
    # Path.exists would raise an error for an inaccessible directory of another user.
    if not folder and of_systemd and os.path.exists(os.path.join(of_systemd, CREDENTIAL_FILE)):  # noqa: PTH110, PTH118
        folder = of_systemd
    return (Path(folder) if folder else Path.home() / ".lsst") / CREDENTIAL_FILE


def load_credentials(path: Path | None = None) -> Credentials:
    """Return the user and password for RabbitMQ; safe to repeat.

    Raises
    ------
    ConfigError
        If the file or its directory is accessible to other users (the text has the chmod command),
        or if the file is missing or malformed. The text never contains the content of the file.
    """
    return _load(RABBITMQ, path)


def load_redis_credentials(path: Path | None = None) -> Credentials:
    """Return the user and password for Redis, for ``REDIS_LOGIN: true``; see `load_credentials`."""
    return _load(REDIS, path)


def _load(section: str, path: Path | None) -> Credentials:
    path = credentials_path() if path is None else path
    try:
        if os.environ.get(SYSTEMD_VARIABLE) == str(path.parent):
            _require_private(path.parent)
            _require_private(path)
        else:
            _require_owner_only(path.parent, DIRECTORY_MODE)
            _require_owner_only(path, FILE_MODE)
        node = compose(path.read_bytes())
        document = None if node is None else tree_of(node)
    except FileNotFoundError as error:
        msg = (
            f"{error.filename}: no such file; RabbitMQ's credentials belong in {path} "
            f"(set {CREDENTIAL_DIR_VARIABLE} to use another directory)"
        )
        raise ConfigError(msg) from None
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(msg) from None
    except yaml.YAMLError as error:
        # Only the line: the parser's text could quote the password.
        mark = getattr(error, "problem_mark", None)
        where = path if mark is None else f"{path}:{mark.line + 1}"
        msg = f"{where}: not valid YAML; correct this line or the one before it"
        raise ConfigError(msg) from None
    # A password such as 0123 or 1_000 is the text in the file, not the number that YAML reads.
    users = written(document.get(section)) if isinstance(document, dict) else None
    try:
        return Credentials.model_validate(users)
    except ValidationError:
        msg = (
            f"{path}: must have the mapping {section} with service_user and service_passwd, "
            f"both text; write {section}: and, indented below it, "
            "service_user: and service_passwd:, each with its value"
        )
        raise ConfigError(msg) from None


def _require_owner_only(path: Path, usual: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & ACCESS_OF_OTHERS:
        msg = f"{path}: mode {mode:o} gives other users access: chmod {usual:o} {path}"
        raise ConfigError(msg)


def _require_private(path: Path) -> None:
    """Check a path that systemd created.

    systemd sets its own modes: 500 and 400, or 550 and 440 with owner root and an access list. With
    an access list, the group bits are the list's mask. They give access only to the unit's user and
    to root's group.
    """
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    allowed = 0o750 if status.st_uid == status.st_gid == 0 else 0o700
    if mode & ~allowed or status.st_uid not in {0, os.getuid()}:
        msg = (
            f"{path}: mode {mode:o} of user {status.st_uid} gives other users access, "
            f"so systemd did not create it; unset {SYSTEMD_VARIABLE}, "
            "or let LoadCredential= of the unit create it"
        )
        raise ConfigError(msg)
