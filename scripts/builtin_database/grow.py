"""Enumerate small H, C, N, O, F molecules by growing bond graphs.

A molecule is a list of heavy atoms and a table of bond orders; hydrogens fill what is left of
each valence, so every graph is a neutral closed-shell molecule. Three moves (attach an atom, raise
a bond order, close a ring) reach every such molecule from single atoms. Duplicates are merged
through RDKit's canonical SMILES. Two kinds of filters keep out silly chemistry: cheap ones that no
later move can cure prune the growth, and SMARTS patterns sort the finished molecules. Past a size
the number of molecules explodes, so random walks from a sample of parents take over there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from rdkit import Chem, RDLogger
from rdkit.Chem import rdMolDescriptors

RDLogger.DisableLog("rdApp.*")

VALENCE = {6: 4, 7: 3, 8: 2, 9: 1}
BOND = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
UNBONDED = ({8}, {9}, {8, 9}, {7, 9})  # pairs of elements, left to the hand-picked list
MAX_HETERO = 4  # N and O together
MAX_FLUORINE = 3
LARGEST_FLUORINATED = 6  # heavy atoms; fluorine is rare in what users relax
MAX_RINGS = 3
MAX_THREE_RINGS = 2
LARGEST_CUMULATED = 5  # heavy atoms; allenes are rare in larger molecules

# elements of the heavy atoms, and bond orders keyed by the pair (i < j)
Graph = tuple[tuple[int, ...], dict[tuple[int, int], int]]

UNSTABLE = [
    Chem.MolFromSmarts(s)
    for s in (
        # chains of heteroatoms, unless aromatic
        "[#7,#8]~[#7,#8]~[#7,#8;!a]",
        "[#7,#8]~[#7,#8;!a]~[#7,#8]",
        "[#7,#8]~[#7,#8]~[#7,#8]~[#7,#8]",
        "N=O",
        # antiaromatic or too strained rings
        "[r3]1=[r3][N,O;r3]1",
        "*1=**=*1",
        "[a;r3,r4]",
        "[r3,r4;x3]=*",
        "[r3]1=[r3][x3,x4]1",
        "[a]=[C,N;!a]",
        # what falls apart or becomes another molecule at once
        "[OX2H][CX4][OX2H,NX3,F]",
        "[NX3;H2][CX4][NX3;H2,F]",
        "[OX2H]C=[C;!a]",
        "[NX3;H2]C=[C;!a]",
        "[#7]C#C",
        "[OX2,F]C#*",
        "F[CX4][N,O]",
        "FC=[N;!a]",
        # cumulated double bonds beyond allenes, ketenes, isocyanates, carbodiimides
        "*=*=*=*",
        "[!#6]=C=C[!#6]",
    )
]


CUMULATED = Chem.MolFromSmarts("C=C=[C,N]")
HETERO_PAIR = Chem.MolFromSmarts("[#7,#8]~[#7,#8;!a]")


def free_valence(graph: Graph) -> list[int]:
    """Hydrogens that each heavy atom carries."""
    elements, bonds = graph
    free = [VALENCE[z] for z in elements]
    for (i, j), order in bonds.items():
        free[i] -= order
        free[j] -= order
    return free


def children(graph: Graph) -> Iterator[Graph]:
    """Yield all graphs that are one move away."""
    elements, bonds = graph
    free = free_valence(graph)
    n = len(elements)
    for i in range(n):
        if free[i] == 0:
            continue
        for z in VALENCE:
            if {z, elements[i]} not in UNBONDED:
                yield (*elements, z), {**bonds, (i, n): 1}
        for j in range(i + 1, n):
            if free[j] == 0:
                continue
            order = bonds.get((i, j), 0)
            if order == 3 or (
                order == 0
                and ({elements[i], elements[j]} in UNBONDED or len(bonds) - n + 1 >= MAX_RINGS)
            ):
                continue
            yield elements, {**bonds, (i, j): order + 1}


def within_limits(graph: Graph) -> bool:
    """Return whether a graph obeys the limits of composition, which no later move can cure."""
    elements = graph[0]
    most = MAX_FLUORINE if len(elements) <= LARGEST_FLUORINATED else 0
    return elements.count(7) + elements.count(8) <= MAX_HETERO and elements.count(9) <= most


def to_molecule(graph: Graph) -> Chem.Mol:
    """The RDKit molecule of a graph, sanitised."""
    elements, bonds = graph
    molecule = Chem.RWMol()
    for z in elements:
        molecule.AddAtom(Chem.Atom(z))
    for (i, j), order in bonds.items():
        molecule.AddBond(i, j, BOND[order])
    Chem.SanitizeMol(molecule)
    return molecule


def strained_sp(molecule: Chem.Mol) -> bool:
    """Return whether a linear atom (triple bond, cumulated double bonds) is inside a ring."""
    rings = molecule.GetRingInfo()
    for atom in molecule.GetAtoms():
        if rings.NumAtomRings(atom.GetIdx()) == 0:
            continue
        bonds = atom.GetBonds()
        if any(bond.GetBondType() == BOND[3] and bond.IsInRing() for bond in bonds):
            return True
        if sum(bond.GetBondType() == BOND[2] for bond in bonds) == 2:
            return True
    return False


def acceptable(molecule: Chem.Mol) -> bool:
    """Return whether a finished molecule could, roughly, be kept in a bottle."""
    hetero = sum(atom.GetAtomicNum() in (7, 8) for atom in molecule.GetAtoms())
    carbon = sum(atom.GetAtomicNum() == 6 for atom in molecule.GetAtoms())
    if hetero > carbon + 1 or any(molecule.HasSubstructMatch(p) for p in UNSTABLE):
        return False
    if len(molecule.GetSubstructMatches(HETERO_PAIR)) > 1:
        return False
    rings = molecule.GetRingInfo().NumRings()
    aromatic = any(atom.GetIsAromatic() for atom in molecule.GetAtoms())
    if (rings > 2 and hetero + carbon < 7) or (not aromatic and hetero + rings > 5):
        return False  # cages with more heteroatoms and rings than carbon
    if hetero + carbon > LARGEST_CUMULATED and molecule.HasSubstructMatch(CUMULATED):
        return False
    if sum(len(ring) == 3 for ring in molecule.GetRingInfo().AtomRings()) > MAX_THREE_RINGS:
        return False
    heads: list[int] = []
    rdMolDescriptors.CalcNumBridgeheadAtoms(molecule, heads)
    for index in heads:  # Bredt: no double bond inside a ring at a bridgehead
        for bond in molecule.GetAtomWithIdx(index).GetBonds():
            if bond.IsInRing() and bond.GetBondTypeAsDouble() > 1:
                return False
    return True


def grow_level(parents: list[Graph], visits: int | None, rng: random.Random) -> dict[str, Graph]:
    """Molecules with one heavy atom more than the parents, by SMILES.

    Either all of them, or those that a random walk of `visits` steps from each parent meets.
    """
    size = len(parents[0][0]) + 1
    found: dict[str, Graph] = {}
    for parent in parents:
        frontier = [child for child in children(parent) if len(child[0]) == size]
        visited = 0
        while frontier and (visits is None or visited < visits):
            graph = frontier.pop(rng.randrange(len(frontier)) if visits else -1)
            if not within_limits(graph):
                continue
            molecule = to_molecule(graph)
            smiles = Chem.MolToSmiles(molecule)
            if smiles in found or strained_sp(molecule):
                continue
            found[smiles] = graph
            visited += 1
            # the moves that keep the size go on until nothing new turns up
            frontier.extend(child for child in children(graph) if len(child[0]) == size)
    return found


def kind(smiles: str) -> tuple[int, int, bool, int]:
    """Coarse class of a molecule: heteroatoms, rings, aromatic, multiple bonds."""
    molecule = Chem.MolFromSmiles(smiles)
    multiple = smiles.count("=") + smiles.count("#")  # those of aromatic rings are not written
    hetero = sum(atom.GetAtomicNum() != 6 for atom in molecule.GetAtoms())
    rings = molecule.GetRingInfo().NumRings()
    aromatic = any(atom.GetIsAromatic() for atom in molecule.GetAtoms())
    return hetero, rings, aromatic, min(multiple, 2)


def balanced_sample(smiles: list[str], size: int, rng: random.Random) -> list[str]:
    """A sample with equal shares for every kind of molecule.

    Strained polycycles full of heteroatoms far outnumber everything a chemist would name, and
    would crowd it out of an even sample.
    """
    shares: dict[tuple[int, int, bool, int], list[str]] = {}
    for s in sorted(smiles):
        shares.setdefault(kind(s), []).append(s)
    for share in shares.values():
        rng.shuffle(share)
    chosen: list[str] = []
    while len(chosen) < size and any(shares.values()):
        chosen.extend(share.pop() for share in shares.values() if share)
    return chosen[:size]


def enumerate_molecules(
    quotas: dict[int, int], parents: int, visits: int, seed: int
) -> dict[int, list[str]]:
    """Candidate SMILES by number of heavy atoms, at most `quotas[size]` of each size.

    All molecules are grown up to six heavy atoms; beyond, random walks of `visits` steps start from
    a sample of `parents` acceptable ones.
    """
    rng = random.Random(seed)
    graphs: dict[str, Graph] = {}
    for z in VALENCE:
        graph = ((z,), {})
        graphs[Chem.MolToSmiles(to_molecule(graph))] = graph
    levels: dict[int, list[str]] = {}
    good = sorted(graphs)
    for size in range(1, max(quotas) + 1):
        if size > 1:
            pool = sorted(s for s in graphs if size <= LARGEST_FLUORINATED or "F" not in s)
            if size > 6:
                pool = balanced_sample(sorted(set(pool) & set(good)), parents, rng)
            graphs = grow_level([graphs[s] for s in pool], visits if size > 6 else None, rng)
            good = [s for s in sorted(graphs) if acceptable(Chem.MolFromSmiles(s))]
        levels[size] = balanced_sample(good, quotas[size], rng)
    return levels
