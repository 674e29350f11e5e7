"""The program ``command_ccarchiver``: salobj's interactive commander for this CSC."""

from __future__ import annotations

import asyncio

from lsst.ts import salobj

from ccarchiver_sal.csc import COMPONENT


def main() -> None:
    """Command the CSC from a terminal; type ``help`` there for the commands."""
    asyncio.run(salobj.CscCommander.amain(name=COMPONENT, index=None))
