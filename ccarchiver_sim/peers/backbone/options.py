"""Options of the simulated client of the data backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

INTERVAL_S: Final = 1.0
"""Default time between two searches for new files."""


@dataclass(frozen=True)
class BackboneOptions:
    """Options from the command line.

    Parameters
    ----------
    staging : `Path`
        Tree in which the Controller links files.
    store : `Path`
        Root of the store.
    interval : `float`
        Seconds between two searches for new files.
    delay : `float`
        Seconds to wait before each file.
    """

    staging: Path
    store: Path
    interval: float = INTERVAL_S
    delay: float = 0.0
