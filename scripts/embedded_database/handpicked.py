"""Molecules the enumeration cannot reach or is likely to miss.

The very small ones head the file. The rest are what the neutral-valence graphs leave out (nitro
groups, azides, isocyanides), heteroatom chains that the stability filters drop as a class though
some members are common, and familiar molecules larger than the enumeration goes. Groups are also
joined to carriers, one by one.
"""

from __future__ import annotations

import re

from rdkit import Chem

# SMILES, separated by blanks
SMALLEST = """
[HH] O N C F N#N [C-]#[O+] O=C=O C#N OO FF C=O N=O N=N NN NO CO CN CF CC C=C C#C C=N CC=O COC CNC
CCO CCC C=CC C#CC CC#N [N-]=[N+]=O OC=O NC=O C=C=O N=C=O C=C=C NC(N)=O C1CC1 C1CO1 C1CN1 C1=CC1
FC(F)F FC(F)(F)F FC(F)=C(F)F C=CF FC=O O=C(F)F
"""

GROUPS = """
O OC C=O C(C)=O C(=O)O C(=O)OC OC=O OC(C)=O C(N)=O C(=O)NC NC=O NC(C)=O N NC N(C)C C=N C=NC C#N
C#C C=C C=C=C C=NO C=NN C=NOC NO NN N=C=O N=NC N=O [N+](=O)[O-] N=[N+]=[N-] [N+]#[C-] C(=N)N
NC(N)=N NC(N)=O NC(=O)OC OC(N)=O OC(=O)OC F C(F)F C(F)(F)F CF OO ON=C ONC C1CO1 C1CN1 C1CC1 C1COC1
C1CNC1 C1CCC1 C1CCCC1 C1CCCCC1 C(C)(C)C C(C)C CC
"""

CARRIERS = """
C CC C(C)C C(C)(C)C C=C C#C CO CN CC=O c1ccccc1 c1ccco1 c1ccc[nH]1 C1CC1
"""

