"""Install the IDL files into ``idl`` beside site-packages, whose path has the Python version."""  # noqa: INP001 (a build script)

import sys
from pathlib import Path

from setuptools import setup

OLDEST, NEWEST = 11, 13
"""Minor versions of Python 3 that the project supports."""
TOO_NEW = max(NEWEST, sys.version_info.minor) + 1
"""The wheel has a copy of the files for each supported version and for the one that builds it."""

IDL = sorted(str(path) for path in Path("idl").glob("*.idl"))

setup(
    data_files=[(f"lib/python3.{minor}/idl", IDL) for minor in range(OLDEST, TOO_NEW)],
    # The wheel has no files for a later version, so a later version must not install it.
    python_requires=f">=3.{OLDEST},<3.{TOO_NEW}",
)
