"""Complexes of small molecules: hydrogen bonds, halogen bonds, stacked rings, clusters, ions.

Every group is a list of plans: the SMILES of the molecules, the ways they are placed, and how many
minima are wanted. Pairs are drawn from lists of givers and takers; none is taken from a data set.
"""

from __future__ import annotations

import random
from itertools import combinations_with_replacement
from typing import NamedTuple


class Plan(NamedTuple):
    """A complex to be made: its molecules, the ways they are placed, minima wanted."""

    group: str
    smiles: str
    ways: tuple[str, ...]
    count: int


CORE = """
O CO OC=O CC(=O)O NC=O CNC(C)=O CN CNC CN(C)C N C=N CC#N C=O CC(C)=O COC c1ccncc1 c1c[nH]cn1
c1cc[nH]c1 c1ccoc1 Oc1ccccc1 CS NC=N COC=O NC(N)=O C[N+](=O)[O-] C#C CC(N)=O CCO
"""

#: Molecules that give a hydrogen, and those that take it, beyond the core.
GIVERS = """
F Cl Br S C#N N=C=O OO NO NN ON=C OCl O[N+](=O)[O-] ON=O N=[N+]=[N-] C#CC C#CF ClC(Cl)Cl FC(F)F C=C
Nc1ccccc1 OC=C NC=S CC(=O)NO OCC(F)(F)F OC(=O)C(F)(F)F OS(C)(=O)=O NS(C)(=O)=O SC=O Sc1ccccc1
Oc1ccc(F)cc1 c1ccc2[nH]ccc2c1 c1cn[nH]c1 c1nnc[nH]1 O=c1cccc[nH]1 N#CN NC#C CNC=O C1CCNC1 C1CN1
OC1CC1 CC(C)O CC(C)(C)O O=C1CCN1 NC(=O)C=C OCCO NC=C COO OC(O)=O NC(=O)O CC=NO C
"""
TAKERS = """
[C-]#[O+] N#N O=C=O O=S=O C1CO1 C1COC1 C1CCOC1 C1CCOCC1 CN(C)C=O CC(=O)OC COC(=O)OC O=CC=O C=CC=O
CC=O O=C1CCC1 O=C1CCCO1 CN1CCCC1=O C[N+]#[C-] CC=N CN=C CN=NC C=NO CON=C CN=[N+]=[N-] CON=O
[O-][n+]1ccccc1 C[N+](C)(C)[O-] Cn1ccnc1 Cn1cccn1 c1ccnnc1 c1cnccn1 c1cncnc1 c1cocn1 c1cnoc1 c1nnco1
c1cscn1 Cc1ccccn1 Fc1ccccn1 CF FC(F)F CC(F)(F)F Fc1ccccc1 C1CCNCC1 C1CN2CCC1CC2 CNN CN(C)N C=C
C=CC=C c1ccccc1 C#C CC#CC C1=CCCC1 C=C=O CC#[N+][O-] O=C=CC=C=O O=c1ccocc1 O=C1C=CC(=O)C=C1 COCOC
COCCOC CC(=O)OC(C)=O CN1CCOCC1 O=C1NC(=O)C=C1 N#CC#N C=CC#N N#Cc1ccccc1 FC#N
"""

