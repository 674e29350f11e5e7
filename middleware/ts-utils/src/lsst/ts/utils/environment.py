"""Change environment variables for the length of a ``with`` block, for tests."""

from __future__ import annotations

import os
import unittest.mock
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["modify_environ"]


@contextmanager
def modify_environ(**kwargs: Any) -> Generator[None, None, None]:  # noqa: ANN401 (wrong types raise an error below)
    """Set the named environment variables inside the block; None removes a variable.

    Raises
    ------
    RuntimeError
        If a value is neither a string nor None.
    """
    wrong = {name: value for name, value in kwargs.items() if not isinstance(value, str | None)}
    if wrong:
        message = f"Environment variables must be strings, or None to remove them; got {wrong}"
        raise RuntimeError(message)
    environ = dict(os.environ)
    for name, value in kwargs.items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value
    # A plain dict replaces os.environ, because a change of os.environ would change the C
    # environment, which threads of the DDS library may be reading.
    with unittest.mock.patch("os.environ", environ):
        yield
