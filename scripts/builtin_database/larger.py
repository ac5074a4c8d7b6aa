"""Larger molecules: drugs, peptides, sugars, nucleosides, lipids, steroids, and drawn ones.

None of those that the reports are measured on (`notebooks/cases/unseen.py`) is kept.
"""

from __future__ import annotations

import random

from rdkit import Chem

KNOWN = """
CC(=O)Nc1ccc(OCC)cc1 CCN(CC)C(=O)c1cccc(C)c1 CC(C)NCC(O)COc1ccccc1 CNC(=O)Oc1cccc(C(C)C)c1
COc1ccccc1OCC(O)CO CC(C)(C)NCC(O)c1cccc(Cl)c1 Clc1ccccc1CN1CCc2sccc2C1 CN1CCN(c2ccccc2)CC1
O=C1CN=C(c2ccccc2)c2ccccc2N1 CN(C)CCOc1ccccc1 CC(N)C(O)c1ccccc1 CN(C)CC(c1ccccc1)c1ccccn1
c1ccc(CC2=NCCN2)cc1 Clc1cccc(Cl)c1NC1=NCCN1 CC1(C)SC2C(N)C(=O)N2C1C(=O)O
CC(=O)OCC1=C(C(=O)O)N2C(=O)C(N)C2SC1 Nc1ccc(S(=O)(=O)c2ccc(N)cc2)cc1 Nc1ccc(S(=O)(=O)Nc2ccccn2)cc1
Nc1ccc(S(=O)(=O)Nc2nccs2)cc1 Cc1cc(NS(=O)(=O)c2ccccc2)no1 CCN1C=C(C(=O)O)C(=O)c2cc(F)ccc21
O=C(O)c1cn(C2CC2)c2ccccc2c1=O CC1COc2cccc3c(=O)c(C(=O)O)cn1c23 OC(Cn1cncn1)c1ccc(F)cc1F
Clc1ccc(C(c2ccccc2)n2ccnc2)cc1 Cc1nccn1CC(O)CCl CCc1nc(N)nc(N)c1-c1ccc(Cl)cc1
Nc1nc(N)nc(-c2ccccc2)n1 CC(C)Cc1ccc(C(N)=O)cc1 COc1ccc2cc(CC(=O)O)ccc2c1 O=C(O)Cc1ccccc1Nc1ccccc1
O=C(O)c1ccccc1Nc1ccccc1 CC(C(=O)O)c1cccc(Oc2ccccc2)c1 OC(=O)CCC(=O)c1ccc(-c2ccccc2)cc1
Cc1ccc(-c2ccccc2)c(C(=O)O)c1 CC1=C(CC(=O)O)c2cc(F)ccc2C1 CS(=O)(=O)c1ccc(C2=CC(=O)OC2)cc1
NS(=O)(=O)c1ccc(-n2nccc2C)cc1 CN1C(C(N)=O)=C(O)c2ccccc2S1(=O)=O O=C1c2ccccc2C(=O)N1CCO
O=C1CCC(N2Cc3ccccc3C2=O)C(=O)N1 CNCCC(Oc1ccccc1)c1ccccc1 CN(C)CCC1c2ccccc2C=Cc2ccccc21
CN(C)CCCN1c2ccccc2Sc2ccccc21 CNC1CCC(c2ccccc2)c2ccccc21 CC(NC(C)(C)C)C(=O)c1ccccc1
COc1ccc(C2CCCCN2)cc1 OC1(c2ccc(Cl)cc2)CCNCC1 OC(c1ccccc1)(c1ccccc1)C1CCNCC1 CN1CCC(c2ccccc2)CC1
CCOC(=O)C1(c2ccccc2)CCN(C)CC1 CC(=O)N(c1ccccc1)C1CCNCC1 COC(=O)C1CCN(C)C1 O=C(c1ccc(F)cc1)C1CCNCC1
CN1C2CCC1CC(OC(=O)C)C2 CN1CC=C2C1Cc1c[nH]c3cccc2c13 CN1CCc2cccc3c2C1Cc1ccccc1-3 COc1cc2c(cc1OC)CNCC2
c1ccc2c(c1)CCN1CCCC21 COc1cccc2c1CCNC2 Cn1cc(CCN)c2ccccc21 CC(=O)NCCc1c[nH]c2ccccc12
CN(C)CCc1c[nH]c2cccc(O)c12 O=C(O)CCCc1c[nH]c2ccccc12 Cc1[nH]c2ccccc2c1CC(=O)O
Cn1c(=O)c2c(ncn2CCO)n(C)c1=O CCCn1c(=O)[nH]c2nc[nH]c2c1=O Nc1nc(=O)c2ncn(COCCO)c2[nH]1
Cc1nc2ccccc2c(=O)[nH]1 O=c1[nH]c2ccccc2n1C1CCNCC1 COc1ccc2nc(S)[nH]c2c1 COC(=O)Nc1nc2ccccc2[nH]1
CCOc1ccc2nc(S(N)(=O)=O)sc2c1 CN(C)c1ccc(C=O)cc1 Nc1nnc(-c2cccc(Cl)c2Cl)nn1 CC(C)C1CCC(C)CC1O
CC1=CCC(C(C)(C)O)CC1 CC12CCC(CC1)C(C)(C)O2 CC(C)=CCCC(C)(O)C=C CC1(C)C2CCC1(C)C(O)C2
CC1=C(C=CC(C)=O)C(C)(C)CCC1 CC(=O)C1CCC2C3CCC4CC(O)CCC4(C)C3CCC12C
CC12CCC3C(CCC4CC(O)CCC43C)C1CCC2=O CC12CCC3C(CCC4=CC(=O)CCC43C)C1CCC2=O
CC12CCC3c4ccc(O)cc4CCC3C1CCC2=O CC12CCCCC1CCC1C2CCC2(C)CCCC12 CC12CCC(=O)C=C1CCC1C2CCC2(C)CCCC12
CC1(C)CCCC2(C)CCCCC12 CC12CCC(O)CC1=CCC1C2CCC2(C)C(=O)CCC12 CC12CCCC1C1CCC3=CC(=O)CCC3C1CC2
CC12CCC(=O)CC1CCC1C2CCCC1 CCCCCCCC(=O)OC CCCCCCCCCC(=O)O CCCCCC=CCC=CCCC(=O)O CCCCCCCCO CCCCCCCCN
CCCC(=O)OCC(O)CO CCCC(=O)OCC(COP(=O)(O)O)OC(C)=O CCCC(=O)OCC(O)COC(=O)CCC
CCC(=O)OCC(COC(=O)CC)OC(=O)CC CCCCCCCCCCCC CCCCC=CCCCC CCCC=CC(O)C(N)CO CC(=O)OCCOP(=O)(O)OC
CCCC(=O)NC(CO)C(O)C=CC CCCCOP(=O)(O)OCCN CCCCCC(=O)NCCO COCCOCCOCCOC CC(C)=CCOP(=O)(O)O
CC(C)CCCC(C)CCCC(C)C OC1C(O)C(O)C(O)C(O)C1O OCC(O)C(O)C(O)C(O)CO OCC(O)C(O)C(O)C=O
CC1OC(O)C(O)C(O)C1O CC1OC(OC)CC(O)C1O OCC1OCC(O)C(O)C1O OCC1OC(O)CC(O)C1O NC1C(O)OC(CO)C(O)C1O
CC(=O)NC1C(O)OC(CO)C(O)C1O OC(=O)C1OC(O)C(O)C(O)C1O OC1COC(O)C(O)C1 COC1OCC(O)C(O)C1O
CC(=O)OCC1OC(OC)C(O)C1O OCC1OC(O)C(F)C(O)C1O OCC1(O)OCC(O)C(O)C1O OC1COC(OC2CCOCC2)C(O)C1O
OCC1OC(c2ccccc2)C(O)C1O OCC1OC(n2cnc3c(N)ncnc32)CC1O OCC1OC(n2cnc3c(N)ncnc32)C(O)C1O
OCC1OC(n2cnc3c(=O)[nH]cnc32)C(O)C1O Cn1ccc(=O)[nH]c1=O OCC1OC(n2ccc(=O)[nH]c2=O)CC1O
Nc1ccn(C2CC(O)C(CO)O2)c(=O)n1 OCC1OC(n2cnc3c(=O)[nH]c(N)nc32)CC1O Cn1ccc(N)nc1=O
Cc1cn(C2CCC(CO)O2)c(=O)[nH]c1=O OCC1OC(n2cnc(C(N)=O)n2)CC1O OCC1CC(n2cnc3c(N)ncnc32)C=C1
COP(=O)(O)OCC1CCC(n2ccc(=O)[nH]c2=O)O1 OP(O)(=O)OCC1OC(O)C(O)C1O COC1CCC(COP(=O)(O)OC)O1
Cn1cnc2c(=O)[nH]c(N)nc21 Cn1cnc2c(=O)[nH]cnc21 Cc1ncnc2c1ncn2C O=c1oc2ccccc2cc1O
Oc1ccc(C2CCc3ccccc3O2)cc1 O=c1cc(-c2ccccc2)oc2ccccc12 O=C1CC(c2ccccc2)Oc2ccccc21
Oc1cc(O)c2c(c1)OC(C)CC2 O=C(C=Cc1ccccc1)c1ccccc1 COc1ccc(C=CC)cc1 C=CCc1ccc2c(c1)OCO2
COc1cc(CCN)cc(OC)c1OC COc1cc(C(N)=O)cc(OC)c1 OC(=O)C=Cc1ccc2c(c1)OCO2 Oc1ccc(C=Cc2ccccc2)cc1
Oc1ccc(Cc2ccc(O)cc2)cc1 CC(C)(c1ccccc1)c1ccc(O)cc1 O=C1c2ccccc2C(=O)c2ccccc21 c1ccc2c(c1)Oc1ccccc1O2
c1ccc2c(c1)Nc1ccccc1S2 c1ccc2c(c1)ccc1ccccc12 c1cc2ccc3cccc4ccc(c1)c2c34 c1ccc(-c2cccs2)cc1
c1ccc(-c2nc3ccccc3[nH]2)cc1 c1csc(-c2cccs2)c1 c1ccc(-c2ccno2)cc1 c1ccc(-n2cccn2)cc1
c1ccc(-c2nnc(-c3ccccc3)o2)cc1 O=C(Nc1ccccc1)Nc1ccccc1 O=S(=O)(Nc1ccccc1)c1ccccc1 c1ccc(Oc2ccccc2)cc1
c1ccc(Sc2ccccc2)cc1 c1ccc(P(c2ccccc2)c2ccccc2)cc1 O=P(c1ccccc1)(c1ccccc1)c1ccccc1
OB(O)c1ccc(-c2ccccc2)cc1 CC(C)(C)[Si](C)(C)OCCc1ccccc1 c1ccc([Si](C)(C)c2ccccc2)cc1
Brc1ccc(-c2ccccc2)cc1 Ic1ccc(C(=O)Nc2ccccc2)cc1 OC(c1ccccc1)c1ccc(Br)cc1
COP(=S)(OC)Oc1ccc([N+](=O)[O-])cc1 CCOP(=O)(OCC)Oc1ccccc1 COP(=O)(OC)OC=C(Cl)Cl COP(=S)(OC)SCC(=O)NC
NP(=O)(OCC)N1CCCC1 CC1OCCOCCOC1 C1COCCOCCOCCOCCO1 C1CNCCNCCNCCN1 O=C1NCCCCCC1 C1CCCCCCCCC1
O=C1CCCCCCCCCCO1 C1CC2CCC1CC2=O CC(C)(C)OC(=O)NCC(=O)O CC(C)(C)OC(=O)N1CCCC1 O=C(OCc1ccccc1)NCC(N)=O
CC(C)(C)OC(=O)Nc1ccccc1 CN(C)C(=O)c1ccc(N)cc1
"""

