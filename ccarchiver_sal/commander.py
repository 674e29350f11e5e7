"""The program ``command_ccarchiver``: salobj's interactive commander for this CSC."""

from __future__ import annotations

import asyncio
import os
import sys

from lsst.ts import salobj

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.settings import CONFIG_DIR_VARIABLE, load_settings
from ccarchiver_core.config.site_sections import SalNames
from ccarchiver_core.runtime.worker import EXIT_CONFIG


def component() -> str:
    """Name of the CSC to command: as the site file says; without a site, on a desk far from it, the usual one.

    Raises
    ------
    ConfigError
        If there is a site file, and it is wrong.
    """
    names = load_settings().sal if os.environ.get(CONFIG_DIR_VARIABLE) else SalNames()
    return names.archiver


def main() -> None:
    """Command the CSC from a terminal; type ``help`` there for the commands."""
    try:
        name = component()
    except ConfigError as error:
        sys.stderr.write(f"command_ccarchiver: {error}\n")
        sys.exit(EXIT_CONFIG)
    asyncio.run(salobj.CscCommander.amain(name=name, index=None))
