"""Triton kernels for NVIDIA GPUs; the interpreter runs them on a CPU (TRITON_INTERPRET=1)."""

from losiko_kernels.gpu.combination import combine, nearest_of
from losiko_kernels.gpu.density import expand_density, expand_density_backward
from losiko_kernels.gpu.distance import distance
from losiko_kernels.gpu.networks import inner_layers
from losiko_kernels.gpu.power_spectrum import power_spectrum_backward, unit_power_spectrum
from losiko_kernels.gpu.two_loop import two_loop

__all__ = [
    "combine",
    "distance",
    "expand_density",
    "expand_density_backward",
    "inner_layers",
    "nearest_of",
    "power_spectrum_backward",
    "two_loop",
    "unit_power_spectrum",
]