BASES = """
O=c1cccc[nH]1.O=c1cccc[nH]1 O=c1cccc[nH]1.NC=O O=c1cccc[nH]1.Nc1ccccn1 Nc1ccccn1.Nc1ccccn1
Nc1ccccn1.CC(=O)O Nc1ccccn1.OC=O O=c1cc[nH]c(=O)[nH]1.O=c1cc[nH]c(=O)[nH]1 O=c1cc[nH]c(=O)[nH]1.NC=O
O=c1cc[nH]c(=O)[nH]1.Nc1ccccn1 O=c1cc[nH]c(=O)[nH]1.NC=N O=c1cc[nH]c(=O)[nH]1.O
Nc1cc[nH]c(=O)n1.Nc1cc[nH]c(=O)n1 Nc1cc[nH]c(=O)n1.NC=O Nc1cc[nH]c(=O)n1.OC=O Nc1cc[nH]c(=O)n1.O
Nc1ccncn1.OC=O Nc1ccncn1.NC=O Nc1ccncn1.O=c1cc[nH]c(=O)[nH]1 Nc1ncccn1.Nc1ncccn1 Nc1ncccn1.OC=O
Nc1ncccn1.NC=O NC=N.NC=N NC=N.OC=O NC=N.NC=O NC=O.NC=O OC=O.OC=O CC(=O)O.CC(=O)O CC(=O)O.NC=O
CC(N)=N.OC=O CC(N)=N.CC(=O)O NC(=N)N.OC=O NC(=N)N.NC=O O=C1CCC(=O)N1.O=C1CCC(=O)N1
O=C1CCCN1.O=C1CCCN1 O=C1CCCN1.OC=O O=C1NCCN1.O=C1NCCN1 O=C1NCCN1.NC=O NC=S.NC=S NC=S.NC=O NC=S.OC=O
S=c1cccc[nH]1.S=c1cccc[nH]1 S=c1cccc[nH]1.O=c1cccc[nH]1 c1cn[nH]c1.c1cn[nH]c1 c1c[nH]cn1.c1c[nH]cn1
c1nc[nH]n1.c1nc[nH]n1 c1cn[nH]c1.OC=O c1cn[nH]c1.NC=O ON=C.ON=C NC(N)=O.NC(N)=O NC(N)=O.OC=O
NC(N)=S.NC(N)=S NC(N)=S.OC=O OC(=O)c1ccccc1.OC=O NC(=O)C=C.NC(=O)C=C O=C1NC=CN1.O=C1NC=CN1
Nc1cnccn1.OC=O Nc1ccccn1.O=C1CCCN1 Nc1nc[nH]n1.OC=O NC(=O)N=C.NC=O NC(=O)C=O.NC=O
O=C1NC(=O)C=C1.NC=O O=c1ccnc[nH]1.O=c1ccnc[nH]1 NC(=O)OC.NC(=O)OC CNC=O.CNC=O CNC(C)=O.CNC(C)=O
CNC(N)=O.NC=O
"""

IONS = """
CC(=O)[O-] O=C[O-] C[NH3+] [NH4+] C[NH2+]C C[NH+](C)C NC(N)=[NH2+] CC(N)=[NH2+] NC=[NH2+]
c1c[nH+]c[nH]1 c1cc[nH+]cc1 C[N+](C)(C)C [O-]c1ccccc1 C[O-] C[S-] CS(=O)(=O)[O-] COP(=O)(O)[O-]
OP(=O)(O)[O-] O=[N+]([O-])[O-] [N-]=[N+]=[N-] F[B-](F)(F)F C[NH+]=C CC(C)=[OH+] [OH3+] C[OH2+] [OH-]
[C-]#N [SH-] OC(=O)[O-] N#C[S-] C[S+](C)C C[P+](C)(C)C c1nnn[n-]1 c1c[n-]cn1 CC(=O)[N-]S(C)(=O)=O
O=C([O-])C(F)(F)F Cn1cc[nH+]c1 C1CC[NH2+]C1 CC[NH3+] C[n+]1ccccc1 Cn1cc[n+](C)c1
"""
ION_PARTNERS = """
O CO NC=O CNC(C)=O OC=O CC(=O)O N CN C=O CC(C)=O COC CC#N c1c[nH]cn1 c1ccncc1 Oc1ccccc1 CS CSC
c1cc[nH]c1 c1ccccc1 C=C NC(N)=O CS(C)=O C#C O.O
"""
ION_PAIRS = """
CC(=O)[O-].C[N+](C)(C)C O=C[O-].C[N+](C)(C)C CC(=O)[O-].NC(N)=[NH2+] O=C[O-].NC(N)=[NH2+]
F[B-](F)(F)F.C[N+](C)(C)C F[B-](F)(F)F.[NH4+] F[B-](F)(F)F.Cn1cc[n+](C)c1 F[B-](F)(F)F.C[NH3+]
F[B-](F)(F)F.NC(N)=[NH2+] CS(=O)(=O)[O-].NC(N)=[NH2+] CS(=O)(=O)[O-].C[N+](C)(C)C
COP(=O)(O)[O-].NC(N)=[NH2+] COP(=O)(O)[O-].C[N+](C)(C)C O=[N+]([O-])[O-].NC(N)=[NH2+]
O=[N+]([O-])[O-].C[N+](C)(C)C O=[N+]([O-])[O-].Cn1cc[n+](C)c1 N#C[S-].NC(N)=[NH2+]
CC(=O)[O-].C[NH3+].O.O O=C[O-].[NH4+].O.O.O F[B-](F)(F)F.c1c[nH+]c[nH]1 CC(=O)[O-].Cn1cc[n+](C)c1
"""

