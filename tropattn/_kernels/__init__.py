"""Numba kernels: arrays in, arrays out, no options, no exceptions, no other import."""
