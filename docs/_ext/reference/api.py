"""The modules of a package, each from its docstrings."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

OPTIONS = ("members", "ignore-module-all", "show-inheritance")
"""Of autodoc. What a package only lends its name to is documented where it is."""


def api_lines(package: str, without: Collection[str] = ()) -> list[str]:
    """Give the Markdown of a package: what it says of itself, then a heading for each of its modules.

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
    return [*_module(package), *(line for name in below for line in (f"## {name}", "", *_module(name)))]


def _module(name: str) -> list[str]:
    return ["```{eval-rst}", f".. automodule:: {name}", *(f"   :{option}:" for option in OPTIONS), "```", ""]
