"""The site: ``sphinx-build -W -b html docs docs/_build``, with the extra ``docs``."""

project = "tropattn"
author = "The tropattn authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_heading_anchors = 4
# Python's own prompts and trees of files are no language of a highlighter.
highlight_language = "none"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False


def as_it_stands(app, what, name, obj, options, lines):
    """Show a docstring as ``help`` does: it is written to be read as it stands."""
    if lines:
        lines[:] = ["::", "", *(f"   {line}" for line in lines), ""]


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", as_it_stands)