HALOGENS = """
FC(F)(F)Br FC(F)(F)I Brc1ccccc1 Ic1ccccc1 C#CI C#CBr N#CBr N#CI BrBr ClBr ClI II FBr CI CBr C=CBr
C=CI FC(F)(F)Cl Clc1ccccc1 C#CCl ClCl N#CCl FCl FI BrI Fc1c(F)c(F)c(I)c(F)c1F IC(F)F BrC(Br)Br
O=C1CCC(=O)N1Br O=C1CCC(=O)N1I CN(C)Br Brc1cncnc1 Ic1ccncc1
"""
HALOGEN_TAKERS = """
O C=O CC(C)=O COC N CN(C)C c1ccncc1 CC#N C#N CSC CS S C=S CO NC=O C=N CS(C)=O C[N+](C)(C)[O-]
CNC(C)=O CP(C)C P c1ccccc1 C=C c1ccoc1 c1ccsc1 CF CCl C1CCOC1 Cn1ccnc1 CP(C)(C)=O NC(C)=S CC(=O)[O-]
CBr [C-]#[O+]
"""

GIVERS_TO_HEAVY = """
O CO NC=O CN c1cc[nH]c1 Oc1ccccc1 CS S F Cl Br I N CC(=O)O OC=O C#N C#C c1c[nH]cn1 P CP C[SiH3]
CB(O)O
"""
HEAVY = """
CSC CS S C=S CC(N)=S c1ccsc1 CSSC C1CS1 C1CCSC1 P CP CPC CP(C)C CP(C)(C)=O CP(C)(C)=S COP(C)(C)=O
OP(O)(O)=O COP(=O)(O)O CP(O)(O)=O CS(C)=O CS(C)(=O)=O CS(N)(=O)=O CS(=O)(=O)O CS(=O)(=O)OC CCl CBr
CI FC(F)Cl ClC(Cl)Cl ClCCl Clc1ccccc1 Brc1ccccc1 Ic1ccccc1 CSC#N CN=C=S S=C=S O=C=S C[Si](C)(C)C
C[SiH3] C[Si](C)(C)O O[SiH3] [SiH3]O[SiH3] COB(O)O OB(O)O CB(O)O OB(O)c1ccccc1 B1OCCO1 CB1OCCO1
COP(OC)OC P(Cl)(Cl)Cl O=P(Cl)(Cl)Cl FP(F)F FS(F)(F)(F)(F)F O=S(Cl)Cl CS(=O)O NP(N)(N)=O
CN(C)P(=O)(N(C)C)N(C)C CCBr CCI C=CBr C=CI FC(F)(F)SC SCS CSCSC O=S(=O)(F)F
"""

RINGS = """
c1ccccc1 c1ccncc1 c1cncnc1 c1cnccn1 c1ccoc1 c1ccsc1 c1cc[nH]c1 c1c[nH]cn1 O=c1cc[nH]c(=O)[nH]1
Fc1ccccc1 Oc1ccccc1 O=C1C=CC(=O)C=C1 c1ncncn1 Cc1ccccc1 O=c1cccc[nH]1 c1cocn1 C=CC=C C=O
"""
LOOSE = """
C.C CC.CC CCC.CCC C.c1ccccc1 CC.c1ccccc1 C=C.C=C C=C.c1ccccc1 C#C.c1ccccc1 C1CC1.C1CC1
C1CCCC1.c1ccccc1 CC(C)C.CC(C)C CCCC.CCCC O=C=O.O=C=O O=C=O.c1ccccc1 N.c1ccccc1 O.c1ccccc1
CO.c1ccccc1 CS.c1ccccc1 CN.c1ccccc1 C#N.c1ccccc1 F.c1ccccc1 Cl.c1ccccc1 Br.c1ccccc1 NC=O.c1ccccc1
CNC(C)=O.c1ccccc1 Oc1ccccc1.c1ccccc1 c1cc[nH]c1.c1ccccc1 c1c[nH]cn1.c1ccccc1 Nc1ccccc1.c1ccccc1
ClC(Cl)Cl.c1ccccc1 C.O C.N C.C=O C.NC=O C.CO C.OC=O CC.O CC.CO CC.NC=O CCC.O CCC.NC=O CCC.CC(=O)O
C=C.O C=C.CO C=C.NC=O C#C.O C#C.CO C#C.N C1CC1.O CC(C)C.O CC(C)(C)C.CO C1CCCC1.O C1CCCC1.NC=O
C1CCCC1.CNC(C)=O C=C.CNC(C)=O C1CCCCC1.C1CCCCC1 C1CCCCC1.c1ccccc1 C1CCCCC1.O CCCCC.CCCCC
CCCCC.c1ccccc1 CCCCC.CNC(C)=O CC(C)(C)C.CC(C)(C)C C=C.CCCCC C#C.C#C CC#N.CC#N CF.CF CCl.CCl CBr.CBr
CI.CI FC(F)F.FC(F)F COC.COC C=O.C=O CC=O.CC=O CC(C)=O.CC(C)=O COC=O.COC=O
C[N+](=O)[O-].C[N+](=O)[O-] CSC.CSC CS(C)=O.CS(C)=O ClCCl.ClCCl C[Si](C)(C)C.C[Si](C)(C)C
CP(C)C.CP(C)C CN(C)C.CN(C)C C[Si](C)(C)C.c1ccccc1 CBr.c1ccccc1 CI.c1ccccc1 CCl.c1ccccc1 CF.c1ccccc1
C.CBr C.CI C.CSC CC.CCl CC.CSC BrBr.C=C ClCl.C=C BrBr.c1ccccc1 ICl.c1ccccc1
"""

