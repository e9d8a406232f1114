"""The record of ``study.atlas`` as one page: the frame of HTML round the rooms, nothing loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib import resources
from importlib.util import find_spec
from typing import Any

from tropattn.errors import InvalidInput
from tropattn.files import printable

__all__ = ["need_bokeh", "page"]


def page(document: Mapping[str, Any]) -> str:
    """The page of an atlas record (``Record.as_dict()``), as HTML that needs no other file.

    The page holds the record itself, in the element ``atlas-record``; what it draws and says is
    read from there.

    Raises
    ------
    InvalidInput : a record of another command, or Bokeh is not installed.
    """
    if document.get("command") != "atlas" or document.get("schema") != "tropattn.record":
        raise InvalidInput(
            f"record: one of the command atlas needed, got {str(document.get('command'))[:80]!r}; "
            "write it with tropattn atlas --json."
        )
    need_bokeh()
    from bokeh.embed import file_html
    from bokeh.resources import INLINE
    from jinja2 import Template

    from tropattn.plotting.atlas.rooms import rooms

    held = json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    try:
        spec = document["spec"]
        words = {
            "record": printable(held),
            "style": _part("page.css"),
            "behaviour": _part("page.js"),
            "heading": escape(_title(spec)),
            "about": escape(_about(document)),
            "command": escape(spec["command"]),
            "table": _table(document),
        }
        drawn = rooms(document)
    except (KeyError, TypeError, IndexError, AttributeError, StopIteration) as error:
        raise InvalidInput(
            f"record: the tables of an atlas needed, got one without {error}; write it again with "
            "tropattn atlas --json."
        ) from None
    return file_html(
        drawn,
        INLINE,
        title=_title(spec),
        template=Template(_part("page.html")),
        template_variables=words,
        suppress_callback_warning=True,
    )


def need_bokeh() -> None:
    """Raise ``InvalidInput`` where Bokeh, which draws the page, is not installed."""
    if find_spec("bokeh") is None:
        raise InvalidInput(
            'atlas: the library bokeh needed, which is not installed; pip install "tropattn[atlas]"'
            " brings it."
        )


def _part(name: str) -> str:
    return (resources.files("tropattn.plotting.atlas") / name).read_text(encoding="utf-8")


def _title(spec: Mapping[str, Any]) -> str:
    source = spec["source"]
    text = source["text"] or source["ids"]
    shown = text if not text or len(text) <= 60 else f"{text[:59]}…"
    return f"Atlas of {source['path']}" + (f" on {shown!r}" if shown else "")


def _about(document: Mapping[str, Any]) -> str:
    spec, versions = document["spec"], document["versions"]
    software = ", ".join(f"{name} {version}" for name, version in versions.items())
    tables = document["tables"]
    return (
        f"{len(tables['heads'])} heads in {len(tables['layers'])} layers, "
        f"{len(spec['tokens'])} keys; variable: {spec['variable']}. Written by {software}."
    )


def _table(document: Mapping[str, Any]) -> str:
    """All numbers of all heads as a plain table, for readers of screens and for copying."""
    metrics = document["spec"]["metrics"]
    names = ["layer", "head", *(f"{m['words']} ({m['kind']})" for m in metrics), "dead keys"]
    top = "".join(f"<th scope='col'>{escape(name)}</th>" for name in names)
    rows = []
    for row in document["tables"]["heads"]:
        values = [row["layer"], row["head"], *(_number(row[m["name"]]) for m in metrics)]
        cells = "".join(f"<td>{value}</td>" for value in values)
        dead = " ".join(f"<s>{escape(name)}</s>" for name in row["dead"])
        rows.append(f"<tr>{cells}<td>{dead}</td></tr>")
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _number(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
