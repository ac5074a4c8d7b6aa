"""Rings larger, fused and bridged, and aromatic rings with neighbouring substituents.

The enumeration of `grow.py` stops at nine heavy atoms and seldom meets what needs most of them for
a single ring system. Here saturated skeletons are spelt out (monocycles, bicyclo[a.b.c]alkanes,
spiro compounds, rings fused to aromatic ones) and changed at random, one move after the other: a
CH2 becomes O, NH, S, C=O, C=NH or SO2, a CH a nitrogen, a single bond a double bond, an H a small
group. Aromatic rings get one to three groups, which sit side by side more often than not.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from grow import acceptable, strained_sp
from rdkit import Chem

LARGEST = 12  # heavy atoms
LARGEST_SKELETON = 11
TRIES = 40  # molecules tried for every one wanted

#: Aromatic rings, as SMILES separated by blanks.
AROMATIC = """
c1ccccc1 c1ccncc1 c1ccnnc1 c1cnccn1 c1cncnc1 c1ncncn1 c1ccoc1 c1cc[nH]c1 c1ccsc1 c1c[nH]cn1
c1cn[nH]c1 c1cocn1 c1cnoc1 c1cscn1 c1cnsc1 c1nnc[nH]1 c1c[nH]nn1 c1nn[nH]n1 c1nnco1 c1ncon1 c1conn1
c1cnon1 c1nncs1 c1ncns1 c1csnn1 c1cnsn1 O=c1cccc[nH]1 O=c1cc[nH]cc1 O=c1cc[nH]cn1 O=c1cncc[nH]1
O=c1cc[nH][nH]1 O=c1[nH]cc[nH]1 O=c1[nH]cco1 O=c1cccco1 O=c1ccocc1 O=c1cc[nH]c(=O)[nH]1
O=c1cccn[nH]1 N=c1cc[nH]cc1 N=c1cccco1 N=c1cncc[nH]1 N=c1ccnc[nH]1 N=c1[nH]ccs1 N=c1[nH]cco1
N=c1ccocc1 c1ccc2[nH]ccc2c1 c1cc2cc[nH]c2[nH]1 c1cn2ccnc2[nH]1 c1ncc2[nH]cnc2n1 c1ccn2cccc2c1
c1ccc2ncccc2c1
"""

#: An aromatic ring closed by a chain of so many atoms, where {} stands.
FUSED = """
c1ccc2c(c1){}2 c1ccc2c(n1){}2 c1cc2c(cn1){}2 c1cc2c(s1){}2 c1cc2c(o1){}2 c1cc2c([nH]1){}2
c1nn2c(c1){}2 c1cn2c(n1){}2 c1nc2c([nH]1){}2 c1ncc2c(n1){}2 c1nnc2n1{}2 c1noc2c1{}2 c1nsc2c1{}2
"""

#: Skeletons of three and more rings.
CAGES = """
C1C2CC3CC1CC(C2)C3 C1CC2CCC1C1CCC21 C1CC2CC1C1CCCC21 C1CC2C3CCC(C3)C2C1 C1CC2CCC3CCC1C23
C1CC2CCCC3CCCC1C23 C1CC2CC3CC2CC13 C1C2CC3C1C3C2 C1CC2C3CC(C3)C2C1 C1C2C3CC1CC23 C1CC2C1C1CCC21
C1CC2CC1C1CC21 C1C2CC3C2CC13 C1CC23CCC2CCC3C1 C1CC2(C1)CC1CC1C2 C1CC2C3CC3C2C1 C12CC3CC1CC(C2)C3
C1CC2C3CCC2C1C3 C1C2C3C4C1C2C34 C1CC2C3CCC1C23 C1CC2CC3CC1C23 C1C2CC3CC1C3C2
"""

GROUPS = """
C C C CC O O N N OC NC N(C)C C#N C#C C=C C=O C(C)=O C(N)=O C(=O)O C(C)C C(C)(C)C F Cl S SC CO CN
C=NO C=N N=CN N=CO C=NC OC=O NC=O OC=N CF CCl [N+](=O)[O-] C1CC1 C1CO1 C1CN1 N1CC1 C1CCC1 OCC CC#N
"""


def skeletons() -> list[str]:
    """SMILES of saturated carbon skeletons, at most `LARGEST_SKELETON` atoms."""
    chain = ["C" * n for n in range(LARGEST_SKELETON)]
    found = [f"C1{chain[n - 1]}1" for n in range(4, LARGEST_SKELETON + 1)]
    for a in range(1, 7):
        for b in range(1, a + 1):
            found.append(f"C12{chain[a]}C1{chain[b]}2")
            if b > 1:
                found.append(f"C1{chain[a - 1]}C12{chain[b - 1]}C2")
            for c in range(1, b + 1):
                found.append(f"C12{chain[a]}C({chain[b]}1){chain[c]}2")
    found += [ring.format(chain[n]) for ring in FUSED.split() for n in range(2, 7)]
    found += CAGES.split()
    molecules = (Chem.MolFromSmiles(s) for s in dict.fromkeys(map(Chem.CanonSmiles, found)))
    return [Chem.MolToSmiles(m) for m in molecules if m.GetNumAtoms() <= LARGEST_SKELETON]


def pick(atoms: list[Chem.Atom], rng: random.Random) -> int | None:
    """Index of a random one of the atoms. None means that there are no atoms."""
    return rng.choice(atoms).GetIdx() if atoms else None


def methylenes(molecule: Chem.Mol, hydrogens: int = 2) -> list[Chem.Atom]:
    """Ring atoms CH2 (or CH) that are neither aromatic nor part of a double bond."""
    return [
        atom
        for atom in molecule.GetAtoms()
        if atom.GetAtomicNum() == 6
        and atom.IsInRing()
        and atom.GetHybridization() == Chem.HybridizationType.SP3
        and atom.GetTotalNumHs() == hydrogens
    ]


def replace(molecule: Chem.RWMol, rng: random.Random) -> None:
    """Turn a CH2 into O, NH or S, or a CH into N."""
    hydrogens = 1 if rng.random() < 0.2 else 2
    index = pick(methylenes(molecule, hydrogens), rng)
    if index is not None:
        element = 7 if hydrogens == 1 else rng.choice((7, 7, 8, 8, 16))
        molecule.GetAtomWithIdx(index).SetAtomicNum(element)


def oxidise(molecule: Chem.RWMol, rng: random.Random) -> None:
    """Turn a CH2 into C=O, C=NH or C=CH2, or a thioether into a sulfoxide or a sulfone."""
    sulfur = [
        atom
        for atom in molecule.GetAtoms()
        if atom.GetAtomicNum() == 16 and not atom.GetIsAromatic() and atom.GetTotalValence() == 2
    ]
    index = pick(sulfur or methylenes(molecule), rng)
    if index is None:
        return
    times = rng.choice((1, 2, 2)) if sulfur else 1
    for _ in range(times):
        partner = 8 if sulfur else rng.choice((8, 8, 8, 7, 6))
        molecule.AddBond(index, molecule.AddAtom(Chem.Atom(partner)), Chem.BondType.DOUBLE)


def unsaturate(molecule: Chem.RWMol, rng: random.Random) -> None:
    """Turn a single bond in a ring into a double bond."""
    bonds = [
        bond
        for bond in molecule.GetBonds()
        if bond.IsInRing()
        and bond.GetBondType() == Chem.BondType.SINGLE
        and all(
            atom.GetAtomicNum() in (6, 7)
            and atom.GetTotalNumHs() > 0
            and atom.GetTotalValence() == atom.GetTotalDegree()
            for atom in (bond.GetBeginAtom(), bond.GetEndAtom())
        )
    ]
    if bonds:
        rng.choice(bonds).SetBondType(Chem.BondType.DOUBLE)


def attach(molecule: Chem.RWMol, rng: random.Random) -> None:
    """Turn an H of a ring atom into a group, often side by side with another group."""
    free = [a for a in molecule.GetAtoms() if a.IsInRing() and a.GetTotalNumHs() > 0]
    beside = [
        atom
        for atom in free
        if any(
            not other.IsInRing() for ring in atom.GetNeighbors() for other in ring.GetNeighbors()
        )
    ]
    index = pick(beside if beside and rng.random() < 0.6 else free, rng)
    if index is None:
        return
    group = Chem.MolFromSmiles(rng.choice(GROUPS.split()))
    first = molecule.GetNumAtoms()
    atom = molecule.GetAtomWithIdx(index)
    if atom.GetAtomicNum() == 7:
        if group.GetAtomWithIdx(0).GetAtomicNum() != 6:
            return
        if atom.GetIsAromatic():
            atom.SetNumExplicitHs(0)
    molecule.InsertMol(group)
    molecule.AddBond(index, first, Chem.BondType.SINGLE)


def changed(smiles: str, moves: list[Callable], rng: random.Random) -> str | None:
    """SMILES of a molecule after the moves; None means that the result is not sound."""
    molecule = Chem.RWMol(Chem.MolFromSmiles(smiles))
    try:
        for move in moves:
            move(molecule, rng)
            Chem.SanitizeMol(molecule)
    except (Chem.MolSanitizeException, RuntimeError):
        return None
    sound = molecule.GetNumAtoms() <= LARGEST and not strained_sp(molecule) and acceptable(molecule)
    return Chem.MolToSmiles(molecule) if sound else None


def rings(saturated: int, aromatic: int, seed: int) -> list[str]:
    """SMILES of `saturated` changed skeletons, and of `aromatic` aromatic rings with groups."""
    rng = random.Random(seed)
    found: dict[str, None] = {}

    def collect(wanted: int, starts: list[str], draw: Callable[[], list[Callable]]) -> None:
        goal = len(found) + wanted
        for _ in range(TRIES * wanted):
            smiles = changed(rng.choice(starts), draw(), rng)
            if smiles is not None:
                found[smiles] = None
            if len(found) >= goal:
                return

    alterations = (replace, replace, oxidise, oxidise, unsaturate, attach, attach)
    collect(saturated, skeletons(), lambda: rng.choices(alterations, k=rng.randint(0, 4)))
    collect(aromatic, AROMATIC.split(), lambda: [attach] * rng.randint(1, 3))
    return list(found)
