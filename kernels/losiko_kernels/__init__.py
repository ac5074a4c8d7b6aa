"""Kernels of the SOAP similarity loss: the parts of ``losiko_torch`` that are worth writing twice.

Plain torch in ``losiko_torch`` defines their results. ``cpu`` holds kernels for processors
(compiled by numba at first use, kept on disk), ``gpu`` those for NVIDIA GPUs (Triton). Arguments
and results are torch tensors in the same layout. For n centers and E pairs, sorted by center:

- ``first`` (n + 1,): number of each center's first pair, and E; ``element`` (E,): number of the
  element of each pair's neighbour, 0 to n_elements - 1.
- Coefficients ``c`` (n, (l_max + 1)^2, n_elements * n_max): row l^2 + l + m, column
  element * n_max + radial function, scaled by the factor of each degree (``radial_table``).
- Features in DScribe's order: pairs of elements, then l, then n, n'.
"""

#: Atoms of a tile at most: atoms of one element, which a program takes together.
TILE = 64
