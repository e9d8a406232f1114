"""The atlas of a model: its record as one page that opens from disk."""

from __future__ import annotations

from tropattn.plotting.atlas.page import need_bokeh, page

__all__ = ["need_bokeh", "page"]
