"""Let a stand-in module hand over to the genuine module of the same name.

A stand-in calls `hand_over` as its first act. When the genuine module is found further along
the import path it takes the stand-in's place in ``sys.modules``, so that every importer gets
the genuine one, whichever of the two directories comes first.
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
"""Module name that marks a directory (or package) as holding a stand-in, so that two copies of
one, as in an environment made on top of another, never take each other for the genuine one."""


def _search_places(name: str) -> Iterator[importlib.machinery.ModuleSpec]:
    """Yield every spec under which ``name`` can be imported, in the order of the import path."""
    parent, _, _ = name.rpartition(".")
    parents = parent.split(".") if parent else []
    for entry in sys.path:
        place = str(Path(entry or ".", *parents))
        spec = importlib.machinery.PathFinder.find_spec(name, [place])
        if spec is not None:
            yield spec
    # Editable installs answer through finders of their own, not through sys.path.
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        if find_spec is None or finder is importlib.machinery.PathFinder:
            continue
        # Without the parent's path a finder would look for the last part of the name anywhere.
        spec = find_spec(name, sys.modules[parent].__path__ if parent else None)
        if spec is not None:
            yield spec


def _has(spec: importlib.machinery.ModuleSpec, module: str) -> bool:
    """Tell whether ``module`` lies in the package of ``spec``, or beside it if it is none."""
    if spec.submodule_search_locations is not None:
        places = list(spec.submodule_search_locations)
    else:
        places = [str(Path(spec.origin or ".").parent)]
    return importlib.machinery.PathFinder.find_spec(module, places) is not None


def find_genuine(
    name: str, own_file: str, beside: Sequence[str] = (), marker: str = STAND_IN_MARKER
) -> importlib.machinery.ModuleSpec | None:
    """Find the genuine module, or None.

    Parameters
    ----------
    name
        Full module name, for example ``lsst.ts.utils``.
    own_file
        ``__file__`` of the stand-in.
    beside
        Modules that lie in the same directory as the genuine one. They tell it from an unrelated
        package which happens to have the same name.
    marker
        Module whose presence tells that a find is another copy of the stand-in.
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


def hand_over(name: str, own_file: str, beside: Sequence[str] = (), marker: str = STAND_IN_MARKER) -> bool:
    """Load the genuine module in the stand-in's place, if there is one.

    Returns
    -------
    handed_over
        True if ``sys.modules[name]`` is now the genuine module; the stand-in then defines nothing.

    Raises
    ------
    Exception
        What the genuine module raises: one that is installed but broken must be mended, not hidden.
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