CLUSTERS = """
O.O.O O.O.O.O O.O.O.O.O O.O.O.O.O.O CO.CO.CO CO.CO.CO.CO CO.O.O CO.CO.O CO.O.O.O N.N.N N.O.O N.N.O
CN.O.O F.F.F F.F.F.F F.O.O Cl.O.O Cl.O.O.O C#N.C#N.C#N C#N.O.O OC=O.O.O OC=O.O OC=O.OC=O.O
CC(=O)O.O.O CC(=O)O.O NC=O.O.O NC=O.NC=O.O NC=O.NC=O.NC=O CNC(C)=O.O.O C=O.O.O CC(C)=O.O.O CC#N.O.O
COC.O.O c1ccncc1.O.O c1c[nH]cn1.O.O c1cc[nH]c1.O.O Oc1ccccc1.O.O CS.O.O S.S.S S.O.O O.O.c1ccccc1
O.O.O.c1ccccc1 NC=N.O.O NC(N)=O.O.O CN.CN.CN CNC.O.O CN(C)C.O.O CCO.O.O CCO.CCO.O CCO.CCO.CCO
OCCO.O.O OCCO.O NCCO.O NCC(=O)O.O NCC(=O)O.O.O C[N+](=O)[O-].O.O O=c1cc[nH]c(=O)[nH]1.O.O
O=c1cccc[nH]1.O Nc1ccccn1.O C[C@H](N)C(=O)O.O CC(=O)O.CO.O CC(=O)O.CC(=O)O.O CO.N.O CO.CN.O
NC=O.CO.O C#C.C#C.C#C C=O.C=O.C=O c1ccoc1.O.O CS(C)=O.O.O CP(C)(C)=O.O.O OP(O)(O)=O.O OP(O)(O)=O.O.O
COP(=O)(O)O.O CS(=O)(=O)O.O CS(=O)(=O)O.O.O CB(O)O.O OB(O)O.O.O CB(O)O.CB(O)O OB(O)O.OB(O)O
OP(O)(O)=O.OP(O)(O)=O CP(O)(O)=O.CP(O)(O)=O CP(C)(O)=O.CP(C)(O)=O CS(=O)(=O)O.CS(=O)(=O)O
CS(N)(=O)=O.CS(N)(=O)=O O[SiH3].O.O C[Si](C)(C)O.C[Si](C)(C)O C[Si](C)(O)O.O O[SiH3].O[SiH3].O[SiH3]
CO.CO.c1ccncc1 C.O.O.O.O OC(=O)C(=O)O.O OC(=O)CC(=O)O.O OC(=O)C=C.OC(=O)C=C OO.O.O NO.O.O NN.O.O
ON=C.O.O OCC=O.O OCC=O.OCC=O CC(O)C(=O)O.O Oc1ccccc1.Oc1ccccc1 Nc1ccccc1.Nc1ccccc1 Oc1ccccc1.CC(=O)O
c1ccc2[nH]ccc2c1.O OS(=O)(=O)O.O OS(=O)(=O)O.O.O O[N+](=O)[O-].O.O O[N+](=O)[O-].N C[N+](C)(C)[O-].O
C[N+](C)(C)[O-].O.O [O-][n+]1ccccc1.O.O C[NH2+]CC(=O)[O-].O.O.O C[N+](C)(C)CC(=O)[O-].O
C[N+](C)(C)CC(=O)[O-].O.O [NH3+]CC(=O)[O-].O.O.O [NH3+]CC(=O)[O-].O.O.O.O
C[C@H]([NH3+])C(=O)[O-].O.O.O.O [NH3+]CCS(=O)(=O)[O-].O.O [NH3+]CCC(=O)[O-].O.O.O
O=C([O-])CC[NH3+].O.O [NH4+].O.O.O [NH4+].O.O [NH4+].O.O.O.O C[NH3+].O.O C[NH3+].O.O.O
CC(=O)[O-].O.O CC(=O)[O-].O.O.O O=C[O-].O.O O=C[O-].O.O.O [OH3+].O.O.O [OH-].O.O.O NC(N)=[NH2+].O.O
c1c[nH+]c[nH]1.O.O O=[N+]([O-])[O-].O.O OP(=O)(O)[O-].O.O COP(=O)(OC)[O-].O COP(=O)(OC)[O-].O.O
COP(=O)(OC)[O-].O.O.O CS(=O)(=O)[O-].O.O F[B-](F)(F)F.O.O C[N+](C)(C)C.O.O C[S-].O.O C[O-].CO.CO
[O-]c1ccccc1.O.O CC(=O)[O-].CO.CO
"""

