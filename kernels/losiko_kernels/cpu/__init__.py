"""The kernels for processors, compiled by numba and spread over torch's threads."""

from losiko_kernels.cpu.combination import combine, distances_among
from losiko_kernels.cpu.density import expand_density, expand_density_backward
from losiko_kernels.cpu.distance import distance
from losiko_kernels.cpu.lists import nearest_in_lists
from losiko_kernels.cpu.nearest import keep_places, nearest_of, nearest_within
from losiko_kernels.cpu.power_spectrum import power_spectrum_backward, unit_power_spectrum

__all__ = [
    "combine",
    "distance",
    "distances_among",
    "expand_density",
    "expand_density_backward",
    "keep_places",
    "nearest_in_lists",
    "nearest_of",
    "nearest_within",
    "power_spectrum_backward",
    "unit_power_spectrum",
]
