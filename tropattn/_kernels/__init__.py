"""Numba kernels: arrays in, arrays out, no options, no exceptions; nothing else of tropattn here."""