HYDROGEN = ("hydrogen", "random", "hydrogen", "random", "hydrogen", "random")
AIMED = ("hydrogen",) * 5
RANDOM = ("random",) * 6


def drawn(
    group: str,
    givers: str,
    takers: str,
    wanted: int,
    ways: tuple[str, ...],
    rng: random.Random,
    count: int = 1,
) -> list[Plan]:
    """Plans of `wanted` pairs, in which each giver and each taker comes up about equally often."""
    every = [(a, b) for a in givers.split() for b in takers.split()]
    rng.shuffle(every)
    used: dict[str, int] = {}
    plans: list[Plan] = []
    while every and len(plans) < wanted:
        window = every[:200]
        a, b = min(window, key=lambda pair: used.get(pair[0] + ">", 0) + used.get(">" + pair[1], 0))
        every.remove((a, b))
        used[a + ">"] = used.get(a + ">", 0) + 1
        used[">" + b] = used.get(">" + b, 0) + 1
        plans.append(Plan(group, f"{a}.{b}", ways, count))
    return plans


def plans(seed: int) -> list[Plan]:
    """Every complex to be made, the groups in turn, so that any first part holds all of them."""
    rng = random.Random(seed)
    core = [
        Plan("hydrogen bonds", f"{a}.{b}", HYDROGEN, 1 + (rng.random() < 0.25))
        for a, b in combinations_with_replacement(CORE.split(), 2)
    ]
    rng.shuffle(core)
    wide = drawn("hydrogen bonds", GIVERS, f"{TAKERS} {CORE}", 200, HYDROGEN, rng)
    wide += drawn("hydrogen bonds", CORE, TAKERS, 130, HYDROGEN, rng)
    rng.shuffle(wide)
    bases = [Plan("base pairs", s, HYDROGEN + HYDROGEN, 2) for s in BASES.split()]
    ions = drawn("ions", IONS, ION_PARTNERS, 260, HYDROGEN, rng)
    pairs = [Plan("ion pairs", s, HYDROGEN, 2) for s in ION_PAIRS.split()]
    halogen = drawn("halogen bonds", HALOGENS, HALOGEN_TAKERS, 240, ("halogen",) * 3, rng)
    heavy = drawn("S, P, Si, B and halogens", GIVERS_TO_HEAVY, HEAVY, 300, HYDROGEN, rng)
    stacks = [
        Plan("stacked", f"{a}.{b}", ("stacked", "random") * 3, 1)
        for a, b in combinations_with_replacement(RINGS.split(), 2)
    ]
    rng.shuffle(stacks)
    loose = [Plan("weak contacts", s, RANDOM, 1) for s in LOOSE.split()]
    clusters = [Plan("clusters", s, HYDROGEN, 2) for s in CLUSTERS.split()]
    groups = [core, wide, bases, ions, halogen, heavy, stacks[:80], loose, clusters, pairs]
    # in turn by share: all groups end together
    placed = [((k + 0.5) / len(group), plan) for group in groups for k, plan in enumerate(group)]
    found: dict[tuple[str, ...], Plan] = {}
    for _, plan in sorted(placed, key=lambda item: item[0]):
        found.setdefault(tuple(sorted(plan.smiles.split("."))), plan)
    return list(found.values())
