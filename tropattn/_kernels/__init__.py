"""Numba kernels: arrays in, arrays out, no options, no exceptions, no other import.

All are compiled by ``compiling.njit``.

Where a kernel passes a constant to another one it is typed (``np.int64(0)``, ``np.bool_(True)``):
Numba compiles a function anew for every literal argument, and all that it calls.
"""
