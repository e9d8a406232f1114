"""Which picture a request asks for."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from tropattn import plotting
from tropattn.errors import InvalidInput
from tropattn.study.inputs import Heads, Source, open_heads, read_domain
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

    Raises ``InvalidInput`` for a view that does not fit the heads.
    """
    opened = open_heads(source)
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
    where = read_domain(domain, opened.dim)
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
