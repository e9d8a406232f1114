"""The command ``bounds``: closed forms, from numbers alone or for an input.

What only an input needs is imported where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tropattn.errors import InvalidInput
from tropattn.record import Record
from tropattn.regions.bounds.layer import layer

if TYPE_CHECKING:
    from tropattn.polyhedra.domain import Domain
    from tropattn.study.inputs import Heads, Source

__all__ = ["BoundsSpec", "bounds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundsSpec:
    """Settings of ``bounds``.

    Attributes
    ----------
    source, domain : as for ``open_target``; without a source ``keys``, ``dim`` and ``central`` say
        what is bounded, as in ``regions.bounds.layer``.
    live : whether only the keys of the source count that ever win.
    """

    source: Source | None = None
    domain: str | None = None
    live: bool = False
    keys: Sequence[int] = ()
    dim: int = 0
    central: bool = False


def bounds(spec: BoundsSpec) -> Record:
    """Bound the cells of a layer or network from above (T6, T7, T14); the count ``bound``.

    Raises as ``open_target`` and ``upper_bound``; ``InvalidInput`` for the live keys of a network.

    >>> bounds(BoundsSpec(keys=(3, 3, 3), dim=2)).answer.value
    19
    """
    if spec.source is None:
        found = layer(spec.keys, spec.dim, spec.central)
        settings = {name: getattr(spec, name) for name in ("keys", "dim", "central")}
    else:
        from tropattn.regions.count import upper_bound
        from tropattn.study.counting import resolved

        opened, where, settings = resolved(spec.source, spec.domain)
        heads = _live_heads(opened, where) if spec.live else opened.heads
        settings |= {"live": spec.live, "keys": [head.n_terms for head in heads]}
        found = upper_bound(heads if spec.live else opened.target, where)
    return Record("bounds", settings, {"bound": found}, answer=found)


def _live_heads(opened: Heads, where: Domain | None) -> list[Any]:
    """The heads with their live terms only."""
    if not opened.heads:
        raise InvalidInput(
            "live: the heads of one layer needed, got a whole network; leave --live out."
        )
    from tropattn.tropical.geometry.live_terms import live_terms
    from tropattn.tropical.max_affine import with_terms

    return [with_terms(head, live_terms(head, where).live) for head in opened.heads]
