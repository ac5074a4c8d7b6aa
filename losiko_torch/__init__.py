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
from losiko_torch.io.read import read_structures
from losiko_torch.relaxation.relax import relax, relax_iter
from losiko_torch.relaxation.schedule import Stage, annealed
from losiko_torch.results import Matches, Result, Score
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.selection import near_plane, within
from losiko_torch.version import __version__

__all__ = [
    "ACSF",
    "SOAP",
    "Batch",
    "Descriptor",
    "EnvironmentDatabase",
    "InputError",
    "LosikoCalculator",
    "LosikoError",
    "Matches",
    "Result",
    "Score",
    "Stage",
    "StructureError",
    "__version__",
    "annealed",
    "default_database",
    "near_plane",
    "read_structures",
    "relax",
    "relax_iter",
    "score",
    "within",
]
