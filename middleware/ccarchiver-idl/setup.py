"""Put the IDL files into the folder ``idl`` beside site-packages, which has the Python version in its path."""  # noqa: INP001 (a build script)

import sys
from pathlib import Path

from setuptools import setup

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

setup(
    data_files=[(f"lib/python{VERSION}/idl", sorted(str(path) for path in Path("idl").glob("*.idl")))],
    # The path makes the wheel fit this Python version only; a tag alone would let later ones take it.
    python_requires=f"=={VERSION}.*",
    options={"bdist_wheel": {"python_tag": f"py{sys.version_info.major}{sys.version_info.minor}"}},
)
