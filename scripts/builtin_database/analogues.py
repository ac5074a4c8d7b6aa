"""Molecules with sulfur and chlorine, from those of the enumeration.

Enumerating two more elements would multiply the bond graphs. But sulfur takes the place of oxygen
and chlorine that of hydrogen, so the molecules without them lead to those with them.
"""

from __future__ import annotations

import random

from rdkit import Chem

# chlorine on a carbon that bears N or O leaves as chloride
UNSTABLE = Chem.MolFromSmarts("Cl[CX4][N,O]")


def thio(smiles: str, rng: random.Random) -> str | None:
    """Turn an oxygen into a sulfur; None means that there is no oxygen."""
    molecule = Chem.RWMol(Chem.MolFromSmiles(smiles))
    places = [a for a in molecule.GetAtoms() if a.GetAtomicNum() == 8 and a.GetFormalCharge() == 0]
    if not places:
        return None
    rng.choice(places).SetAtomicNum(16)
    return Chem.CanonSmiles(Chem.MolToSmiles(molecule))


def oxidised(smiles: str, rng: random.Random) -> str | None:
    """Turn a thioether or sulfenamide into a sulfoxide or a sulfone; None means there is none."""
    molecule = Chem.RWMol(Chem.MolFromSmiles(smiles))
    places = [
        atom.GetIdx()
        for atom in molecule.GetAtoms()
        if atom.GetAtomicNum() == 16
        and not atom.GetIsAromatic()
        and atom.GetDegree() == 2
        and atom.GetTotalNumHs() == 0
    ]
    if not places:
        return None
    index = rng.choice(places)
    for _ in range(rng.choice((1, 2, 2))):
        molecule.AddBond(index, molecule.AddAtom(Chem.Atom(8)), Chem.BondType.DOUBLE)
    return Chem.CanonSmiles(Chem.MolToSmiles(molecule))


def chlorinated(smiles: str, rng: random.Random) -> str | None:
    """Turn a hydrogen on carbon into a chlorine; None means that this is unstable or impossible."""
    molecule = Chem.RWMol(Chem.MolFromSmiles(smiles))
    places = [
        atom.GetIdx()
        for atom in molecule.GetAtoms()
        if atom.GetAtomicNum() == 6 and atom.GetTotalNumHs() > 0
    ]
    if not places:
        return None
    chlorine = molecule.AddAtom(Chem.Atom(17))
    molecule.AddBond(rng.choice(places), chlorine, Chem.BondType.SINGLE)
    Chem.SanitizeMol(molecule)
    return None if molecule.HasSubstructMatch(UNSTABLE) else Chem.MolToSmiles(molecule)


def analogues(parents: list[str], sulfur: int, chlorine: int, seed: int) -> list[str]:
    """SMILES of about so many molecules with sulfur and with chlorine, a few with both."""
    rng = random.Random(seed)
    parents = [s for s in parents if "F" not in s]
    rng.shuffle(parents)
    found: dict[str, None] = {}
    thiated = list(dict.fromkeys(filter(None, (thio(s, rng) for s in parents))))[:sulfur]
    for s in thiated:
        found[s] = None
        more = oxidised(s, rng)
        if more is not None:
            found[more] = None
    for s in [*parents[:chlorine], *rng.sample(thiated, min(len(thiated), chlorine // 5))]:
        more = chlorinated(s, rng)
        if more is not None:
            found[more] = None
    return list(found)
