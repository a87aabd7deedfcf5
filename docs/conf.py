"""Sphinx configuration; build with ``make docs`` (warnings are errors)."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "equipot"
author = "The equipot developers"
copyright = "2026, The equipot developers"  # noqa: A001 - Sphinx's name
release = installed_version("equipot")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "equipot_conformance",
    "equipot_docs",
]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "auto"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
exclude_patterns = ["_build", "results/*.md"]

html_theme = "furo"
html_title = f"equipot {release}"
