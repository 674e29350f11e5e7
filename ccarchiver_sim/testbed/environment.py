"""Environment variables of one run, for its programs and for this process."""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config import dds_environment
from ccarchiver_core.config.dds_environment import DOMAIN, OWNERSHIP, PARTITION, PEER
from ccarchiver_sim.testbed.child_process import base_environment
from ccarchiver_sim.testbed.folder import RunFolder

SITE = "LSST_SITE"
DDS_CONFIGURATION = "CYCLONEDDS_URI"
PASSED_ON = (
    DDS_CONFIGURATION,
    "LD_LIBRARY_PATH",
    OWNERSHIP,
    PEER,
    "LSST_DDS_QOS",
    "RABBITMQ_SERVER",
    "TS_IDL_DIR",
)
"""Variables that a machine may need, and that every program of a run then gets."""
OPENSPLICE = "OSPL_"
"""Prefix of the variables of genuine OpenSplice, which every program of a run gets too."""

FIRST_DOMAIN = 1
LAST_DOMAIN = 99
"""Domain 0 is the default, also at an observatory; a rig does not use it. Above domain 230 the port
numbers are exhausted."""
TOKEN_BYTES = 4


def sal_environment() -> dict[str, str]:
    """Return the SAL variables of one run.

    The partition is unique to the run. The domain is that of the caller's environment, or a random
    one.

    Raises
    ------
    ConfigError
        If the caller's environment has a value with which SAL does not start.
    """
    span = LAST_DOMAIN - FIRST_DOMAIN + 1
    domain = os.environ.get(DOMAIN) or str(FIRST_DOMAIN + secrets.randbelow(span))
    sal = {DOMAIN: domain, PARTITION: f"rig{secrets.token_hex(TOKEN_BYTES)}", SITE: "rig"}
    wrong = "; ".join(dds_environment.problems(os.environ | sal))
    if wrong:
        raise ConfigError(f"{wrong}; correct or unset it in this shell")
    return sal


def run_environment(folder: RunFolder, sal: Mapping[str, str]) -> dict[str, str]:
    """Return the complete environment of the programs of one run."""
    base = base_environment()
    # The console scripts are in the interpreter's folder. The path is not resolved: a venv's python
    # is a link to a program outside it.
    programs = str(Path(sys.executable).parent)
    return (
        base
        | {
            name: value
            for name, value in os.environ.items()
            if name in PASSED_ON or name.startswith(OPENSPLICE)
        }
        | {
            "PATH": os.pathsep.join([programs, base.get("PATH", os.defpath)]),
            "HOME": str(folder.root),
            "IIP_CONFIG_DIR": str(folder.config),
            "IIP_CREDENTIAL_DIR": str(folder.credentials),
            "IIP_LOG_DIR": str(folder.logs),
            "CCARCHIVER_RUN_DIR": str(folder.run),
            # Unbuffered, so that a killed program's last output is in its log.
            "PYTHONUNBUFFERED": "1",
        }
        | dict(sal)
    )


@contextmanager
def applied(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables in this process for the time of a block.

    salobj reads the environment when a Domain is made.
    """
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
