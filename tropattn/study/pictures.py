"""Which picture a request asks for, and what it shows; ``plotting.pictures`` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain, Line
from tropattn.study.inputs import Heads, Source, open_target
from tropattn.study.token_plane import TokenPlane, token_plane

__all__ = ["Picture", "PlotSpec", "choose", "choose_alike", "on_token_plane"]

View = Literal["panels", "partition", "diagram", "polytope", "line", "space"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotSpec:
    """Settings of ``choose``.

    Attributes
    ----------
    source, domain : as for ``open_target``.
    view : ``panels``, ``partition``, ``diagram``, ``polytope`` or ``space``; None for the one that
        fits.
    head : of a diagram or polytope.
    reach : of the window on a plane through three tokens, as for ``token_plane``.
    threads : for the counts that choose a plane.
    """

    source: Source
    domain: Domain | str | None = None
    view: View | None = None
    head: int | None = None
    reach: float | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Picture:
    """One picture: the function of ``plotting`` named by ``view``, and what it is given.

    ``reach`` is that of the window on a plane through three tokens, if it was made smaller.
    """

    view: View
    target: Any
    domain: Domain | None = None
    labels: Any = None
    points: Any = None
    point_names: Sequence[str] = ()
    title: str
    reach: float | None = None


def choose(spec: PlotSpec) -> Picture:
    """Choose the picture of an input: heads, a whole network behind each of its layers, or a line.

    Heads of a model in more than two dimensions are shown on the plane of ``token_plane``. Raises
    ``InvalidInput`` for a view that does not fit the heads.
    """
    opened, where = open_target(spec.source, spec.domain)
    title = f"{opened.variable} in {spec.domain or f'R^{opened.dim}'}"
    view, head = _view(opened, where, spec), spec.head or 0
    if view == "polytope":
        if opened.dim not in (2, 3):
            raise InvalidInput(
                f"view: heads in R^2 or R^3 needed for a polytope, got R^{opened.dim}; take "
                "another view."
            )
        return Picture(
            view=view,
            target=opened.heads[head].newton_polytope(),
            labels=opened.keys[head],
            title=f"Newton polytope of head {head}",
        )
    if view == "space":
        names = opened.keys[0] if len(opened.keys) == 1 else None
        return Picture(view=view, target=opened.target, domain=where, labels=names, title=title)
    if view == "line":
        names = opened.keys[0] if len(set(opened.keys)) == 1 else None
        return Picture(view=view, target=opened.target, domain=where, labels=names, title=title)
    through = where is None and opened.dim != 2
    through = through and (opened.states is not None or not opened.heads)
    if spec.reach is not None and not through:
        raise InvalidInput(
            f"reach: a plane through three tokens needed, got {title}; give its window in "
            "plane:FILE instead."
        )
    if through:
        plane = token_plane(opened, threads=spec.threads, reach=spec.reach)
        if view == "panels" or not opened.heads:
            return on_token_plane(opened, plane, view)
        where, title = plane.domain, _plane_title(opened, plane)
    if view == "diagram":
        return Picture(
            view=view,
            target=opened.heads[head],
            domain=where,
            labels=opened.keys[head],
            title=f"head {head}, {title}",
        )
    names = opened.keys if opened.heads else None
    return Picture(view=view, target=opened.target, domain=where, labels=names, title=title)


def choose_alike(first: Picture, spec: PlotSpec) -> Picture:
    """Choose for another checkpoint of a model what a picture shows of one, in the same domain.

    Raises ``InvalidInput`` as ``choose``, or for other heads or keys.
    """
    found = choose(replace(spec, view=first.view, domain=first.domain, reach=None))
    if found.labels != first.labels:
        own, other = (_keys(picture) for picture in (found, first))
        raise InvalidInput(
            f"{spec.source.path}: a checkpoint with the heads and keys of the last one needed, got "
            f"{own}, there {other}; give checkpoints of one model."
        )
    return replace(found, title=first.title)


def _keys(picture: Picture) -> str:
    """The heads of a picture in words."""
    heads = [picture.labels] if picture.view == "diagram" else picture.labels
    named = [", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "") for keys in heads]
    sizes = ", ".join(str(len(keys)) for keys in heads)
    return f"heads of {sizes} keys ({named[0]})"


def _view(opened: Heads, where: Domain | None, spec: PlotSpec) -> View:
    """The view that is asked for, or the one that fits."""
    view, head, n_heads = spec.view, spec.head, len(opened.heads)
    if isinstance(where, Line) or not n_heads:
        if view is not None or head is not None:
            asked = f"head {head}" if view is None else view
            raise InvalidInput(
                f"view: none needed for a line or a whole network, got {asked}; they are drawn in "
                "one way."
            )
        return "line" if isinstance(where, Line) else "partition"
    if head is not None and head >= n_heads:
        raise InvalidInput(f"head: 0..{n_heads - 1} needed, got {head}; heads are numbered from 0.")
    if view is None:
        view = "diagram" if head is not None or n_heads == 1 else "panels"
        if opened.dim == 3 and head is None and opened.states is None and not _is_plane(where):
            view = "space"
    if view in ("diagram", "polytope"):
        if head is None and n_heads > 1:
            raise InvalidInput(
                f"head: one of 0..{n_heads - 1} needed for a {view}, got none; choose with --head."
            )
    elif head is not None:
        raise InvalidInput(f"head: none needed for {view}, got {head}; it shows all heads.")
    return view


def _is_plane(where: Domain | None) -> bool:
    return where is not None and where.dim == 2


def on_token_plane(opened: Heads, plane: TokenPlane, view: View = "panels") -> Picture:
    """All heads or layers on a plane through three token states, which are marked."""
    return Picture(
        view=view,
        target=opened.target,
        domain=plane.domain,
        labels=opened.keys if opened.heads else None,
        points=plane.points,
        point_names=plane.names,
        title=_plane_title(opened, plane),
        reach=plane.reach,
    )


def _plane_title(opened: Heads, plane: TokenPlane) -> str:
    states = ", ".join(plane.names)
    return f"{opened.variable},\non the plane through the states {states} (token@position)"
