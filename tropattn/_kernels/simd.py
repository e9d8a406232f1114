"""Many inner products at once: four rows against a block of points that lie side by side.

A block holds points in columns, 32 in single or 16 in double precision, so that one machine vector
holds one coordinate of many points. Sums run over the coordinates in order, each step one fused
multiply-add: a score is a function of its row and its point alone, on every machine and whatever
the block, which BLAS does not promise (and its own threads would fight with our pool).
"""

from __future__ import annotations

from functools import partial

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from tropattn._kernels.compiling import fragment

SINGLE = 32
DOUBLE = 16
AT_ONCE = 4


def _four_rows(typing_context, rows, first, block, out):
    """Type and code of ``out[i, :] = sum_k rows[first + i, k] * block[k, :]`` for ``i`` below 4.

    ``rows`` (n, K) and ``block`` (K, lanes) of one precision, ``out`` (4, lanes), all C-ordered.
    """
    signature = types.void(rows, types.intp, block, out)

    def code(context, builder, signature, args):
        kind = signature.args[0].dtype
        lanes = SINGLE if kind == types.float32 else DOUBLE
        a, x, result = (
            context.make_array(signature.args[i])(context, builder, args[i]) for i in (0, 2, 3)
        )
        index = context.get_value_type(types.intp)
        vector = ir.VectorType(context.get_value_type(kind), lanes)
        fused = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [vector] * 3),
            f"llvm.fma.v{lanes}f{kind.bitwidth}",
        )
        width = builder.extract_value(a.shape, 1)

        number = partial(ir.Constant, index)

        def at(pointer, offset):
            return builder.gep(pointer, [offset])

        starts = [
            at(a.data, builder.mul(builder.add(args[1], number(i)), width)) for i in range(AT_ONCE)
        ]
        entry = builder.block
        loop = builder.append_basic_block("coordinate")
        leave = builder.append_basic_block("store")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(index)
        k.add_incoming(number(0), entry)
        sums = [builder.phi(vector) for _ in range(AT_ONCE)]
        where = at(x.data, builder.mul(k, number(lanes)))
        points = builder.load(builder.bitcast(where, vector.as_pointer()))
        points.align = kind.bitwidth // 8
        totals = []
        undefined = ir.Constant(vector, ir.Undefined)
        spread = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        for running, start in zip(sums, starts, strict=True):
            running.add_incoming(ir.Constant(vector, [0.0] * lanes), entry)
            one = builder.load(at(start, k))
            one = builder.insert_element(undefined, one, ir.Constant(ir.IntType(32), 0))
            one = builder.shuffle_vector(one, undefined, spread)
            totals.append(builder.call(fused, [one, points, running]))
            running.add_incoming(totals[-1], loop)
        following = builder.add(k, number(1))
        k.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, width), loop, leave)
        builder.position_at_end(leave)
        for i, total in enumerate(totals):
            target = builder.bitcast(at(result.data, number(i * lanes)), vector.as_pointer())
            builder.store(total, target).align = kind.bitwidth // 8
        return context.get_dummy_value()

    return signature, code


def _plainly(rows, first, block, out):
    """Do what ``four_rows`` does without compiler; products and sums are rounded apart."""
    for i in range(AT_ONCE):
        out[i] = 0
        for k in range(rows.shape[1]):
            out[i] += rows[first + i, k] * block[k]


four_rows = _plainly if config.DISABLE_JIT else intrinsic(_four_rows)


@fragment()
def top_two(rows, start, stop, block, best, second, winner, scores):
    """Best and second score of each lane over rows [start, stop), and the first row that is best.

    ``stop - start`` is a multiple of 4. ``best``, ``second`` (lanes,), ``winner`` (lanes,) int32
    index from ``start``; ``scores`` (4, lanes) scratch. A NaN never wins.
    """
    lanes = scores.shape[1]
    for r in range(lanes):
        best[r] = -np.inf
        second[r] = -np.inf
        winner[r] = np.int32(0)
    for j in range(start, stop, AT_ONCE):
        four_rows(rows, j, block, scores)
        first = np.int32(j - start)
        for r in range(lanes):
            # All four rows in one pass: the running values stay in registers.
            top = best[r]
            low = second[r]
            at = winner[r]
            v = scores[0, r]
            lesser = top if v > top else v
            low = lesser if lesser > low else low
            at = first if v > top else at
            top = v if v > top else top
            v = scores[1, r]
            lesser = top if v > top else v
            low = lesser if lesser > low else low
            at = first + np.int32(1) if v > top else at
            top = v if v > top else top
            v = scores[2, r]
            lesser = top if v > top else v
            low = lesser if lesser > low else low
            at = first + np.int32(2) if v > top else at
            top = v if v > top else top
            v = scores[3, r]
            lesser = top if v > top else v
            low = lesser if lesser > low else low
            at = first + np.int32(3) if v > top else at
            top = v if v > top else top
            best[r] = top
            second[r] = low
            winner[r] = at
