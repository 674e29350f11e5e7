"""Replace a stand-in module by the genuine module of the same name.

A stand-in first calls `hand_over`. If the genuine module is also on the import path, it replaces
the stand-in in ``sys.modules``. Every import then returns the genuine module, whichever of the two
directories comes first.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["STAND_IN_MARKER", "find_genuine", "hand_over"]

STAND_IN_MARKER = "_ccarchiver_stand_in"
"""Name of a module that marks a directory or package as a stand-in.

An environment that is made on top of another one can have two copies of a stand-in. The marker
prevents that one copy is used as the genuine module of the other."""


def _search_places(name: str) -> Iterator[importlib.machinery.ModuleSpec]:
    """Yield every spec by which ``name`` can be imported, in the sequence of the import path."""
    parent, _, _ = name.rpartition(".")
    parents = parent.split(".") if parent else []
    for entry in sys.path:
        place = str(Path(entry or ".", *parents))
        spec = importlib.machinery.PathFinder.find_spec(name, [place])
        if spec is not None:
            yield spec
    # Editable installs use their own finders, not sys.path.
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        if find_spec is None or finder is importlib.machinery.PathFinder:
            continue
        # Without the parent's path a finder would search everywhere for the last part of the name.
        spec = find_spec(name, sys.modules[parent].__path__ if parent else None)
        if spec is not None:
            yield spec


def _has(spec: importlib.machinery.ModuleSpec, module: str) -> bool:
    """Return whether ``module`` is in the package of ``spec``, or beside a plain module."""
    if spec.submodule_search_locations is not None:
        places = list(spec.submodule_search_locations)
    else:
        places = [str(Path(spec.origin or ".").parent)]
    return importlib.machinery.PathFinder.find_spec(module, places) is not None


def find_genuine(
    name: str, own_file: str, beside: Sequence[str] = (), marker: str = STAND_IN_MARKER
) -> importlib.machinery.ModuleSpec | None:
    """Return the spec of the genuine module, or None.

    Parameters
    ----------
    name
        Full module name, for example ``lsst.ts.utils``.
    own_file
        ``__file__`` of the stand-in.
    beside
        Modules in the same directory as the genuine one. They distinguish it from an unrelated
        package with the same name.
    marker
        Module that marks another copy of the stand-in.
    """
    own = Path(own_file).resolve()
    for spec in _search_places(name):
        if spec.origin is None or spec.loader is None or Path(spec.origin).resolve() == own:
            continue
        if _has(spec, marker):
            continue
        home = Path(spec.origin).parent
        if spec.submodule_search_locations is not None:
            home = home.parent
        if all(importlib.machinery.PathFinder.find_spec(other, [str(home)]) for other in beside):
            return spec
    return None


def hand_over(
    name: str, own_file: str, beside: Sequence[str] = (), marker: str = STAND_IN_MARKER
) -> bool:
    """Load the genuine module in place of the stand-in, if it is installed.

    Returns
    -------
    handed_over
        True if ``sys.modules[name]`` is now the genuine module; the stand-in then defines nothing.

    Raises
    ------
    Exception
        What the genuine module raises. A broken genuine module must be repaired, not hidden.
    """
    spec = find_genuine(name, own_file, beside, marker)
    if spec is None or spec.loader is None:
        return False
    module = importlib.util.module_from_spec(spec)
    stand_in = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if stand_in is not None:
            sys.modules[name] = stand_in
        raise
    return True
