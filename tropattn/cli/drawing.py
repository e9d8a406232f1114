"""Which picture a request asks for."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from tropattn import plotting
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain, Line
from tropattn.study.inputs import Heads, Source, open_target
from tropattn.study.token_plane import TokenPlane, token_plane

__all__ = ["drawing", "on_token_plane"]


def drawing(
    source: Source,
    domain: str | None,
    view: str | None,
    head: int | None,
    threads: int | None,
) -> Figure:
    """Draw the heads of an input: ``panels``, ``partition``, ``diagram`` or ``polytope``.

    A whole network is drawn behind each of its layers, and a line as rows of winners. Raises
    ``InvalidInput`` for a view that does not fit the heads.
    """
    opened, where = open_target(source, domain)
    if isinstance(where, Line) or not opened.heads:
        if view is not None or head is not None:
            asked = f"head {head}" if view is None else view
            raise InvalidInput(
                f"view: none needed for a line or a whole network, got {asked}; they are drawn in "
                "one way."
            )
        return _deep(opened, where, domain, threads)
    if head is not None and head >= len(opened.heads):
        raise InvalidInput(
            f"head: 0..{len(opened.heads) - 1} needed, got {head}; heads are numbered from 0."
        )
    if view is None:
        view = "diagram" if head is not None or len(opened.heads) == 1 else "panels"
    if view in ("diagram", "polytope"):
        if head is None and len(opened.heads) > 1:
            raise InvalidInput(
                f"head: one of 0..{len(opened.heads) - 1} needed for a {view}, got none; "
                "choose with --head."
            )
    elif head is not None:
        raise InvalidInput(f"head: none needed for {view}, got {head}; it shows all heads.")
    chosen = head or 0
    if view == "polytope":
        return plotting.polytope(
            opened.heads[chosen].newton_polytope(),
            labels=opened.keys[chosen],
            title=f"Newton polytope of head {chosen}",
        )
    title = f"{opened.variable} in {domain or f'R^{opened.dim}'}"
    plane = None
    if where is None and opened.dim != 2 and opened.states is not None:
        plane = token_plane(opened, threads=threads)
    if view == "panels":
        if plane is not None:
            return on_token_plane(opened, plane)
        return plotting.panels(opened.target, where, labels=opened.keys, title=title)
    if plane is not None:
        where, title = plane.domain, _plane_title(opened, plane)
    if view == "partition":
        return plotting.partition(opened.target, where, labels=opened.keys, title=title)
    return plotting.diagram(
        opened.heads[chosen],
        domain=where,
        labels=opened.keys[chosen],
        title=f"head {chosen}, {title}",
    )


def _deep(opened: Heads, where: Domain | None, domain: str | None, threads: int | None) -> Figure:
    """A line, or the layers of a network on a plane."""
    title = f"{opened.variable} in {domain or f'R^{opened.dim}'}"
    if isinstance(where, Line):
        names = opened.keys[0] if len(set(opened.keys)) == 1 else None
        return plotting.line(opened.target, where, labels=names, title=title)
    if where is not None or opened.dim == 2:
        return plotting.partition(opened.target, where, title=title)
    plane = token_plane(opened, threads=threads)
    return plotting.partition(
        opened.target,
        plane.domain,
        points=plane.points,
        point_names=plane.names,
        title=_plane_title(opened, plane),
    )


def on_token_plane(opened: Heads, plane: TokenPlane) -> Figure:
    """Draw all heads on a plane through three token states, which are marked."""
    labels: Any = opened.keys
    return plotting.panels(
        opened.target,
        plane.domain,
        labels=labels,
        points=plane.points,
        point_names=plane.names,
        title=_plane_title(opened, plane),
    )


def _plane_title(opened: Heads, plane: TokenPlane) -> str:
    states = ", ".join(plane.names)
    return f"{opened.variable},\non the plane through the states {states} (token@position)"
