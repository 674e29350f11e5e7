"""The part of lsst.ts.utils that ts-salobj 6.9 uses: stand-in for the genuine ts-utils."""

import importlib
from typing import TYPE_CHECKING, Any

from genuine_first import hand_over

if not hand_over(__name__, __file__):
    if TYPE_CHECKING:
        from lsst.ts.utils.angles import (
            AngleOrDegType,
            angle_diff,
            angle_wrap_center,
            angle_wrap_nonnegative,
            assert_angles_almost_equal,
        )
    from lsst.ts.utils.environment import modify_environ
    from lsst.ts.utils.misc import index_generator, make_done_future
    from lsst.ts.utils.tai import (
        MJD_MINUS_UNIX_SECONDS,
        SECONDS_PER_DAY,
        astropy_time_from_tai_unix,
        current_tai,
        tai_from_utc,
        tai_from_utc_unix,
        utc_from_tai_unix,
    )

    __version__ = "0.1.0"
    __all__ = [
        "MJD_MINUS_UNIX_SECONDS",
        "SECONDS_PER_DAY",
        "AngleOrDegType",
        "__version__",
        "angle_diff",
        "angle_wrap_center",
        "angle_wrap_nonnegative",
        "assert_angles_almost_equal",
        "astropy_time_from_tai_unix",
        "current_tai",
        "index_generator",
        "make_done_future",
        "modify_environ",
        "tai_from_utc",
        "tai_from_utc_unix",
        "utc_from_tai_unix",
    ]

    _ANGLES = frozenset(
        {
            "AngleOrDegType",
            "angle_diff",
            "angle_wrap_center",
            "angle_wrap_nonnegative",
            "assert_angles_almost_equal",
        }
    )

    def __getattr__(name: str) -> Any:  # noqa: ANN401 (functions and a type)
        """Return what concerns angles; its module is imported on first use."""
        if name not in _ANGLES:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        return getattr(importlib.import_module("lsst.ts.utils.angles"), name)
