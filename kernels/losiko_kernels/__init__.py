"""Compiled kernels for ``losiko_torch``: density coefficients, power spectra and their distance."""
