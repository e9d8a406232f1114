"""The pictures of an atlas page and what moves them: empty sources that ``page.js`` fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.events import DocumentReady
from bokeh.layouts import column, row
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    CustomJS,
    HoverTool,
    InlineStyleSheet,
    LinearColorMapper,
    Plot,
    Select,
    Slider,
    Toggle,
)
from bokeh.plotting import figure
from matplotlib import colormaps
from matplotlib.colors import to_hex

from tropattn.plotting.style import FILLS, lighter

__all__ = ["key_colours", "rooms"]


_TOOLS = "pan,wheel_zoom,box_zoom,reset,save"


def key_colours(number: int) -> list[str]:
    """The colour of each key, the sink's first: ten fills, lighter with each turn.

    >>> key_colours(2)
    ['#b0b0b0', '#77aadd', '#ee8866']
    """
    turns = [to_hex(lighter(FILLS[j % 10], min(0.6, 0.2 * (j // 10)))) for j in range(number)]
    return ["#b0b0b0", *turns]


def rooms(document: Mapping[str, Any]) -> Any:
    """All pictures and controls of a page, as one Bokeh document: a root each, by its name."""
    spec, tables = document["spec"], document["tables"]
    heads = _heads_source(spec, tables["heads"])
    parts: dict[str, Any] = {"heads": heads, "colours": key_colours(len(spec["tokens"]))}
    choices: list[Any] = [
        (m["name"], m["words"]) for m in spec["metrics"] if _known(tables["heads"], m)
    ]
    telling = [name for name, _ in choices if len(np.unique(np.asarray(heads.data[name]))) > 1]
    first = (telling or [choices[0][0]])[0]
    across = next((name for name, _ in choices if name == "plane_cells"), first)
    parts["metric"] = Select(width=330, title="Colour of the grid", options=choices, value=first)
    parts["across"] = Select(width=330, title="Across", options=choices, value=across)
    up = next((name for name, _ in choices if name == "hardness"), choices[-1][0])
    parts["up"] = Select(width=330, title="Up", options=choices, value=up)
    names: list[Any] = [(str(i), name) for i, name in enumerate(heads.data["name"])]
    parts["head"] = Select(title="Head", options=names, value="0")
    planes: list[Any] = [
        (str(k), " ".join(spec["tokens"][i] for i in tokens) or "the window")
        for k, tokens in enumerate(spec["planes"])
    ]
    parts["plane"] = Select(title="Plane through the states of", options=planes, value="0")
    last = len(spec["temperatures"]) - 1
    parts["slider"] = Slider(start=0, end=last, step=1, value=last, title="temperature", width=440)
    parts["dark"] = Toggle(label="Dark", width=80)
    _model_room(parts, tables["heads"])
    _head_room(parts, spec)
    _layer_room(parts, spec, bool(tables["attention"]))
    # Records of earlier versions have no such table.
    depth = tables.get("depth", [])
    _depth_room(parts, spec, depth)
    # Controls keep their own ground in the dark.
    plain = InlineStyleSheet(css=".bk-input { color: #1a1a1a; background-color: #ffffff; }")
    for part in parts.values():
        if isinstance(part, Select):
            part.stylesheets = [plain]
    parts["figures"] = [part for part in parts.values() if isinstance(part, Plot)]
    start = _connect(parts)
    shown = {
        "choices": row(parts["metric"], parts["across"], parts["up"], parts["dark"]),
        "controls": row(parts["head"], parts["plane"], parts["slider"]),
        "depth": column(parts["behind"], parts["depth_figure"]) if depth else None,
    }
    for name in ("grid", "scatter", "plane_figure", "dual_figure", "layer_figure"):
        shown[name] = parts[name]
    if tables["attention"]:
        shown["attention_figure"] = parts["attention_figure"]
    # Each a root of its own: what changes in one makes no other lay itself out anew.
    page = Document()
    for name, part in shown.items():
        if part is not None:
            part.name = name
            page.add_root(part)
    page.js_on_event(DocumentReady, start)
    return page


def _known(rows: Sequence[Mapping[str, Any]], metric: Mapping[str, Any]) -> bool:
    return any(row[metric["name"]] is not None for row in rows)


def _heads_source(spec: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> ColumnDataSource:
    data: dict[str, Any] = {
        "layer": [row["layer"] for row in rows],
        "head": [row["head"] for row in rows],
        "name": [f"layer {row['layer']}, head {row['head']}" for row in rows],
    }
    for metric in spec["metrics"]:
        values = [row[metric["name"]] for row in rows]
        data[metric["name"]] = np.array([np.nan if v is None else v for v in values], dtype=float)
    first = spec["metrics"][0]["name"]
    data |= {"shown": data[first], "sx": data[first], "sy": data[first]}
    return ColumnDataSource(data)


def _model_room(parts: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Layers and heads as a grid coloured by a metric, and as a scatter of two of them."""
    palette = [to_hex(colour) for colour in colormaps["cividis"](np.linspace(0, 1, 256))]
    mapper = LinearColorMapper(palette=palette, low=0, high=1, nan_color="#999999")
    chosen = {"selection_line_color": "#D55E00", "selection_line_width": 4}
    last = max(row["layer"] for row in rows)
    grid = _figure(width=500, height=400, title=" ", tools="tap,save", x_axis_label="head",
                  y_axis_label="layer", y_range=(last + 0.6, -0.6))  # fmt: skip
    squares = grid.rect(
        "head", "layer", 0.92, 0.92, source=parts["heads"], line_color=None,
        fill_color={"field": "shown", "transform": mapper}, nonselection_fill_alpha=1.0, **chosen,
    )  # fmt: skip
    scatter = _figure(width=440, height=400, title="heads, one point each", tools="tap," + _TOOLS)
    dots = scatter.scatter(
        "sx", "sy", size=11, source=parts["heads"], line_color="#808080",
        fill_color={"field": "shown", "transform": mapper}, nonselection_fill_alpha=0.8,
        nonselection_line_alpha=1.0, **chosen,
    )  # fmt: skip
    for at, glyph in ((grid, squares), (scatter, dots)):
        at.add_tools(HoverTool(renderers=[glyph], tooltips=[("", "@name"), ("value", "@shown")]))
        for axis in (at.xaxis, at.yaxis):
            axis.ticker.desired_num_ticks = 8
    grid.add_layout(ColorBar(color_mapper=mapper, width=12, padding=6), "right")
    grid.title.text_font_size = "11px"  # the longest words of a metric fit
    grid.xaxis.minor_tick_line_color = grid.yaxis.minor_tick_line_color = None
    grid.xaxis.ticker.min_interval = grid.yaxis.ticker.min_interval = 1
    parts |= {"grid": grid, "scatter": scatter, "mapper": mapper}


