"""LOSIKO: relax atomic structures by their similarity to known good ones.

No energies, forces or training: each atom's surroundings are encoded as a SOAP power spectrum, the
nearest environments of the same element are looked up in a database, and the atoms move until
theirs look like those.
"""

from losiko_torch.batching.score import score
from losiko_torch.calculator import LosikoCalculator
from losiko_torch.database.builtin import default_database
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.descriptors.acsf.acsf import ACSF
from losiko_torch.descriptors.interface import Descriptor
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError, LosikoError, StructureError
from losiko_torch.io.fetching.fetch import fetch
from losiko_torch.io.read import read_structures
from losiko_torch.loss.targets.autograd import AutogradTarget
from losiko_torch.loss.targets.interface import Target
from losiko_torch.loss.targets.locally_linear import LocallyLinear
from losiko_torch.loss.targets.nearest import Nearest
from losiko_torch.loss.terms.density import Density
from losiko_torch.loss.terms.interface import Term
from losiko_torch.loss.terms.property import Property
from losiko_torch.loss.terms.repulsion import Repulsion
from losiko_torch.loss.terms.tether import Tether
from losiko_torch.optimizers.adam import Adam
from losiko_torch.optimizers.fire import FIRE
from losiko_torch.optimizers.gradient_descent import GradientDescent
from losiko_torch.optimizers.interface import Optimizer
from losiko_torch.optimizers.lbfgs import LBFGS
from losiko_torch.optimizers.nelder_mead import NelderMead
from losiko_torch.relaxation.relax import relax, relax_iter
from losiko_torch.relaxation.schedule import Stage, annealed
from losiko_torch.results import Matches, Result, Results, Score, Scores
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.geometry import bond_errors, rmsd, superposed
from losiko_torch.systems.selection import near_plane, within
from losiko_torch.version import __version__

__all__ = [
    "ACSF",
    "FIRE",
    "LBFGS",
    "SOAP",
    "Adam",
    "AutogradTarget",
    "Batch",
    "Density",
    "Descriptor",
    "EnvironmentDatabase",
    "GradientDescent",
    "InputError",
    "LocallyLinear",
    "LosikoCalculator",
    "LosikoError",
    "Matches",
    "Nearest",
    "NelderMead",
    "Optimizer",
    "Property",
    "Repulsion",
    "Result",
    "Results",
    "Score",
    "Scores",
    "Stage",
    "StructureError",
    "Target",
    "Term",
    "Tether",
    "__version__",
    "annealed",
    "bond_errors",
    "default_database",
    "fetch",
    "near_plane",
    "read_structures",
    "relax",
    "relax_iter",
    "rmsd",
    "score",
    "superposed",
    "within",
]
