"""A settable wall clock for the programs of one run, which an operator or NTP would set.

The programs load a small library (``clock.c``), which any C compiler builds here. libfaketime would
do the same for most programs, but with the version of Debian 12 every `time.sleep` of Python fails,
and Redis never starts.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from ccarchiver_sim import pace

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE = Path(__file__).parent / "clock.c"
COMPILERS = ("cc", "gcc", "tcc")
"""C compilers, of which `make setup-tests` installs one if none exists."""
OFFSET = struct.Struct("@l")
COMPILE_LIMIT_S = 60


class FakeClock:
    """The wall clock of one run.

    Parameters
    ----------
    folder
        Folder for the library and the clock's file.
    """

    def __init__(self, folder: Path) -> None:
        self._library = folder / "clock.so"
        self._file = folder / "clock"
        self._offset_s = 0
        self._file.write_bytes(OFFSET.pack(0))
        compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
        assert compiler is not None, f"none of {', '.join(COMPILERS)} found; run `make setup-tests`"
        command = [compiler, "-shared", "-fPIC", "-nostdlib", "-o", str(self._library), str(SOURCE)]
        pace.run(command, COMPILE_LIMIT_S, check=True)

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the variables for programs that use this clock."""
        return {"LD_PRELOAD": str(self._library), "CCARCHIVER_TEST_CLOCK": str(self._file)}

    def jump(self, by_s: int) -> None:
        """Set the clock forward or back; all programs with this clock see it immediately."""
        self._offset_s += by_s
        with self._file.open("r+b") as file:  # the same file, because the programs have it mapped
            file.write(OFFSET.pack(self._offset_s))