#: Side chains of residues, written after the alpha carbon.
RESIDUES = {
    "G": "",
    "A": "(C)",
    "V": "(C(C)C)",
    "L": "(CC(C)C)",
    "I": "(C(C)CC)",
    "S": "(CO)",
    "T": "(C(C)O)",
    "C": "(CS)",
    "M": "(CCSC)",
    "D": "(CC(=O)O)",
    "N": "(CC(N)=O)",
    "Q": "(CCC(N)=O)",
    "E": "(CCC(=O)O)",
    "F": "(Cc1ccccc1)",
    "Y": "(Cc1ccc(O)cc1)",
    "H": "(Cc1c[nH]cn1)",
    "W": "(Cc1c[nH]c2ccccc12)",
    "K": "(CCCCN)",
    "R": "(CCCNC(=N)N)",
}

#: Residues of peptides between caps, then of those with free ends.
CAPPED = "V L I T C M D N Q E F Y H K GG AA GA AG SG GN AC GD SA VG AP PA P PG GP GGG AGA R FG GK W"
FREE = "GA AG GS SG GV CG GN GD PG GP GH GM AS GGG GE TA AAA GF KG"

RINGS = """
c1ccccc1 c1ccncc1 c1cccnc1 c1ncccn1 c1cncnc1 c1ccsc1 c1cccs1 c1ccoc1 c1cn[nH]c1 c1cc[nH]n1 c1nccs1
c1nnco1 C1CCCCC1 C1CCNC1 C1CCOCC1 N1CCOCC1 N1CCNCC1 N1CCCCC1 N1CCCC1 C1CC1 c1ccc2[nH]ccc2c1
c1nc2ccccc2[nH]1 c1cnc2ccccc2c1 c1ccc2c(c1)OCO2 C1CCC1
"""
LINKERS = """
C(=O)N NC(=O) S(=O)(=O)N NS(=O)(=O) C(=O) O C OC CO N NC CN C(=O)O OC(=O) NC(=O)N CC C=C S SC C(O)
CC(=O)N NC(=O)C C(=O)NC OCC CNC(=O)C S(=O)(=O) C(F)(F) OCC(=O)N NC(=O)CO CC(O)CN C(=O)CN N(C)C(=O)
C#C C(C)NC(=O) OC(=O)N SCC(=O)N
"""
GROUPS = """
C O N F Cl Br OC C#N C(F)(F)F C(=O)O C(N)=O S(N)(=O)=O [N+](=O)[O-] N(C)C CC C(C)C CO CN SC C(C)=O
NC(C)=O S(C)(=O)=O I OC(F)(F)F C(=O)OC B(O)O P(=O)(C)C [Si](C)(C)C OCC(=O)O NS(C)(=O)=O
"""


