"""The kernels for processors, compiled by numba and spread over torch's threads."""

from losiko_kernels.cpu.combination import combine, distances_among
from losiko_kernels.cpu.density import expand_density, expand_density_backward
from losiko_kernels.cpu.distance import distance
from losiko_kernels.cpu.features import power_spectra, power_spectra_backward
from losiko_kernels.cpu.jacobian import Moves, feature_derivatives
from losiko_kernels.cpu.lists import nearest_in_lists
from losiko_kernels.cpu.nearest import keep_places, nearest_of, nearest_within
from losiko_kernels.cpu.neighbors import neighbors_within
from losiko_kernels.cpu.power_spectrum import power_spectrum_backward, unit_power_spectrum
from losiko_kernels.cpu.structure import density_around, is_plausible

__all__ = [
    "Moves",
    "combine",
    "density_around",
    "distance",
    "distances_among",
    "expand_density",
    "expand_density_backward",
    "feature_derivatives",
    "is_plausible",
    "keep_places",
    "nearest_in_lists",
    "nearest_of",
    "nearest_within",
    "neighbors_within",
    "power_spectra",
    "power_spectra_backward",
    "power_spectrum_backward",
    "unit_power_spectrum",
]
