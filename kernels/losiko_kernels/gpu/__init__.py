"""Triton kernels for NVIDIA GPUs; the interpreter runs them on a CPU (TRITON_INTERPRET=1)."""

from losiko_kernels.gpu import ahead
from losiko_kernels.gpu.combination import combine, nearest_of
from losiko_kernels.gpu.density import expand_density, expand_density_backward
from losiko_kernels.gpu.distance import distance
from losiko_kernels.gpu.lbfgs import lbfgs_step
from losiko_kernels.gpu.mixing import mix
from losiko_kernels.gpu.networks import inner_layers
from losiko_kernels.gpu.pairs import gradient_of_atoms, pair_geometry
from losiko_kernels.gpu.power_spectrum import power_spectrum_backward, unit_power_spectrum
from losiko_kernels.gpu.trials import conclude, measure

__all__ = [
    "ahead",
    "combine",
    "conclude",
    "distance",
    "expand_density",
    "expand_density_backward",
    "gradient_of_atoms",
    "inner_layers",
    "lbfgs_step",
    "measure",
    "mix",
    "nearest_of",
    "pair_geometry",
    "power_spectrum_backward",
    "unit_power_spectrum",
]