def peptide(codes: str, capped: bool) -> str:
    """SMILES of a peptide of L residues; the caps are acetyl and N-methyl."""
    chain = ""
    for code in codes:
        if code == "P":
            chain += "N1CCC[C@H]1C(=O)"
        else:
            side = RESIDUES[code]
            chain += f"N[C@@H]{side}C(=O)" if side else "NCC(=O)"
    return f"CC(=O){chain}NC" if capped else f"{chain}O"


def peptides() -> list[str]:
    """SMILES of all peptides."""
    return [
        *(peptide(codes, True) for codes in CAPPED.split()),
        *(peptide(codes, False) for codes in FREE.split()),
    ]


def join(molecule: Chem.RWMol, part: str, at: int) -> int:
    """Bond the first atom of `part` to atom `at`; return the index of the last atom of `part`."""
    first = molecule.GetNumAtoms()
    molecule.InsertMol(Chem.MolFromSmiles(part))
    molecule.AddBond(at, first, Chem.BondType.SINGLE)
    return molecule.GetNumAtoms() - 1


def end_of(linker: str) -> int:
    """Index of the last atom of the chain in a linker's SMILES: the last one outside brackets."""
    depth, index, last = 0, -1, 0
    for symbol in linker:
        depth += (symbol == "(") - (symbol == ")")
        if symbol.isalpha():
            index += 1
            last = index if depth == 0 else last
    return last


