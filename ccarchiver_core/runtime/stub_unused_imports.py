"""Stubs for modules that salobj imports and the archiver never uses.

salobj 6.9 imports boto3, botocore and moto, a client and a simulator of object stores, for its
``AsyncS3Bucket``. Measured, they add 18 MB to the CSC's memory and 0.4 s to its start, during which
the camera's events wait.
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
"""Names of the modules; each one follows its package."""


class _Stub(types.ModuleType):
    """A stub in place of a module; the use of any attribute raises an error with the reason."""

    @override
    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # the import system reads some of these
            raise AttributeError(name)
        raise ImportError(
            f"{self.__name__}.{name} is not available: "
            "the archiver imports salobj without its object store"
        )


@contextlib.contextmanager
def stubbed_imports() -> Iterator[None]:
    """Replace the modules by stubs within this block; later imports get the real modules."""
    placed = {name: _Stub(name) for name in NAMES if name not in sys.modules}
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
