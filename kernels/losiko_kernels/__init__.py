"""Kernels of the SOAP similarity loss: the parts of ``losiko_torch`` that are worth writing twice.

Plain torch in ``losiko_torch`` is the reference for all of them. ``cpu`` holds their form for
processors (compiled by numba at first use, kept on disk), ``gpu`` that for NVIDIA GPUs (Triton);
both take and give torch tensors in the same layout. For n centers and E pairs, sorted by center:

- ``first`` (n + 1,): where each center's pairs begin; ``element`` (E,): number of the element of
  each pair's neighbour, 0 to n_elements - 1.
- Coefficients ``c`` (n, (l_max + 1)^2, n_elements * n_max): row l^2 + l + m, column
  element * n_max + radial function, with the factor of each degree in them (``radial_table``).
- Features in DScribe's order: pairs of elements, then l, then n, n'.
"""