LARGER = """
CCCC CCCCC CCCCCC CCCCCCC CCCCCCCC CC(C)CC(C)C CCC(CC)CC C1CCCCC1 CC1CCCCC1 C1CCCCCC1 C1CCCCCCC1
C1CCC2CCCCC2C1 C1CC2CCC1C2 C1CC2CCC1CC2 C1C2CC3CC1CC(C2)C3 C1CC2CCCC2C1 C1CC12CC2 C1CC2(C1)CCC2
C12C3C4C1C5C2C3C45 C1CC2CC1C=C2 C1=CC2CCC1C2 C1C2CC3C1C23 C1CC2CC2C1 C1CC2C1CC2 C1OC2CC2O1
C1CN2CCC1CC2 C1CCN2CCCC2C1 C1COCCO1 C1COCCN1 C1CNCCN1 O=C1CCCCC1 O=C1CCCCN1 O=C1CCCCO1
O=C1CCC(=O)N1 O=C1C=CC(=O)O1 O=C1C=CC(=O)C=C1 O=C1CC2CC1C2 OC1CC2CC1O2 C1CC2OC2CC1 CC1(C)CO1
CC1OC1C#N N#CC1CN1C=O c1ccccc1 Cc1ccccc1 Oc1ccccc1 Nc1ccccc1 Fc1ccccc1 N#Cc1ccccc1 O=Cc1ccccc1
OC(=O)c1ccccc1 C=Cc1ccccc1 C#Cc1ccccc1 Fc1ccc(F)cc1 Fc1ccccc1F FC(F)(F)c1ccccc1 Oc1ccccc1O
Nc1ccncc1 Oc1ccccn1 O=c1cccc[nH]1 O=c1cc[nH]cc1 c1ccncc1 c1ccnnc1 c1cnccn1 c1cncnc1 c1ncncn1
Cc1ccccn1 Fc1ccncc1 Fc1cncnc1 Fc1cc(F)nc(F)n1 c1ccoc1 c1cc[nH]c1 c1c[nH]cn1 c1cn[nH]c1 c1cocn1
c1cnoc1 c1nnc[nH]1 c1c[nH]nn1 c1nn[nH]n1 c1nnco1 c1ncon1 c1conn1 c1cnon1 Cn1cccc1 Cn1ccnc1
Cn1cccn1 Cn1cncn1 Cn1nnnc1 Cc1nnnn1C Nc1ncnn1C Nc1cc[nH]n1 Oc1cc[nH]n1 Nc1ncon1 Cc1noc(C)n1
Nc1nonc1N CC(=O)c1ccco1 O=Cc1ccc[nH]1 N#Cc1ccco1 C#Cc1c[nH]cn1 COc1ccon1 OCc1ccco1 Fc1ccco1
Fc1cc[nH]c1 Fc1c[nH]cn1 FC(F)(F)c1ncon1 FC(F)(F)c1ccn[nH]1 c1ccc2[nH]ccc2c1 c1ccc2occc2c1
c1ccc2ccccc2c1 c1ccc2ncccc2c1 c1ncc2[nH]cnc2n1 c1cn2ccnc2cn1 c1ccn2cccc2c1 c1cc2cc[nH]c2[nH]1
C1Cc2cc[nH]c2C1 C1Cc2ccoc2C1 C1Cn2ccnc2C1 C1Cc2ccccc21 c1nc2[nH]ccc2[nH]1 c1cn2cccc2[nH]1
O=c1cc[nH]c(=O)[nH]1 Nc1cc[nH]c(=O)n1 Cc1c[nH]c(=O)[nH]c1=O Nc1ncnc2[nH]cnc12 O=c1ccocc1
O=c1ccnc[nH]1 CC(=O)C(C)=O CC(=O)CC(C)=O COC(=O)C(=O)OC O=CC=CC=O OCC(O)CO OCCO NCCO NCC(=O)O
CC(N)C(=O)O NCC#N N#CCC#N N#CC#N N#CC=CC#N C#CC#C C#CC#CC C#CC#CC#C C#CC#N OCC#CC#C CC#CC#N C=CC=C
C=CC=CC=C CC#CC=O O=CC#CC#N OCC#C NCC#C C#CCC#C C#CCOC=O COCC#C CC(O)C#N CC(O)C#C CC(C)(O)C#C
CC(C)(C#N)C#N CN(C)C=O CN(C)C(C)=O CN(C)CC#N CN(C)N=O CON=O CC(=O)OC(C)=O COOC COO CC(=O)OO COCOC
COC(C)OC CNC(=N)N CC(=N)N CC(=N)OC OC=NC CN=C=NC CN=C=O CC=C=O C=C=C=C CC=C=CC CN=NC CC=NN=CC
CC=NO CC(C)=NO ONC=O CONC CON CN(C)O CNNC CN(C)N NNC=O CC(=O)NN NC(=O)C#N NC(=O)C(N)=O COC(=O)OC
O=C1OCCO1 O=C1NCCO1 O=C1NCCN1 O=C1NC(=O)CO1 O=C1NC(=O)CN1 O=C1CO1 O=C1CCO1 O=C1CCN1 O=C1CC1
O=C1C=CC1 O=C1C=C1 C=C1CC1 C=C1CO1 CC(F)F CC(F)(F)F CCC(F)(F)F FCCF FC(F)C(F)F FC(F)=C C1(F)CC1
FC1(F)CC1 OCC(F)(F)F NCC(F)(F)F CC(=O)C(F)(F)F OC(=O)C(F)(F)F NC(=O)C(F)(F)F N#CC(F)(F)F
C#CC(F)(F)F COC(F)(F)F COC(F)F FC(F)(F)C(F)(F)F FC(F)(F)C=C CN(C)C(F)(F)F FC#CF FC#N O=C=CF
CC(F)=O FN(C)C ON(F)C COF OF FN=NF FN(F)F FOF C[N+](=O)[O-] O[N+](=O)[O-] CO[N+](=O)[O-]
N[N+](=O)[O-] ON=O C[N+]#[C-] CC#[N+][O-] C[N+](C)(C)[O-] [O-][n+]1ccccc1 C=[N+]=[N-] N=[N+]=[N-]
"""


def join(carrier: str, group: str) -> str:
    """SMILES of `group` bonded, first atom to first atom, to `carrier`."""
    ring_digits_apart = group.replace("1", "2")
    first = re.match(r"[A-Za-z]1?", carrier).group()
    return f"{first}({ring_digits_apart}){carrier[len(first) :]}"


def smallest() -> list[str]:
    """Canonical SMILES of the molecules that head the file."""
    return [Chem.CanonSmiles(s) for s in SMALLEST.split()]


def handpicked() -> list[str]:
    """Canonical SMILES of the molecules of this file beyond the smallest, without repeats."""
    joined = [join(carrier, group) for carrier in CARRIERS.split() for group in GROUPS.split()]
    ahead = set(smallest())
    every = dict.fromkeys(Chem.CanonSmiles(s) for s in LARGER.split() + joined)
    return [s for s in every if s not in ahead]