def _figure(**settings: Any) -> Any:
    """A Bokeh figure; its own types say less than its attributes take."""
    return figure(**settings)


def _empty(*columns: str) -> ColumnDataSource:
    return ColumnDataSource({name: [] for name in columns})


def _pixels(*columns: str) -> ColumnDataSource:
    """One image, redrawn in a tenth of the time of as many squares; columns are of its pixels."""
    image = np.zeros((1, 1), dtype=np.uint32)
    return ColumnDataSource({"image": [image], **{name: [[""]] for name in columns}})


def _window_figure(spec: Mapping[str, Any], title: str) -> Any:
    edge = (0, spec["unit"])
    at = _figure(width=520, height=520, title=title, tools=_TOOLS, x_range=edge, y_range=edge)
    at.axis.visible = at.grid.visible = False
    return at


def _head_room(parts: dict[str, Any], spec: Mapping[str, Any]) -> None:
    """The cells of a head with its soft weights above, and the subdivision dual to them."""
    cells = _empty("xs", "ys", "fill", "key", "share", "gap", "beyond")
    soft = _pixels("weight")
    names, marks = _empty("x", "y", "text"), _empty("x", "y", "text", "winner", "gap")
    at = _window_figure(spec, "cells")
    patches = at.patches("xs", "ys", source=cells, fill_color="fill", line_color="#1a1a1a")
    at.image_rgba("image", 0, 0, spec["unit"], spec["unit"], source=soft)
    at.text("x", "y", "text", source=names, text_align="center", text_baseline="middle",
            text_font_size="11px", text_color="#111111")  # fmt: skip
    dots = at.scatter("x", "y", source=marks, size=10, fill_color="white", line_color="black")
    at.text("x", "y", "text", source=marks, x_offset=8, y_offset=-6, text_font_size="12px",
            text_font_style="bold", text_color="#111111", background_fill_color="white",
            background_fill_alpha=0.8)  # fmt: skip
    words = [("wins", "@key"), ("share of the window", "@share (exact to 1e-9)"),
             ("gap in the middle", "@gap (estimate)"),
             ("beyond its walls", "@beyond (exact)")]  # fmt: skip
    at.add_tools(HoverTool(renderers=[patches], tooltips=words))
    said = [("state of", "@text"), ("wins here", "@winner"), ("gap", "@gap (estimate)")]
    at.add_tools(HoverTool(renderers=[dots], tooltips=said))
    edges, slopes = _empty("xs", "ys"), _empty("x", "y", "fill", "marker", "key", "wins")
    dual = _figure(width=520, height=520, title="dual", tools=_TOOLS, match_aspect=True)
    dual.axis.visible = dual.grid.visible = False
    dual.multi_line("xs", "ys", source=edges, line_color="#777777", line_width=1.5)
    points = dual.scatter("x", "y", source=slopes, marker="marker", fill_color="fill", size=12,
                          line_color="#777777", line_width=1.5)  # fmt: skip
    dual.add_tools(HoverTool(renderers=[points], tooltips=[("key", "@key"), ("", "@wins")]))
    parts |= {"plane_figure": at, "cells": cells, "soft": soft, "names": names, "marks": marks,
              "dual_figure": dual, "edges": edges, "slopes": slopes}  # fmt: skip


