"""A Sphinx extension: autodoc can use names that a module imports only for the type checker.

Annotations are strings in this project, and most of their names are imported under
``if TYPE_CHECKING:``. Autodoc cannot evaluate these annotations. It would use the bare name and
link it to any object of the project with that name. So all modules are first imported as at run
time, and then the names of its TYPE_CHECKING blocks are added to each module.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension; `typed_names_packages` is the list of packages to process."""
    app.add_config_value("typed_names_packages", [], "env")
    app.connect("builder-inited", _give_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _give_names(app: Sphinx) -> None:
    modules = [
        module for package in app.config.typed_names_packages for module in _modules(package)
    ]
    for module in modules:
        for statement in _for_the_checker(ast.parse(inspect.getsource(module))):
            if isinstance(statement, ast.ImportFrom) and statement.module is not None:
                source = importlib.import_module(statement.module)
                for alias in statement.names:
                    name = alias.asname or alias.name
                    # Stubs have names that a library does not have at run time; those are not
                    # added.
                    if not hasattr(module, name) and hasattr(source, alias.name):
                        setattr(module, name, getattr(source, alias.name))


def _modules(package: str) -> Iterator[ModuleType]:
    top = importlib.import_module(package)
    yield top
    for found in pkgutil.walk_packages(top.__path__, prefix=f"{package}."):
        yield importlib.import_module(found.name)


def _for_the_checker(tree: ast.Module) -> Iterator[ast.stmt]:
    for statement in tree.body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from statement.body
