"""The program ``run_ccarchiver_bridge``."""

from __future__ import annotations

import sys

import ccarchiver_core.log.plain_structlog  # noqa: F401  before all that imports structlog

# isort: split

from ccarchiver_bridge.bridge import work
from ccarchiver_core.base.resilient_output import resilient_output
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.worker import run


@resilient_output()
def main() -> None:
    """Run the bridge until SIGTERM or SIGINT."""
    sys.exit(
        run(Worker.BRIDGE, "CCArchiver's bridge to RabbitMQ: Forwarder, Controller, OODS", work)
    )


if __name__ == "__main__":
    main()
