"""A wall clock for the programs of one run that can be set, as an operator or a time server sets a machine's.

It is a small library loaded into them (``clock.c``), made here by whatever C compiler there is. libfaketime would do
the same for most programs, but with that of Debian 12 every `time.sleep` of Python fails, and Redis never starts.
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
"""Any of them; `make setup-tests` sees to it that one is there."""
OFFSET = struct.Struct("@l")
COMPILE_LIMIT_S = 60


class FakeClock:
    """The wall clock of one run.

    Parameters
    ----------
    folder
        Where its library and its file go.
    """

    def __init__(self, folder: Path) -> None:
        self._library = folder / "clock.so"
        self._file = folder / "clock"
        self._offset_s = 0
        self._file.write_bytes(OFFSET.pack(0))
        compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
        assert compiler is not None, f"none of {', '.join(COMPILERS)} is there; run `make setup-tests`"
        command = [compiler, "-shared", "-fPIC", "-nostdlib", "-o", str(self._library), str(SOURCE)]
        pace.run(command, COMPILE_LIMIT_S, check=True)

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables for the programs that are to have this clock."""
        return {"LD_PRELOAD": str(self._library), "CCARCHIVER_TEST_CLOCK": str(self._file)}

    def step(self, by_s: int) -> None:
        """Set the clock forward, or back; all programs that have it see it at once."""
        self._offset_s += by_s
        with self._file.open("r+b") as file:  # the same file: they have it in their memory
            file.write(OFFSET.pack(self._offset_s))
