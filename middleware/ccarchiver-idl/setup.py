"""Put the IDL files into the folder ``idl`` beside site-packages, which has the Python version in its path."""  # noqa: INP001 (a build script)

import sys
from pathlib import Path

from setuptools import setup

OLDEST, NEWEST = 11, 13
"""Minor versions of Python 3 that the project supports."""
TOO_NEW = max(NEWEST, sys.version_info.minor) + 1
"""One wheel is for all of them, and for the one that builds it: it has the files once for each version."""

IDL = sorted(str(path) for path in Path("idl").glob("*.idl"))

setup(
    data_files=[(f"lib/python3.{minor}/idl", IDL) for minor in range(OLDEST, TOO_NEW)],
    # A later version would look where the wheel puts nothing, and must not take it.
    python_requires=f">=3.{OLDEST},<3.{TOO_NEW}",
)
