"""Molecules the enumeration cannot reach or is likely to miss.

The very small ones head the file. The rest are what the neutral-valence graphs leave out (nitro
groups, azides, isocyanides), heteroatom chains that the stability filters drop as a class though
some members are common, and familiar molecules, many larger than the enumeration goes, which are in
the file whatever they add. Groups are also joined to carriers, one by one.
"""

from __future__ import annotations

import re

from rdkit import Chem

# SMILES, separated by blanks
SMALLEST = """
[HH] O N C F N#N [C-]#[O+] O=C=O C#N OO FF C=O N=O N=N NN NO CO CN CF CC C=C C#C C=N CC=O COC CNC
CCO CCC C=CC C#CC CC#N [N-]=[N+]=O OC=O NC=O C=C=O N=C=O C=C=C NC(N)=O C1CC1 C1CO1 C1CN1 C1=CC1
FC(F)F FC(F)(F)F FC(F)=C(F)F C=CF FC=O O=C(F)F S Cl ClCl CS CCl S=C=S O=C=S O=S=O C=S CSC CCS C1CS1
SS CSSC CS(C)=O CS(C)(=O)=O c1ccsc1 ClCCl ClC(Cl)Cl ClC(Cl)(Cl)Cl C=CCl CC(=O)Cl ClCCCl [O-][O+]=O
"""

GROUPS = """
O OC C=O C(C)=O C(=O)O C(=O)OC OC=O OC(C)=O C(N)=O C(=O)NC NC=O NC(C)=O N NC N(C)C C=N C=NC C#N C#C
C=C C=C=C C=NO C=NN C=NOC NO NN N=C=O N=NC N=O [N+](=O)[O-] N=[N+]=[N-] [N+]#[C-] C(=N)N NC(N)=N
NC(N)=O NC(=O)OC OC(N)=O OC(=O)OC F C(F)F C(F)(F)F CF OO ON=C ONC C1CO1 C1CN1 C1CC1 C1COC1 C1CNC1
C1CCC1 C1CCCC1 C1CCCCC1 C(C)(C)C C(C)C CC C(OC)=N C(=N)OCC N=COC N=CN N=CN(C)C C(C)=NO OC=N NC=N
N(C)C=O N(C)C(C)=O N(C)N N(C)O C(=O)C=O C(=O)C#N C(=O)C#C C(=O)C=C C(=O)N(C)C C(=O)NO C(=O)NN
C=[N+](C)[O-] C#[N+][O-] c1ccccc1 c1ncc[nH]1 S SC SCC SC=C SC(C)=O C(=O)S C(=O)SC C(N)=S NC(N)=S
NC(=S)NC OC(N)=S C(C)=S C=S C(=S)SC C(=S)OC SC(=S)N(C)C N=C=S SC#N S(C)=O S(C)(=O)=O S(N)(=O)=O
S(=O)(=O)NC S(=O)(=O)O S(=O)(=O)OC OS(C)(=O)=O OS(=O)(=O)OC NS(C)(=O)=O S(F)(=O)=O S(Cl)(=O)=O SSC
SS S(=O)O S(=O)OC N=S=O SN(C)C SCl C1CS1 C1CSC1 C1CCCS1 CSC CS SC(F)(F)F S(C)(=O)=N c1cccs1 c1nccs1
Cl CCl C(Cl)Cl C(Cl)(Cl)Cl C=CCl C(Cl)=C C(Cl)=C(Cl)Cl C(=O)Cl OC(=O)Cl C(C)(C)Cl C(F)(F)Cl NCl OCl
C#CCl C(Cl)=NO C(=O)CCl
"""

CARRIERS = """
C CC C(C)C C(C)(C)C C=C C#C CO CN CC=O c1ccccc1 c1ccco1 c1ccc[nH]1 C1CC1 CS CCl c1cccs1 C1CCCCCC1
"""