def drawn(wanted: int, smallest: int, largest: int, seed: int) -> list[str]:
    """SMILES of rings joined by linkers, with groups, drawn at random."""
    rng = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < wanted:
        molecule = Chem.RWMol(Chem.MolFromSmiles(rng.choice(RINGS.split())))
        try:
            linker = rng.choice(LINKERS.split())
            start = molecule.GetNumAtoms()
            if linker[0] in "NOS" and molecule.GetAtomWithIdx(0).GetSymbol() != "C":
                continue
            join(molecule, linker, 0)
            ring = rng.choice(RINGS.split())
            if linker[end_of(linker)] in "NOS" and ring[0] not in "cC":
                continue
            join(molecule, ring, start + end_of(linker))
            Chem.SanitizeMol(molecule)
            for _ in range(rng.randint(1, 3)):
                free = [
                    atom.GetIdx()
                    for atom in molecule.GetAtoms()
                    if atom.IsInRing() and atom.GetTotalNumHs() and atom.GetSymbol() == "C"
                ]
                join(molecule, rng.choice(GROUPS.split()), rng.choice(free))
                Chem.SanitizeMol(molecule)
        except (Chem.MolSanitizeException, RuntimeError, IndexError):
            continue
        smiles = Chem.MolToSmiles(molecule)
        if smallest <= molecule.GetNumAtoms() <= largest and not unstable(molecule):
            found[smiles] = None
    return list(found)


#: Groups that no one would draw: two heteroatoms in a row, hemiaminals and the like.
UNSTABLE = """
[N,O,S;!$(S=O);!a]-[N,O,S;!$(S=O);!$(N=O);!a] [O,N;H1,H2]-[CX4]-[O,N;!a]
[N,O,S;!a]-[CX4;R]-[N,O,S,Cl,Br,I;!a] [N]-[Cl,Br,I]
"""


def unstable(molecule: Chem.Mol) -> bool:
    """Return whether a molecule has a group that would not last."""
    return any(molecule.HasSubstructMatch(Chem.MolFromSmarts(s)) for s in UNSTABLE.split())
