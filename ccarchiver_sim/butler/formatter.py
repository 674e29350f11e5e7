"""How the Butler reads a raw file. A repository names this class; ``butler get`` imports it."""

from __future__ import annotations

from typing import ClassVar

from astropy.io import fits
from lsst.daf.butler import FormatterV2
from typing_extensions import override


class RawFormatter(FormatterV2):
    """Reader of a raw file as a list of its FITS units.

    The files are ingested where they are, so there is nothing to write.
    """

    can_read_from_local_file: ClassVar[bool] = True
    default_extension: ClassVar[str | None] = ".fits"

    @override
    def read_from_local_file(
        self, path: str, component: str | None = None, expected_size: int = -1
    ) -> fits.HDUList:
        # Read completely: the file is closed here.
        with fits.open(path, memmap=False, lazy_load_hdus=False) as units:
            for unit in units:
                _ = unit.data
            return units
