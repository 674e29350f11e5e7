"""What salobj imports and the archiver never uses: a client of object stores, and a simulator of one.

salobj 6.9 imports boto3, botocore and moto for its ``AsyncS3Bucket``. Measured, they are 18 MB of the CSC's memory and
0.4 s of its start, in which the camera's events wait.
"""

from __future__ import annotations

import contextlib
import sys
import types
from typing import TYPE_CHECKING, NoReturn

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("boto3", "botocore", "moto", "moto.core", "moto.core.models")
"""The modules, each after the package it is in."""


class _Spared(types.ModuleType):
    """Stands where the module would be; whoever does use it is told why it is not there."""

    @override
    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # the import system asks for some
            raise AttributeError(name)
        raise ImportError(f"{self.__name__}.{name} is not there: the archiver imports salobj without its object store")


@contextlib.contextmanager
def spared() -> Iterator[None]:
    """Let what is imported in this block do without the modules; what is imported after it gets the real ones."""
    placed = {name: _Spared(name) for name in NAMES if name not in sys.modules}
    for name, module in placed.items():
        sys.modules[name] = module
        package, _, last = name.rpartition(".")
        if package in placed:
            setattr(placed[package], last, module)
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]
