"""The program ``command_ccarchiver``: salobj's interactive commander for this CSC."""

from __future__ import annotations

import asyncio
import os
import sys

from lsst.ts import salobj

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.base.exit_codes import EXIT_CONFIG
from ccarchiver_core.base.resilient_output import resilient_output
from ccarchiver_core.config.settings import CONFIG_DIR_VARIABLE, load_settings
from ccarchiver_core.config.site_sections import SalNames


def component() -> str:
    """Return the name of the CSC to command: the site file's, or the default without a site file.

    Raises
    ------
    ConfigError
        If there is a site file and it is wrong.
    """
    names = load_settings().sal if os.environ.get(CONFIG_DIR_VARIABLE) else SalNames()
    return names.archiver


@resilient_output()
def main() -> None:
    """Command the CSC from a terminal; type ``help`` there for the commands."""
    try:
        name = component()
    except ConfigError as error:
        sys.stderr.write(f"command_ccarchiver: {error}\n")
        sys.exit(EXIT_CONFIG)
    asyncio.run(salobj.CscCommander.amain(name=name, index=None))
