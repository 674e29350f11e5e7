"""Write IDL files, or compare them with what they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interfaces.idl import component_idl, file_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from interfaces.model import Component
    from interfaces.release import Release

__all__ = ["outdated", "write"]


def write(
    components: Iterable[Component], version: str, release: Release, folder: Path
) -> list[Path]:
    """Write the components' IDL into a folder, which is made if needed; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for component in components:
        path = folder / file_name(component.name)
        path.write_bytes(component_idl(component, version, release).encode("utf-8"))
        paths.append(path)
    return paths


def outdated(
    components: Iterable[Component], version: str, release: Release, folder: Path
) -> list[Path]:
    """Return those files that are missing or differ from what `write` would write."""
    found = []
    for component in components:
        path = folder / file_name(component.name)
        wanted = component_idl(component, version, release).encode("utf-8")
        if not path.is_file() or path.read_bytes() != wanted:
            found.append(path)
    return found
