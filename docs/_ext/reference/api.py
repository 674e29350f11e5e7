"""The modules of a package, from their docstrings."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

OPTIONS = ("members", "ignore-module-all", "show-inheritance")
"""Options of autodoc. An object that a package only re-exports is documented in its own module."""


def api_lines(package: str, without: Collection[str] = ()) -> list[str]:
    """Return the Markdown of a package: its docstring, then a heading for each of its modules.

    Parameters
    ----------
    package
        Its name.
    without
        Sub-packages to leave out.

    Raises
    ------
    ValueError
        If there is no such package.
    """
    try:
        path = importlib.import_module(package).__path__
    except ImportError as error:
        msg = f"no package {package}: {error}"
        raise ValueError(msg) from error
    names = sorted(module.name for module in pkgutil.walk_packages(path, prefix=f"{package}."))
    below = [name for name in names if name.split(".")[1] not in without]
    return [
        *_module(package),
        *(line for name in below for line in (f"## {name}", "", *_module(name))),
    ]


def _module(name: str) -> list[str]:
    return [
        "```{eval-rst}",
        f".. automodule:: {name}",
        *(f"   :{option}:" for option in OPTIONS),
        "```",
        "",
    ]
