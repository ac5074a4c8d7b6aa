"""LOSIKO: relax atomic structures by their similarity to known good ones.

No energies, forces or labels: each atom's surroundings are encoded as a SOAP power spectrum, the
nearest environments of the same element are looked up in a database, and the atoms move until
theirs look like those.

A public name is imported when it is first asked for, so that the command line answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from losiko_torch.similarity.kernels import AverageKernel, REMatchKernel
    from losiko_torch.systems.batch import Batch
    from losiko_torch.systems.geometry import bond_errors, rmsd, superposed
    from losiko_torch.systems.rdkit import to_rdkit
    from losiko_torch.systems.selection import near_plane, within
    from losiko_torch.version import __version__

#: Module of each public name, behind "losiko_torch.".
_MODULES = {
    "score": "batching.score",
    "LosikoCalculator": "calculator",
    "default_database": "database.builtin",
    "EnvironmentDatabase": "database.environments",
    "ACSF": "descriptors.acsf.acsf",
    "Descriptor": "descriptors.interface",
    "SOAP": "descriptors.soap.soap",
    "InputError": "errors",
    "LosikoError": "errors",
    "StructureError": "errors",
    "fetch": "io.fetching.fetch",
    "read_structures": "io.read",
    "AutogradTarget": "loss.targets.autograd",
    "Target": "loss.targets.interface",
    "LocallyLinear": "loss.targets.locally_linear",
    "Nearest": "loss.targets.nearest",
    "Density": "loss.terms.density",
    "Term": "loss.terms.interface",
    "Property": "loss.terms.property",
    "Repulsion": "loss.terms.repulsion",
    "Tether": "loss.terms.tether",
    "Adam": "optimizers.adam",
    "FIRE": "optimizers.fire",
    "GradientDescent": "optimizers.gradient_descent",
    "Optimizer": "optimizers.interface",
    "LBFGS": "optimizers.lbfgs",
    "NelderMead": "optimizers.nelder_mead",
    "relax": "relaxation.relax",
    "relax_iter": "relaxation.relax",
    "Stage": "relaxation.schedule",
    "annealed": "relaxation.schedule",
    "Matches": "results",
    "Result": "results",
    "Results": "results",
    "Score": "results",
    "Scores": "results",
    "AverageKernel": "similarity.kernels",
    "REMatchKernel": "similarity.kernels",
    "Batch": "systems.batch",
    "bond_errors": "systems.geometry",
    "rmsd": "systems.geometry",
    "superposed": "systems.geometry",
    "to_rdkit": "systems.rdkit",
    "near_plane": "systems.selection",
    "within": "systems.selection",
    "__version__": "version",
}

__all__ = [
    "ACSF",
    "FIRE",
    "LBFGS",
    "SOAP",
    "Adam",
    "AutogradTarget",
    "AverageKernel",
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
    "REMatchKernel",
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
    "to_rdkit",
    "within",
]


if not TYPE_CHECKING:  # a type checker would take any name for one of the package's

    def __getattr__(name: str) -> Any:
        """Import a public name, or one of the package's modules."""
        if name in _MODULES:
            value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
            globals()[name] = value
            return value
        module = f"{__name__}.{name}"
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
