"""A Sphinx extension: reference pages that are generated from the code, so they agree with it.

``{settings-reference}``
    Every setting of a site file.
``{interface-reference} COMPONENT``
    The SAL topics of a component; ``:kind:`` and ``:topics:`` select some of them.
``{error-codes}``
    The codes of the CSC's errorCode event.
``{api-package} PACKAGE``
    The modules of a package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from docs._ext.reference.directives import (
    ApiPackage,
    ErrorCodes,
    InterfaceReference,
    SettingsReference,
)

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

__all__ = ["setup"]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directives."""
    app.add_directive("settings-reference", SettingsReference)
    app.add_directive("interface-reference", InterfaceReference)
    app.add_directive("error-codes", ErrorCodes)
    app.add_directive("api-package", ApiPackage)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
