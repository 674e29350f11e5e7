"""Entry point of the program ``run_ccarchiver_health``."""

from __future__ import annotations

import sys

import ccarchiver_core.log.plain_structlog  # noqa: F401  before all that imports structlog

# isort: split

from ccarchiver_core.base.resilient_output import resilient_output
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.worker import run
from ccarchiver_health.health import work


@resilient_output()
def main() -> None:
    """Run the health worker until SIGTERM or SIGINT."""
    sys.exit(
        run(Worker.HEALTH, "CCArchiver's health worker: pairing, liveness, housekeeping", work)
    )


if __name__ == "__main__":
    main()
