"""How Sphinx builds the documents: ``make docs``.

Nothing is fetched while it builds, and nothing by whoever reads the pages: diagrams are drawn here by graphviz, the
theme brings its own files, and there are no links to other projects' inventories.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the API pages are of this checkout, whatever else is installed

project = "ccarchiver"
author = "the ccarchiver developers"
project_copyright = "GPL-3.0-or-later"
release = version = installed_version("ccarchiver")

extensions = [
    "docs._ext.names",
    "docs._ext.reference",
    "docs._ext.typed_names",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.graphviz",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "_ext"]
templates_path: list[str] = []

# ---------------------------------------------------------------------------------------------------------- Markdown
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # links to headings, as the code hosts make them
# A block says what it is; one that does not is shown as it is, never coloured as if it were Python.
highlight_language = "none"
# An ellipsis stands for output that was left out, also in JSON, so a lexer may meet what it does not know.
suppress_warnings = ["misc.highlighting_failure"]

# --------------------------------------------------------------------------------------------------------------- API
typed_names_packages = [f"ccarchiver_{part}" for part in ("core", "sal", "bridge", "health", "cli", "sim")]
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # other packages' docstrings may be in another style
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_use_rtype = False  # a word alone below "Returns" is the name of what comes back, not its type
default_role = "name"
# Every function and field in the navigation of every page would be half of the time that a build takes.
toc_object_entries = False

# ---------------------------------------------------------------------------------------------------------- diagrams
graphviz_output_format = "svg"

# -------------------------------------------------------------------------------------------------------------- HTML
html_theme = "furo"
html_title = f"ccarchiver {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

# ---------------------------------------------------------------------------------------------------------- linkcheck
# Only by hand, `make docs-links`: it needs the internet. Links within the site are checked by every build.
linkcheck_ignore = [r"http://(127\.0\.0\.1|localhost)[:/]"]
linkcheck_timeout = 20
