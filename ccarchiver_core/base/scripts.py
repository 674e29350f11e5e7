"""The Lua scripts of the packages; each is in a file beside the module that uses it."""

from __future__ import annotations

from importlib import resources


def read_script(package: str, name: str) -> str:
    """Return the text of a Lua script.

    Parameters
    ----------
    package : `str`
        The package whose folder holds the script.
    name : `str`
        The file's name.

    Raises
    ------
    FileNotFoundError
        If the installation is incomplete.
    """
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
