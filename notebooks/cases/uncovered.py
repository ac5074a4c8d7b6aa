"""Kinds of structures that the built-in database leaves out: none should pass in silence.

Metals and noble gases, radicals, carbenes, transition states, odd valences, ions of odd valence,
clusters and crystals. They are drawings as users make them, by RDKit's ETKDG or with usual bond
lengths: what matters is what is said about them.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk, graphene, molecule
from ase.cluster import Icosahedron

from cases.drawings import drawn as from_smiles
from cases.drawings import geometry

#: Seed of the drawings.
SEED = 7
#: SMILES of what RDKit can embed. RDKit keeps the valences of radicals and carbenes as given.
SMILES = {
    "methyl radical": "[CH3]",
    "tert-butyl radical": "C[C](C)C",
    "vinyl radical": "C=[CH]",
    "phenyl radical": "c1cccc[c]1",
    "allyl radical": "C=C[CH2]",
    "methoxy radical": "C[O]",
    "methylthio radical": "C[S]",
    "aminyl radical": "C[NH]",
    "TEMPO, a nitroxyl": "CC1(C)CCCC(C)(C)N1[O]",
    "nitrogen dioxide": "O=[N+][O-]",
    "dimethylcarbene": "C[C]C",
    "dichlorocarbene": "Cl[C]Cl",
    "imidazol-2-ylidene": "CN1[C]N(C)C=C1",
    "methylnitrene": "C[N]",
    "dimethylsilylene": "C[Si]C",
    "tetramethoxyphosphoranyl radical": "CO[P](OC)(OC)OC",
    "white phosphorus": "P12P3P1P23",
    "lithium cyclopentadienide": "[Li]C1C=CC=C1",
    "dimethylmercury": "C[Hg]C",
    "tetramethyltin": "C[Sn](C)(C)C",
    "selenophene": "c1cc[se]c1",
    "xenon difluoride": "F[Xe]F",
    "trimethylarsine": "C[As](C)C",
}


def drawn() -> dict[str, Atoms]:
    """Geometries with usual bond lengths of what has no SMILES."""
    apart = Atoms("He2", [(0, 0, 0), (0, 0, 2.97)])
    exchange = Atoms("CH3FCl", [(0, 0, 0), *_ring(3, 1.07), (0, 0, 2.0), (0, 0, -2.3)])
    turning = Atoms("CNH", [(0, 0, 0), (0, 0, 1.19), (0, 1.15, 0.3)])
    methonium = Atoms("CH5", [(0, 0, 0), *_ring(3, 1.09), (0.4, 0, 1.1), (-0.4, 0, 1.1)])
    return {
        "helium dimer": apart,
        "lithium fluoride": molecule("LiF"),
        "copper cluster": Icosahedron("Cu", 2),
        "SN2 transition state": exchange,
        "transition state of HCN and HNC": turning,
        "methonium": methonium,
        "trihydrogen cation": Atoms("H3", _ring(3, 0.5)),
        "ring of 18 carbon atoms": Atoms("C18", _ring(18, 3.7)),
        "fullerene": molecule("C60"),
        "boron icosahedron": Icosahedron("B", 2, latticeconstant=3.4),
        "oxygen atom": Atoms("O", [(0, 0, 0)]),
        "rock salt": bulk("NaCl", "rocksalt", 5.64),
        "diamond": bulk("C", "diamond", 3.57),
        "silicon": bulk("Si", "diamond", 5.43),
        "graphene": graphene(vacuum=8.0),
    }


def structures() -> dict[str, Atoms]:
    """All kinds."""
    return {**{name: geometry(from_smiles(each, SEED)) for name, each in SMILES.items()}, **drawn()}


def _ring(count: int, radius: float) -> np.ndarray:
    angles = 2 * np.pi * np.arange(count) / count
    return radius * np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1)
