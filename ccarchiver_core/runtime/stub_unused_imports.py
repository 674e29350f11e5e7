"""Stubs for modules that salobj imports and the archiver does not use.

salobj 6.9 imports boto3, botocore and moto, a client and a simulator of object stores, for its
``AsyncS3Bucket``. It imports astropy for deprecated functions, and numpy for one comparison.
Measured, the first three add 18 MB to the CSC's memory and 0.4 s to its start, during which the
camera's events wait; the other two add 38 MB and 0.5 s.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from typing import TYPE_CHECKING, Any, NoReturn

from typing_extensions import override

from ccarchiver_core.runtime.array_equal import array_equal

if TYPE_CHECKING:
    from collections.abc import Iterator

OBJECT_STORE = ("boto3", "botocore", "moto", "moto.core", "moto.core.models")
"""Modules that stay unavailable to salobj; each one follows its package."""

DEFERRED = (
    "astropy",
    "astropy.coordinates",
    "astropy.time",
    "astropy.units",
    "astropy.utils",
    "astropy.utils.iers",
    "numpy",
)
"""Modules that are loaded when salobj first uses one of their attributes."""

PLACEHOLDERS = {
    "astropy.coordinates": ("Angle",),
    "astropy.time": ("Time",),
    "astropy.units": ("deg",),
}
"""Attributes that salobj reads when it is imported: for annotations, and for constants that it does
not use."""


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


class _Deferred(types.ModuleType):
    """A stub in place of a module; the first use of an attribute loads the module."""

    @override
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_load(self.__name__), name)


class _Placeholder:
    """What salobj finds in place of a class or a unit while it is imported."""

    def __init__(self, *_arguments: object) -> None:
        pass


def _load(name: str) -> types.ModuleType:
    """Import the real module, also while the stubs are in place."""
    for other in DEFERRED:
        if isinstance(sys.modules.get(other), _Deferred):
            del sys.modules[other]
    return importlib.import_module(name)


@contextlib.contextmanager
def stubbed_imports() -> Iterator[None]:
    """Replace the modules by stubs within this block; later imports get the real modules.

    A module that is loaded already is not replaced: the genuine ts-dds and ts-utils need some.
    """
    importlib.import_module("lsst.ts.utils")  # it loads what it needs
    placed: dict[str, types.ModuleType] = {
        name: _Stub(name) if name in OBJECT_STORE else _Deferred(name)
        for name in (*OBJECT_STORE, *DEFERRED)
        if name not in sys.modules
    }
    for name, module in placed.items():
        sys.modules[name] = module
        package, _, last = name.rpartition(".")
        if package in placed:
            setattr(placed[package], last, module)
        for attribute in PLACEHOLDERS.get(name, ()):
            setattr(module, attribute, _Placeholder)
    if "numpy" in placed:
        # salobj compares each field of an event with it, so it must not load numpy.
        placed["numpy"].__dict__["array_equal"] = array_equal
    try:
        yield
    finally:
        for name, module in placed.items():
            for attribute in PLACEHOLDERS.get(name, ()):
                delattr(module, attribute)
            if sys.modules.get(name) is module:
                del sys.modules[name]