def _layer_room(parts: dict[str, Any], spec: Mapping[str, Any], attends: bool) -> None:
    """The common refinement of the layer, and the head's weights on the text."""
    joint = _empty("xs", "ys", "fill", "pattern", "share")
    at = _window_figure(spec, "layer")
    patches = at.patches("xs", "ys", source=joint, fill_color="fill", line_color="#1a1a1a")
    words = [("winners, head by head", "@pattern"), ("share of the window", "@share")]
    at.add_tools(HoverTool(renderers=[patches], tooltips=words))
    n, weights = len(spec["tokens"]), _pixels("query", "key", "weight")
    table = _figure(width=520, height=520, title="weights", tools=_TOOLS, x_axis_label="key",
                   y_axis_label="query", x_range=(-0.6, n - 0.4),
                   y_range=(n - 0.4, -0.6))  # fmt: skip
    squares = table.image_rgba("image", -0.5, -0.5, n, n, source=weights)
    table.add_tools(HoverTool(renderers=[squares], tooltips=[
        ("query", "@query"), ("key", "@key"), ("weight", "@weight (estimate)")]))  # fmt: skip
    if attends and n <= 40:
        for axis in (table.xaxis, table.yaxis):
            axis.ticker = list(range(n))
            axis.major_label_overrides = dict(enumerate(spec["tokens"]))
        table.xaxis.major_label_orientation = 1.2
    parts |= {"layer_figure": at, "joint": joint, "weights": weights, "attention_figure": table}


def _depth_room(
    parts: dict[str, Any], spec: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> None:
    """The plane through the states that enter a network, behind each of its layers."""
    cells = _empty("xs", "ys", "fill", "winners", "share")
    at = _window_figure(spec, "depth")
    patches = at.patches("xs", "ys", source=cells, fill_color="fill", line_color="#1a1a1a")
    words = [("winners of this layer", "@winners"), ("share of the window", "@share")]
    at.add_tools(HoverTool(renderers=[patches], tooltips=words))
    layers: list[Any] = [(str(k), f"layer {k}") for k in sorted({row["layer"] for row in rows})]
    chosen = layers[-1][0] if layers else ""
    parts["behind"] = Select(title="The network behind", options=layers, value=chosen)
    parts |= {"depth_figure": at, "depth": cells}


def _connect(parts: dict[str, Any]) -> CustomJS:
    """Let every control call one function of ``page.js``; what starts them all."""
    names = ", ".join(parts)
    start = CustomJS(args=dict(parts), code=f"Atlas.start({{{names}}})")
    calls = {
        "metric": "Atlas.shade()",
        "across": "Atlas.axes()",
        "up": "Atlas.axes()",
        "head": "Atlas.pick(Number(cb_obj.value))",
        "plane": "Atlas.draw()",
        "slider": "Atlas.soften()",
        "behind": "Atlas.depth()",
    }
    for name, code in calls.items():
        parts[name].js_on_change("value", CustomJS(code=code))
    parts["dark"].js_on_change("active", CustomJS(code="Atlas.dress(cb_obj.active)"))
    picked = "if (cb_obj.indices.length) Atlas.pick(cb_obj.indices[0])"
    parts["heads"].selected.js_on_change("indices", CustomJS(code=picked))
    return start
