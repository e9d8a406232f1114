"""The command ``compile``: every kernel compiled, by a small case of each thing that needs one.

Which forms of a kernel are in use is known only from calls, so each kind of work is done once, on
inputs that take no time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from tropattn._kernels.compiling import KERNELS
from tropattn.attention.heads.fixed import FixedLayer
from tropattn.attention.heads.linear import row_products
from tropattn.attention.initialisers import gaussian_heads
from tropattn.attention.networks.feedforward import FeedForward
from tropattn.attention.networks.network import Network
from tropattn.dynamics import Hardmax, simulate, sync_diagram
from tropattn.polyhedra.domain import Box, Line, Slice
from tropattn.polyhedra.nearest import Shortest, cell_distances
from tropattn.regions.count import count_regions
from tropattn.regions.lines.envelopes import line_cells
from tropattn.regions.polygons.cells import plane_cells
from tropattn.regions.sampling.sampler import sample_regions
from tropattn.tropical.geometry.live_terms import live_terms
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["cache_folder", "compile_kernels"]


def compile_kernels(report: Callable[[int, int], object] = lambda done, left: None) -> int:
    """Compile, or find in the cache, all kernels; return the number of their forms.

    ``report`` takes how many kinds of work are done and how many are left.
    """
    works = list(_works())
    for at, work in enumerate(works):
        report(at, len(works) - at)
        work()
    report(len(works), 0)
    return sum(len(kernel.signatures) for kernel in KERNELS)


def cache_folder() -> str | None:
    """Where compiled kernels are kept, or None where no folder can be written."""
    return KERNELS[0]._cache.cache_path


def _works() -> Iterator[Callable[[], object]]:
    rng = np.random.default_rng(0)
    space, plane, solid = (gaussian_heads(5, 3, dim, seed=0) for dim in (5, 2, 3))
    layer = FixedLayer(solid[:1], [rng.standard_normal((5, 3))])
    network = Network([layer, layer])
    relu = Network([FeedForward(np.eye(3), np.zeros(3), np.eye(3))] * 2)
    # Keys that differ by rounding alone: what doubles leave open is decided more finely.
    near = [head.slopes * (1 + 2.0**-50 * rng.integers(-3, 4, head.slopes.shape)) for head in space]
    twins = [TropicalPolynomial(near[0], space[0].intercepts), *space]
    yield partial(row_products, "rows", np.eye(3), np.eye(3))
    yield partial(count_regions, space[:1])
    yield partial(count_regions, space, engine="enumeration")
    yield partial(count_regions, plane)
    for dim, heads in ((2, plane), (5, space)):
        yield partial(count_regions, heads, Box.cube(-1, 1, dim))
    yield partial(plane_cells, gaussian_heads(20, 3, 2, seed=0), Box.cube(-1, 1, 2))
    yield partial(count_regions, solid, engine="subsets")
    yield partial(count_regions, network)
    yield partial(count_regions, network, of="linear_regions")
    window = Slice(np.zeros(3), np.eye(3)[:2], Box.cube(-1, 1, 2))
    yield partial(count_regions, relu, window)
    yield partial(line_cells, plane, Line([0.0, 0.0], [1.0, 0.3]))
    for target, domain in ((space, Box.cube(-1, 1, 5)), (network, Box.cube(-1, 1, 3))):
        for method in ("points", "lines"):
            drawn = partial(sample_regions, target, 200, seed=0, method=method)
            yield partial(drawn, domain=domain)
            yield partial(drawn, distribution="gaussian")
    yield partial(live_terms, gaussian_heads(60, 1, 5, seed=0)[0])
    yield lambda: space[0].newton_polytope().f_vector()
    yield partial(live_terms, plane[0])
    yield partial(live_terms, solid[0])
    # So many that a hull is asked first, and the places of dead keys.
    yield partial(live_terms, gaussian_heads(600, 1, 2, seed=0)[0])
    # Many sites of a plane, some of them dead, and more dimensions than a hull is made in.
    yield lambda: gaussian_heads(40, 1, 2, seed=0)[0].power_diagram().vertices
    yield lambda: gaussian_heads(16, 1, 13, seed=0)[0].power_diagram().adjacency()
    # A grid whose squares are rounded: its cubes are cut anew; turned, all its sites are inserted.
    grid = np.indices((3, 3, 3)).reshape(3, 27).T * 0.1 + 0.3
    for sites in (grid, grid @ [[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]]):
        lifted = TropicalPolynomial(sites, -(sites**2).sum(axis=1))
        yield lifted.power_diagram().adjacency
    yield partial(cell_distances, space[0].slopes, space[0].intercepts)
    yield lambda: Shortest(np.eye(3)).at(1.0)
    yield partial(count_regions, twins, engine="enumeration")
    # The same for draws, and tokens that are many enough for the hull to be looked for.
    close = TropicalPolynomial(np.vstack([solid[0].slopes, solid[0].slopes * (1 + 2.0**-50)]))
    first = FixedLayer(solid, [rng.standard_normal((5, 3)) for _ in solid])
    last = FixedLayer([close], [rng.standard_normal((10, 3))])
    yield partial(sample_regions, Network([first, last]), 50, seed=0, distribution="gaussian")
    yield partial(simulate, Hardmax(1.0), rng.standard_normal((600, 2)), 3)
    yield partial(sync_diagram, 4, 3, [1.0], layers=3, runs=2, seed=0)