FAMILIAR = """
CCCC CCCCC CCCCCC CCCCCCC CCCCCCCC CC(C)CC(C)C CCC(CC)CC C1CCCCC1 CC1CCCCC1 C1CCCCCC1 C1CCCCCCC1
C1CCC2CCCCC2C1 C1CC2CCC1C2 C1CC2CCC1CC2 C1C2CC3CC1CC(C2)C3 C1CC2CCCC2C1 C1CC12CC2 C1CC2(C1)CCC2
C12C3C4C1C5C2C3C45 C1CC2CC1C=C2 C1=CC2CCC1C2 C1C2CC3C1C23 C1CC2CC2C1 C1CC2C1CC2 C1OC2CC2O1
C1CN2CCC1CC2 C1CCN2CCCC2C1 C1COCCO1 C1COCCN1 C1CNCCN1 O=C1CCCCC1 O=C1CCCCN1 O=C1CCCCO1 O=C1CCC(=O)N1
O=C1C=CC(=O)O1 O=C1C=CC(=O)C=C1 O=C1CC2CC1C2 OC1CC2CC1O2 C1CC2OC2CC1 CC1(C)CO1 CC1OC1C#N N#CC1CN1C=O
c1ccccc1 Cc1ccccc1 Oc1ccccc1 Nc1ccccc1 Fc1ccccc1 N#Cc1ccccc1 O=Cc1ccccc1 OC(=O)c1ccccc1 C=Cc1ccccc1
C#Cc1ccccc1 Fc1ccc(F)cc1 Fc1ccccc1F FC(F)(F)c1ccccc1 Oc1ccccc1O Nc1ccncc1 Oc1ccccn1 O=c1cccc[nH]1
O=c1cc[nH]cc1 c1ccncc1 c1ccnnc1 c1cnccn1 c1cncnc1 c1ncncn1 Cc1ccccn1 Fc1ccncc1 Fc1cncnc1
Fc1cc(F)nc(F)n1 c1ccoc1 c1cc[nH]c1 c1c[nH]cn1 c1cn[nH]c1 c1cocn1 c1cnoc1 c1nnc[nH]1 c1c[nH]nn1
c1nn[nH]n1 c1nnco1 c1ncon1 c1conn1 c1cnon1 Cn1cccc1 Cn1ccnc1 Cn1cccn1 Cn1cncn1 Cn1nnnc1 Cc1nnnn1C
Nc1ncnn1C Nc1cc[nH]n1 Oc1cc[nH]n1 Nc1ncon1 Cc1noc(C)n1 Nc1nonc1N CC(=O)c1ccco1 O=Cc1ccc[nH]1
N#Cc1ccco1 C#Cc1c[nH]cn1 COc1ccon1 OCc1ccco1 Fc1ccco1 Fc1cc[nH]c1 Fc1c[nH]cn1 FC(F)(F)c1ncon1
FC(F)(F)c1ccn[nH]1 c1ccc2[nH]ccc2c1 c1ccc2occc2c1 c1ccc2ccccc2c1 c1ccc2ncccc2c1 c1ncc2[nH]cnc2n1
c1cn2ccnc2cn1 c1ccn2cccc2c1 c1cc2cc[nH]c2[nH]1 C1Cc2cc[nH]c2C1 C1Cc2ccoc2C1 C1Cn2ccnc2C1
C1Cc2ccccc21 c1nc2[nH]ccc2[nH]1 c1cn2cccc2[nH]1 O=c1cc[nH]c(=O)[nH]1 Nc1cc[nH]c(=O)n1
Cc1c[nH]c(=O)[nH]c1=O Nc1ncnc2[nH]cnc12 O=c1ccocc1 O=c1ccnc[nH]1 CC(=O)C(C)=O CC(=O)CC(C)=O
COC(=O)C(=O)OC O=CC=CC=O OCC(O)CO OCCO NCCO NCC(=O)O CC(N)C(=O)O NCC#N N#CCC#N N#CC#N N#CC=CC#N
C#CC#C C#CC#CC C#CC#CC#C C#CC#N OCC#CC#C CC#CC#N C=CC=C C=CC=CC=C CC#CC=O O=CC#CC#N OCC#C NCC#C
C#CCC#C C#CCOC=O COCC#C CC(O)C#N CC(O)C#C CC(C)(O)C#C CC(C)(C#N)C#N CN(C)C=O CN(C)C(C)=O CN(C)CC#N
CN(C)N=O CON=O CC(=O)OC(C)=O COOC COO CC(=O)OO COCOC COC(C)OC CNC(=N)N CC(=N)N CC(=N)OC OC=NC
CN=C=NC CN=C=O CC=C=O C=C=C=C CC=C=CC CN=NC CC=NN=CC CC=NO CC(C)=NO ONC=O CONC CON CN(C)O CNNC
CN(C)N NNC=O CC(=O)NN NC(=O)C#N NC(=O)C(N)=O COC(=O)OC O=C1OCCO1 O=C1NCCO1 O=C1NCCN1 O=C1NC(=O)CO1
O=C1NC(=O)CN1 O=C1CO1 O=C1CCO1 O=C1CCN1 O=C1CC1 O=C1C=CC1 O=C1C=C1 C=C1CC1 C=C1CO1 CC(F)F CC(F)(F)F
CCC(F)(F)F FCCF FC(F)C(F)F FC(F)=C C1(F)CC1 FC1(F)CC1 OCC(F)(F)F NCC(F)(F)F CC(=O)C(F)(F)F
OC(=O)C(F)(F)F NC(=O)C(F)(F)F N#CC(F)(F)F C#CC(F)(F)F COC(F)(F)F COC(F)F FC(F)(F)C(F)(F)F
FC(F)(F)C=C CN(C)C(F)(F)F FC#CF FC#N O=C=CF CC(F)=O FN(C)C ON(F)C COF OF FN=NF FN(F)F FOF
C[N+](=O)[O-] O[N+](=O)[O-] CO[N+](=O)[O-] N[N+](=O)[O-] ON=O C[N+]#[C-] CC#[N+][O-] C[N+](C)(C)[O-]
[O-][n+]1ccccc1 C=[N+]=[N-] N=[N+]=[N-] S=S=O O=S(=O)=O [C-]#[S+] OCl ClOCl ClN(Cl)Cl NCl O=NCl O=NF
O=[N+]([O-])Cl ClF N=C=S SC#N ClC#N ClC#CCl C#CCl O=C(Cl)Cl O=C(F)Cl O=CCl S=C(Cl)Cl ClSCl ClSSCl
FSF O=S(Cl)Cl O=S(=O)(Cl)Cl O=S(=O)(F)F O=S(F)F OS(=O)(=O)O OS(=O)O FS(F)(F)(F)(F)F FS(F)(F)F
S1SSSSSSS1 SSS CSSSC OCl(=O)(=O)=O ClC(Cl)=C(Cl)Cl ClC=CCl C=C(Cl)Cl ClC=C(Cl)Cl
ClC(Cl)(Cl)C(Cl)(Cl)Cl FC(F)(F)Cl FC(F)Cl FCCl FC(F)(Cl)Cl FC(Cl)(Cl)Cl ClC(F)=C(F)F ClCC(Cl)Cl
CC(Cl)(Cl)Cl CC(Cl)Cl CC(C)Cl CC(C)(C)Cl CCCCl CCCCCl ClCC=C ClCC#C ClCC#N ClC1CC1 ClC1(Cl)CC1
ClC1CCC1 ClC1CCCC1 ClC1CCCCC1 ClC1=CCCC1 ClC1=CCCCC1 OCCCl NCCCl COCCl ClCOCCl OCC(Cl)Cl OC(=O)CCl
OC(=O)C(Cl)Cl OC(=O)C(Cl)(Cl)Cl O=CCCl O=CC(Cl)(Cl)Cl NC(=O)CCl COC(=O)CCl CC(=O)CCl ClCC(=O)CCl
CC(Cl)C(=O)O CN(C)C(=O)Cl CCOC(=O)Cl ClC(=O)C(=O)Cl ClC(=O)C=C ClC1CO1 ClCC1CO1 C=C(Cl)C=C ClC=CC=O
CN(C)Cl CN(C)CCCl ClCCOCCCl ClCCSCCCl CCOCl ON=CCl Clc1ccccc1 Clc1ccccc1Cl Clc1cccc(Cl)c1
Clc1ccc(Cl)cc1 Cc1ccc(Cl)cc1 Cc1ccccc1Cl Oc1ccc(Cl)cc1 Oc1ccccc1Cl Nc1ccc(Cl)cc1 Nc1ccccc1Cl
Fc1ccc(Cl)cc1 Fc1ccccc1Cl O=Cc1ccccc1Cl OC(=O)c1ccccc1Cl N#Cc1ccc(Cl)cc1 COc1ccc(Cl)cc1 ClCc1ccccc1
Clc1cccc(Cl)c1Cl Clc1ccccn1 Clc1cccnc1 Clc1ccncc1 Clc1ncccn1 Clc1ccncn1 Clc1cnccn1 Clc1cccnn1
Clc1nc(Cl)nc(Cl)n1 Nc1ncccc1Cl Cc1cc(Cl)ncn1 Nc1cc(Cl)ncn1 Clc1ccco1 Clc1ccoc1 Clc1ccc[nH]1
Clc1cc[nH]c1 Clc1ccsc1 Clc1cccs1 Clc1c[nH]cn1 Clc1ncc[nH]1 Clc1cn[nH]c1 Clc1cc[nH]n1 Clc1cocn1
Clc1cnoc1 Clc1cscn1 Clc1nccs1 Cc1noc(Cl)c1 Clc1nnc(Cl)s1 Clc1c[nH]c2ccccc12 Clc1ccc2[nH]ccc2c1
Clc1ccc2ccccc2c1 O=C(Cl)c1ccccc1 O=c1[nH]c(=O)cc(Cl)[nH]1 O=C1NC(=O)C(Cl)=C1 O=C1C(Cl)=CC(=O)C=C1
ClC1=C(Cl)C(=O)OC1=O ClN1C(=O)CCC1=O CSCC CCSCC CSCCC CC(C)S CC(C)(C)S CCCS SCCS OCCS NCCS SCC(=O)O
CSCC(=O)O NC(CS)C(=O)O CSCCC(N)C(=O)O CSCSC CSCO CSCN CSC=C C=CSC=C CSC#C CSC#N CN=C=S CCN=C=S
C=CCN=C=S CC(=O)S CC(=S)O CC(=O)SC CC(O)=S CC(=S)N CC(=S)NC CN(C)C(C)=S CN(C)C=S NC=S NC(N)=S
CNC(N)=S CNC(=S)NC CN(C)C(=S)N(C)C CC(C)=S CC=S CSC(C)=S CSC(=O)SC CSC(=S)SC COC(=S)SC CN(C)C(=S)SC
COC(C)=S S=C1SCCS1 S=C1NCCN1 S=C1NCCS1 S=C1NCCO1 O=C1SCCS1 O=C1NCCS1 O=C1CSC(=O)N1 O=C1CSC(=S)N1
S=C1NC(=O)CS1 CN1CCN(C)C1=S O=C1CCCS1 S=C1CCCN1 S=C1CCCO1 S=C1CCCCN1 S=C1CCCC1 C1CCS1 C1CCSC1
C1CCSCC1 C1CCCSCC1 C1CSCCO1 C1CSCCN1 C1CSCCS1 C1CSCS1 C1SCSCS1 C1CSSC1 C1CSSCC1 C1CSCO1 C1CSCN1
CC1CS1 CC1CCCS1 OC1CSC1 O=C1CSC1 C=C1CSC1 C1=CSC=C1 C1=CCSC1 C1=CSCC1 C1=CSC=CC1 C1=CSC=CS1
C1=CSCCS1 C1=CSCCO1 S=c1ccss1 O=c1cccc[nH]1 S=c1cccc[nH]1 S=c1cccco1 S=c1ccocc1 O=c1ccscc1
O=C1C=CCS1 C1CC2SC1C=C2 C1CC2CCC1S2 C1CC2CC1CS2 C1CC2SC2C1 C1CCC2SC2C1 C1C2CSC1C2 C1SC2CCC1C2
C1CC2(C1)SCCS2 C1CCC2(CC1)SCCS2 CC1(C)SCCS1 O=C1CSCCN1 O=C1CSC2CCN12 O=S1CCC1 O=S1CCCC1 O=S1CCCCC1
O=S1(=O)CC1 O=S1(=O)CCC1 O=S1(=O)CCCC1 O=S1(=O)CC=CC1 O=S1(=O)C=CCC1 O=S1(=O)CCCCC1 O=S1(=O)CCOCC1
O=S1(=O)CCNCC1 O=S1(=O)CCN1 O=S1(=O)CCCN1 O=S1(=O)CCCCN1 CN1CCCS1(=O)=O O=S1(=O)CCO1 O=S1(=O)CCCO1
O=S1(=O)C=CCO1 O=S1(=O)OCCO1 O=S1OCCO1 O=S1(=O)NCCO1 O=S1(=O)NCCN1 O=C1CS(=O)(=O)CN1
O=C1NS(=O)(=O)CC1 O=S1(=O)CC(=O)C1 CC1CS1(=O)=O O=S1(=O)NC(=O)C=C1 CS(=O)CC CCS(C)(=O)=O CCS(=O)CC
CCS(=O)(=O)CC C=CS(C)=O C=CS(C)(=O)=O C=CS(=O)(=O)C=C C#CS(C)(=O)=O CS(=O)(=O)C#N CS(=O)(=O)CC#N
CS(=O)(=O)CO CS(=O)(=O)C=O CC(=O)S(C)(=O)=O CS(=O)(=O)CC(C)=O CS(=O)(=O)C(F)(F)F OS(=O)(=O)C(F)(F)F
FC(F)(F)SC(F)(F)F CS(=O)(=O)Cl CS(=O)(=O)F CS(=O)(=O)N CS(=O)(=O)NC CS(=O)(=O)N(C)C CCS(N)(=O)=O
CC(C)S(N)(=O)=O C1CC1S(N)(=O)=O NS(N)(=O)=O CN(C)S(=O)(=O)N(C)C COS(C)(=O)=O CCOS(C)(=O)=O
CCS(=O)(=O)OC COS(=O)(=O)OC COS(=O)OC COS(C)=O CS(O)=O CS(=O)(=O)O CS(=O)N CS(=N)(=O)C CS(C)=N CSN
CSNC CN(C)SN(C)C CSO CSOC CSCl CSF CSC(Cl)=O CN=S=O CC=S=O CS(=O)(=O)C1CC1 CSC1CC1 SC1CC1
CS(=O)(=O)C(C)C CS(=O)(=O)C(C)(C)C CS(=O)(=O)c1ccccc1 NS(=O)(=O)c1ccccc1 CS(=O)c1ccccc1 CSc1ccccc1
Sc1ccccc1 Sc1ccccc1S Sc1ccncc1 Sc1ccccn1 CSc1ccccn1 CSc1ncccn1 S=c1cc[nH]cn1 S=c1[nH]ccc(=O)[nH]1
c1ccc(SC=C)cc1 S=C=Nc1ccccc1 N#CSc1ccccc1 NC(=S)c1ccccc1 O=S(=O)(O)c1ccccc1 c1ccc2sccc2c1
c1ccc2cscc2c1 c1ccc2scnc2c1 c1ccc2sncc2c1 c1ccc2nsnc2c1 c1ccc2snnc2c1 c1cc2sccc2s1 c1cc2ccsc2s1
c1csc2cscc12 c1cc2cc[nH]c2s1 c1cc2occc2s1 c1cn2ccsc2n1 c1csc2nccn12 c1cnc2sccc2c1 c1ncc2ccsc2n1
C1Cc2ccsc2C1 C1Cc2cscc21 C1CCc2sccc2C1 C1Cc2ccccc2S1 C1Sc2ccccc2S1 C1CSc2ccccc2N1 C1CCc2ccccc2S1
c1cscn1 c1cnsc1 c1cscc1 c1csnn1 c1cnns1 c1nncs1 c1ncns1 c1cnsn1 c1ncsn1 c1nnsn1 Cc1cccs1 Cc1ccsc1
Cc1cscn1 Cc1nccs1 Cc1cncs1 Cc1ccns1 Cc1cnsc1 Cc1ccsn1 Cc1csnn1 Cc1nncs1 Cc1ncsn1 Cc1nsnc1C Nc1nccs1
Nc1cscn1 Nc1cncs1 Nc1cccs1 Nc1ccsc1 Nc1ccns1 Nc1cnsc1 Nc1nncs1 Nc1ncns1 Nc1nsnc1N Oc1cccs1 Oc1ccsc1
Oc1nccs1 Oc1cnsc1 Oc1csnn1 O=c1[nH]ccs1 O=c1cc[nH]s1 O=c1[nH]ncs1 S=c1[nH]ccs1 S=c1[nH]cc[nH]1
S=c1[nH]nc[nH]1 S=c1[nH]nn[nH]1 Cn1ccnc1S Sc1ncc[nH]1 Sc1nnc[nH]1 CSc1ncc[nH]1 O=Cc1cccs1 O=Cc1ccsc1
O=Cc1cscn1 O=Cc1nccs1 CC(=O)c1cccs1 OC(=O)c1cccs1 NC(=O)c1cccs1 N#Cc1cccs1 N#Cc1ccsc1 C#Cc1cccs1
C=Cc1cccs1 OCc1cccs1 NCc1cccs1 CCc1cccs1 COc1cccs1 COc1ccsc1 CSc1cccs1 CNc1cccs1 CNc1nccs1
Cc1csc(N)n1 Cc1csc(C)n1 Cc1cnc(C)s1 Cc1ccc(C)s1 Cc1sccc1C Nc1sccc1C#N Nc1ccsc1C=O Fc1cccs1
FC(F)(F)c1cccs1 O=[N+]([O-])c1cccs1 CS(=O)(=O)c1cccs1 c1csc(C2CC2)c1 O=C1Cc2ccsc2C1 O=C1NC=CS1
CC1=CSC=CN1 C1CN=CS1 CC1=NCCS1 NC1=NCCS1 C1CSC=N1 CSC1=NCCN1 CSC=N CSC(C)=N CSC=NC CSN=C CC(C)=NSC
NC(=N)SC CSC(C)=NC
"""


def join(carrier: str, group: str) -> str:
    """SMILES of `group` bonded, first atom to first atom, to `carrier`."""
    ring_digits_apart = group.replace("1", "2")
    first = re.match(r"[A-Za-z]1?", carrier).group()
    return f"{first}({ring_digits_apart}){carrier[len(first) :]}"


def smallest() -> list[str]:
    """Canonical SMILES of the molecules that head the file."""
    return [Chem.CanonSmiles(s) for s in SMALLEST.split()]


def familiar() -> list[str]:
    """Canonical SMILES of molecules that users know, which are all in the file."""
    return list(dict.fromkeys(Chem.CanonSmiles(s) for s in FAMILIAR.split()))


def handpicked() -> list[str]:
    """Canonical SMILES of the molecules of this file beyond the smallest, without repeats."""
    joined = [join(carrier, group) for carrier in CARRIERS.split() for group in GROUPS.split()]
    ahead = set(smallest())
    every = dict.fromkeys([*familiar(), *map(Chem.CanonSmiles, joined)])
    return [s for s in every if s not in ahead]
