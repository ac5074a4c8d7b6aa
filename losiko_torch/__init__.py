"""LOSIKO: relax atomic structures by their similarity to known good ones.

No energies, forces or training: each atom's surroundings are encoded as a SOAP power spectrum, the
nearest environments of the same element are looked up in a database, and the atoms move until
theirs look like those.
"""

from losiko_torch.calculator import LosikoCalculator
from losiko_torch.database.embedded import default_database
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.database.sources import read_structures
from losiko_torch.descriptors.acsf import ACSF
from losiko_torch.descriptors.protocol import Descriptor
from losiko_torch.descriptors.soap import SOAP
from losiko_torch.errors import InputError, LosikoError, StructureError
from losiko_torch.relaxation import relax, relax_iter
from losiko_torch.results import Matches, Result, Score
from losiko_torch.schedule import Stage, annealed
from losiko_torch.scoring import score
from losiko_torch.selection import near_plane, within
from losiko_torch.structures import Batch

__version__ = "0.1.0"


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
    "annealed",
    "default_database",
    "near_plane",
    "read_structures",
    "relax",
    "relax_iter",
    "score",
    "within",
]
