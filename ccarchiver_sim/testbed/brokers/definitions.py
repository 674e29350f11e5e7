"""The definitions of a private RabbitMQ: a user and virtual hosts.

The server imports them when it starts. One rabbitmqctl command takes a second and a half, and its
command line would contain the password.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Sequence
from pathlib import Path

SALT_BYTES = 4
"""Length that RabbitMQ's rabbit_password_hashing_sha256 requires."""
SECRET_FILE_MODE = 0o600


def hash_password(password: str) -> str:
    """Return a password as RabbitMQ stores it: base64 of salt and SHA-256 of salt and password."""
    salt = secrets.token_bytes(SALT_BYTES)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def write_definitions(
    path: Path, user: str, password: str, vhosts: Sequence[str], queue_type: str | None = None
) -> None:
    """Write a definitions file with one user who has all permissions in each virtual host.

    `queue_type` is the default type of queues in these virtual hosts, if not that of RabbitMQ.
    """
    metadata = {} if queue_type is None else {"metadata": {"default_queue_type": queue_type}}
    definitions = {
        "users": [
            {
                "name": user,
                "password_hash": hash_password(password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "administrator",
            }
        ],
        "vhosts": [{"name": vhost, **metadata} for vhost in vhosts],
        "permissions": [
            {"user": user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}
            for vhost in vhosts
        ],
    }
    path.touch(mode=SECRET_FILE_MODE)
    path.write_text(json.dumps(definitions, indent=1), encoding="utf-8")
