"""Plans of single molecules: ions, further elements, inner hydrogen bonds, larger molecules."""

from __future__ import annotations

import random

import elements
import ions
import larger
from contacts import Plan
from handpicked import CARRIERS, join
from inner import INNER
from rdkit import Chem

JOINED, JOINED_IONS = 3, 2  # carriers of each group beyond the first, methyl
DRAWN = 130  # molecules of rings and linkers
DRAWN_SIZES = 12, 22  # heavy atoms


def joined(carriers: str, groups: str, more: int, rng: random.Random) -> list[str]:
    """SMILES of each group on the first carrier and on so many others."""
    first, *others = carriers.split()
    return [
        join(carrier, group)
        for group in groups.split()
        for carrier in (first, *rng.sample(others, more))
    ]


def plans(seed: int) -> list[Plan]:
    """What is to be made, most important first."""
    rng = random.Random(seed)
    charged = joined(ions.CARRIERS, ions.ANIONIC + ions.CATIONIC, JOINED_IONS, rng)
    rng.shuffle(charged)
    heavier = [
        *joined(CARRIERS, elements.PHOSPHORUS + elements.BORON + elements.SILICON, JOINED, rng),
        *joined(CARRIERS, elements.BROMINE + elements.IODINE, JOINED, rng),
        *joined(CARRIERS, elements.SULFUR_AND_FLUORINE, JOINED, rng),
        *elements.PICKED.split(),
    ]
    rng.shuffle(heavier)
    inner = INNER.split()
    rng.shuffle(inner)
    drawn = larger.drawn(DRAWN, *DRAWN_SIZES, seed)
    large = [*larger.KNOWN.split(), *larger.peptides(), *drawn]
    large.sort(key=lambda s: Chem.MolFromSmiles(s).GetNumHeavyAtoms())
    groups = {
        "single ions": (ions.PICKED.split() + charged, 1),
        "elements": (heavier, 1),
        "hypervalent": (elements.HYPERVALENT.split(), 1),
        "inner hydrogen bonds": (inner, 2),
        "larger": (large, 1),
    }
    every = [
        Plan(group, s, (), count)
        for group, (smiles, count) in groups.items()
        for s in dict.fromkeys(
            # complexes keep the order of their parts
            s if "." in s else Chem.CanonSmiles(s)
            for s in smiles
        )
    ]
    # ions with water are placed as complexes are
    return [
        plan._replace(ways=("hydrogen", "random") * 3) if "." in plan.smiles else plan
        for plan in every
    ]
