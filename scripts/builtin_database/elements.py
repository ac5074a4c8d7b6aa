"""Boron, silicon, phosphorus, bromine and iodine, and more of sulfur and fluorine.

Each group is joined to some of the carriers of `handpicked.py`; the rest is picked by hand.
"""

from __future__ import annotations

PHOSPHORUS = """
P PC P(C)C P(=O)(C)C P(=S)(C)C P(=O)(O)O P(=O)(OC)OC OP(=O)(O)O OP(=O)(OC)OC OP(OC)OC P(OC)OC
P(Cl)Cl P(F)F P(=O)(Cl)Cl P(=O)(F)F P(=O)(N)N P(N(C)C)N(C)C NP(=O)(OC)OC SP(=O)(OC)OC OP(=S)(OC)OC
P(=O)(C)O N=P(C)(C)C C=P(C)(C)C OP(=O)(O)OC P(=O)(C)N(C)C P(=S)(OC)OC P(F)(F)(F)F CP(=O)(O)O CP(C)C
C(=O)P(C)C P(C)Cl
"""
BORON = """
B(O)O B(OC)OC B1OCCO1 B(C)C B(F)F B(Cl)Cl OB(O)O OB(C)C NB(C)C B(N(C)C)N(C)C B1OC(C)C(C)O1 SB(C)C
OB1OCCO1 CB(O)O B(O)C B(N)N B(F)C B1NCCN1 B(Br)Br
"""
SILICON = """
[SiH3] [SiH2]C [SiH](C)C [Si](C)(C)C O[SiH3] O[Si](C)(C)C [Si](Cl)(Cl)Cl [Si](F)(F)F [Si](OC)(OC)OC
[Si](C)(C)O N[Si](C)(C)C S[Si](C)(C)C [Si](C)(C)Cl [Si](C)(C)F [Si](C)(C)C=C C[Si](C)(C)C
[Si](O)(O)O [Si](C)(OC)OC [SiH2]Cl C#C[Si](C)(C)C C(=O)[Si](C)(C)C [Si](C)(C)Br [SiH2][SiH3]
[Si](C)(C)O[SiH3] C(C)[SiH3]
"""
BROMINE = """
Br CBr C(Br)Br C=CBr C#CBr C(=O)Br C(Br)=C NBr C(F)(F)Br C(=O)CBr SBr OBr C(Br)(Br)Br C(C)Br CCBr
C(Cl)Br N(C)Br C(F)Br OCCBr
"""
IODINE = "I CI C=CI C#CI C(=O)I C(F)(F)I C(=O)CI C(C)I C(I)=C CCI C(Cl)I NI N(C)I OCCI I(Cl)Cl"
SULFUR_AND_FLUORINE = """
S(=O)(=O)N(C)C S(F)(F)(F)(F)F OC(F)(F)F N(F)F S(=O)(=O)C(F)(F)F OS(=O)(=O)C(F)(F)F S(=O)(=NC)C
S(=O)N(C)C S(=O)(=O)NC(C)=O C(F)(F)C(F)(F)F C(F)=C(F)F SSSC S(=O)(=O)NO S(=O)(=O)N1CCC1 SCF SC(F)F
NS(=O)(=O)N OCF S(=O)(=O)C#N SN=C S(=O)Cl
"""

PICKED = """
P PP CP CPC CP(C)C CP(C)P(C)C FP(F)F ClP(Cl)Cl BrP(Br)Br FP(F)(F)(F)F ClP(Cl)(Cl)(Cl)Cl O=P(F)(F)F
O=P(Cl)(Cl)Cl O=P(Br)(Br)Br S=P(Cl)(Cl)Cl S=P(F)(F)F FP(Cl)Cl CP(F)F CP(Cl)Cl CP(=O)(Cl)Cl
CP(=O)(F)F COP(F)F COP(=O)(Cl)Cl COP(=O)(F)F CP(C)(=O)Cl CP(C)(=O)F CC(C)OP(C)(=O)F OP(O)O
OP(O)(O)=O O=[PH](O)O CP(O)O C[PH](=O)O CP(C)O C[PH](C)=O CP(C)(C)=O CP(C)(C)=S CP(C)(C)=C
CP(C)(C)=N CP(C)(C)=NC CP(C)(O)=O CP(O)(O)=O OCP(O)(O)=O NCP(O)(O)=O COP(O)O COP(C)C COP(OC)OC
COP(O)(O)=O COP(=O)(OC)OC CCOP(=O)(O)O CCOP(=O)(OC)OC COP(=S)(OC)OC COP(=O)(OC)SC CSP(C)C CSP(SC)SC
NP(N)N NP(N)(N)=O CN(C)P CN(C)P(C)C CN(C)P(N(C)C)N(C)C CN(C)P(=O)(C)C CN(C)P(Cl)Cl CN(C)P(=O)(OC)OC
P#C CC#P P#N C=P CC=P C=PC c1ccpcc1 c1cc[pH]c1 C1CP1 C1CCP1 C1CCPC1 C1CCPCC1 CP1CCCC1 O=P1(C)CCCC1
C1OP2OCC1CO2 C1COPO1 CP1OCCO1 COP1OCCO1 ClP1OCCO1 CP1(=O)OCCO1 COP1(=O)OCCO1 COP1(=O)OCCCO1
OP1(=O)OCCO1 CP1OCCCO1 P1PPP1 N1=PN=PN=P1 ClP1(Cl)=NP(Cl)(Cl)=NP(Cl)(Cl)=N1
NP1(N)=NP(N)(N)=NP(N)(N)=N1 CP1N(C)CCN1C O=P(O)(O)OP(=O)(O)O OP(O)(=O)CP(O)(O)=O CC(=O)OP(O)(O)=O
C=C(OP(O)(O)=O)C O=CCOP(O)(O)=O OCC(O)COP(O)(O)=O NCCOP(O)(O)=O CP(C)c1ccccc1 Pc1ccccc1
O=P(C)(C)c1ccccc1 OP(O)(=O)c1ccccc1 ClP(Cl)c1ccccc1 CP(C)c1ccccn1 CP(C)C=C CP(C)C#C CP(C)C#N C#CP
FC(F)(F)P FC(F)(F)P(C(F)(F)F)C(F)(F)F CP(C)C(C)=O CC(=O)P CP(C)CP(C)C CP(C)CCP(C)C CP(C)CCN CP(C)CCO
CP(C)CC(=O)O CP(C)B CP(C)[SiH3] P([SiH3])([SiH3])[SiH3] B BB C[BH]C CB CB(C)C FB(F)F ClB(Cl)Cl
BrB(Br)Br IB(I)I OB(O)O COB(OC)OC CB(O)O CB(OC)OC OB(O)C=C OB(O)C#C OB(O)c1ccccc1 OB(O)c1ccco1
OB(O)c1cccs1 OB(O)c1cccnc1 OB(O)c1ccccc1F OB(O)c1ccccc1O OB(O)c1ccccc1C=O NB(N)N CN(C)B(N(C)C)N(C)C
CN(C)B(C)C NB(C)C NB(O)O CB(N)N BN CNB CN(C)B CN=BC O=BC OB=O FB=O FB(F)C FB(F)O FB(F)N ClB(Cl)C
ClB(Cl)N(C)C SB(S)S CSB(C)C b1nbnbn1 B1NBNBN1 CB1NB(C)NB(C)N1 B1OBOBO1 CB1OB(C)OB(C)O1 B1OCCO1
B1OCCCO1 CB1OCCO1 CB1OC(C)(C)C(C)(C)O1 B1OC(C)(C)C(C)(C)O1 OB1OCc2ccccc21 OB1OCCC1 C1CB1 C1CCBC1
C1CCCB1 CB1CCCC1 CB1CCCCC1 B1NCCN1 CB1N(C)CCN1C B1Oc2ccccc2O1 B1C=CC=C1 b1ccccc1 B1NC=CC=C1
C[NH2+][BH3-] [NH3+][BH3-] C[NH+](C)[BH3-] C[N+](C)(C)[BH3-] [BH3-][n+]1ccccc1 F[B-](F)(F)[NH3+]
C[N+](C)(C)[B-](F)(F)F F[B-](F)(F)[n+]1ccccc1 F[B-](F)(F)[O+](C)C C[O+](C)[BH3-] C1CC[O+]([BH3-])C1
C[S+](C)[BH3-] C[P+](C)(C)[BH3-] [PH3+][BH3-] F[B-](F)(F)[P+](C)(C)C F[B-](F)(F)[N+]#CC [BH3-][C+]=O
[O+]#C[BH3-] F[B-](F)(F)[OH+]C Cl[B-](Cl)(Cl)[NH3+] Cl[B-](Cl)(Cl)[N+](C)(C)C C[B-](C)(C)[NH3+]
F[B-]1(F)OC(C)=CC(C)=[O+]1 C[N+]1(C)CC[BH2-]1 F[B-]1(F)[NH2+]CC(=O)O1 F[B-](F)(F)[NH+]1CCCC1
[BH3-][NH+]1CCOCC1 [SiH4] [SiH3][SiH3] C[SiH3] C[SiH2]C C[SiH](C)C C[Si](C)(C)C CC[SiH3] C=C[SiH3]
C#C[SiH3] [SiH3]c1ccccc1 C[Si](C)(C)c1ccccc1 C[Si](C)(C)C=C C[Si](C)(C)C#C C[Si](C)(C)CC=C F[SiH3]
Cl[SiH3] Br[SiH3] I[SiH3] F[SiH2]F Cl[SiH2]Cl FC[SiH3] ClC[SiH3] F[Si](F)(F)F Cl[Si](Cl)(Cl)Cl
Br[Si](Br)(Br)Br Cl[SiH](Cl)Cl F[SiH](F)F C[Si](Cl)(Cl)Cl C[Si](C)(Cl)Cl C[Si](C)(C)Cl C[Si](C)(C)F
C[Si](C)(C)Br C[Si](C)(C)I C[Si](F)(F)F C[SiH](Cl)Cl O[SiH3] O[SiH2]O O[Si](O)(O)O CO[SiH3]
CO[Si](C)(C)C CO[Si](OC)(OC)OC CO[Si](C)(OC)OC CO[Si](C)(C)OC C[Si](C)(C)O C[Si](C)(O)O C[Si](O)(O)O
[SiH3]O[SiH3] C[Si](C)(C)O[Si](C)(C)C O[SiH2]O[SiH3] [SiH3]O[SiH2]O[SiH3] C[SiH2]O[SiH2]C
O[Si](O)(O)O[Si](O)(O)O [SiH2]1O[SiH2]O[SiH2]O1 C[Si]1(C)O[Si](C)(C)O[Si](C)(C)O1
[SiH2]1O[SiH2]O[SiH2]O[SiH2]O1 C[Si](C)(C)N C[Si](C)(C)NC C[Si](C)(C)N(C)C [SiH3]N
[SiH3]N([SiH3])[SiH3] [SiH3]N[SiH3] C[Si](C)(C)N[Si](C)(C)C [SiH3]S [SiH3]S[SiH3] C[Si](C)(C)SC
C[Si](C)(C)C#N C[Si](C)(C)N=[N+]=[N-] C[Si](C)(C)N=C=O [SiH3]C#N C[Si](C)(C)OC=C C[Si](C)(C)OC(C)=O
C[Si](C)(C)OC=C C[Si](C)(C)CO C[Si](C)(C)CN C[Si](C)(C)CCl C[Si](C)(C)C(=O)C C[Si](C)(C)CC(=O)O
C[Si](C)(C)C(F)(F)F C[Si](C)(C)[Si](C)(C)C [SiH3][SiH2][SiH3] C1C[SiH2]1 C1C[SiH2]C1 C1CC[SiH2]C1
C1CC[SiH2]CC1 C[Si]1(C)CCCC1 C[Si]1(C)CCC1 C[Si]1(C)CC=CC1 C1=C[SiH2]C=C1 C[Si]1(C)CCCO1
C[Si]1(C)CCCN1 C[Si]1(C)OCCO1 [SiH2]1[SiH2][SiH2]1 [SiH2]1[SiH2][SiH2][SiH2][SiH2]1 C1[SiH2]C[SiH2]1
C1CC[Si]2(CC1)CCC2 CO[Si]12OCCN(CCO1)CCO2 C=[Si](C)C C=[SiH2] C[SiH]=C [SiH2]=O C[Si](C)=O
N[Si](N)(N)N C[Si](C)(C)OP(=O)(O)O C[Si](C)(C)P [SiH3]P C[Si](C)(C)B(C)C BrBr Br CBr CCBr CCCBr
CC(C)Br CC(C)(C)Br BrCBr BrC(Br)Br BrC(Br)(Br)Br BrCCBr C=CBr C#CBr BrC#CBr C=CCBr C#CCBr BrC=CBr
C=C(Br)Br BrC(Br)=C(Br)Br FC(F)(F)Br FC(F)Br FCBr FC(Br)(Br)F ClCBr ClC(Cl)Br ClC(Cl)(Cl)Br FC(Cl)Br
FC(F)(Br)C(F)(F)Br FC(F)(F)C(Cl)Br BrC1CC1 BrC1CCC1 BrC1CCCC1 BrC1CCCCC1 Brc1ccccc1 Brc1ccccc1Br
Brc1ccc(Br)cc1 Brc1cccc(Br)c1 Cc1ccc(Br)cc1 Cc1ccccc1Br Oc1ccc(Br)cc1 Nc1ccc(Br)cc1 Nc1ccccc1Br
Fc1ccc(Br)cc1 Fc1ccccc1Br Clc1ccc(Br)cc1 Clc1ccccc1Br O=Cc1ccccc1Br OC(=O)c1ccccc1Br
OC(=O)c1ccc(Br)cc1 N#Cc1ccc(Br)cc1 COc1ccc(Br)cc1 BrCc1ccccc1 Brc1ccccn1 Brc1cccnc1 Brc1ccncc1
Brc1ncccn1 Brc1cncnc1 Brc1cnccn1 Brc1ccco1 Brc1ccoc1 Brc1ccc[nH]1 Brc1cccs1 Brc1ccsc1 Brc1c[nH]cn1
Brc1ncc[nH]1 Brc1cn[nH]c1 Brc1nccs1 Brc1cscn1 Brc1c[nH]c2ccccc12 Brc1ccc2ccccc2c1 NCCBr OCCBr COCCBr
OC(=O)CBr NC(=O)CBr CC(=O)CBr CC(=O)Br O=C(Br)Br O=CCBr COC(=O)CBr N#CCBr N#CBr ON=CBr CC(Br)C(=O)O
BrC1CO1 BrCC1CO1 BrN1C(=O)CCC1=O CN(C)Br CN(Br)Br NBr OBr COBr BrCl FBr BrOBr CSBr BrSBr O=S(Br)Br
CS(=O)(=O)Br O=NBr O=[N+]([O-])Br O=[N+]([O-])c1ccc(Br)cc1 CC(Br)=O BrC1=CC(=O)NC1=O
O=c1[nH]cc(Br)c(=O)[nH]1 Cn1cc(Br)cn1 OBr(=O)=O BrC1=CCCCC1 CC(Br)CBr CC(Br)=C BrCC(=C)C BrCCCBr
C1C2CC3(Br)CC1CC(C2)C3 II I CI CCI CCCI CC(C)I CC(C)(C)I ICI IC(I)I IC(I)(I)I ICCI C=CI C#CI IC#CI
C=CCI C#CCI FC(F)(F)I FC(F)I FCI ClCI BrCI IC1CC1 IC1CCCCC1 Ic1ccccc1 Ic1ccccc1I Ic1ccc(I)cc1
Cc1ccc(I)cc1 Oc1ccc(I)cc1 Oc1ccccc1I Nc1ccc(I)cc1 Nc1ccccc1I Fc1ccc(I)cc1 Fc1ccccc1I Clc1ccc(I)cc1
Brc1ccc(I)cc1 O=Cc1ccccc1I OC(=O)c1ccccc1I N#Cc1ccc(I)cc1 COc1ccc(I)cc1 ICc1ccccc1 Ic1ccccn1
Ic1cccnc1 Ic1ccncc1 Ic1cncnc1 Ic1ccco1 Ic1cccs1 Ic1ccsc1 Ic1c[nH]cn1 Ic1cn[nH]c1 Ic1ccc[nH]1
Ic1c[nH]c2ccccc12 O=c1[nH]cc(I)c(=O)[nH]1 OCCI NCCI OC(=O)CI NC(=O)CI CC(=O)CI CC(=O)I N#CCI N#CI
ICl BrI FI IN1C(=O)CCC1=O CN(C)I OI COI FC(F)(F)C(F)(F)I IC(F)(F)C(F)(F)I Fc1c(F)c(F)c(I)c(F)c1F
IC=CI C=C(I)C OI(=O)=O O=I(=O)c1ccccc1 O=Ic1ccccc1 CC(=O)OI(OC(C)=O)c1ccccc1 Cl[I](Cl)c1ccccc1
F[I](F)c1ccccc1 FC(F)(F)I1OC(=O)c2ccccc12 OI1OC(=O)c2ccccc12 CI1OC(C)(C)c2ccccc12 FCl OCl(=O)=O
FS(F)(F)(F)F O=S(F)(F)(F)F FS(=O)(=O)OC FSSF FC(F)(F)SF FC(F)(F)S(F)(F)(F)(F)F FS(F)(F)(F)(F)Cl
CS(C)(=O)=NC CS(N)(=O)=NC CS(C)(=N)=N O=S(C)(F)=NC CC(=O)NS(C)(=O)=O NS(=O)(=O)c1cccnc1
CS(=O)(=O)NS(C)(=O)=O CN1S(=O)(=O)CCC1 O=S1(=O)NC(=O)CC1 CSSSC CSSSSC OS(=O)(=O)CC(=O)O
OS(=O)(=O)C=C NS(=O)(=O)C=C NS(=O)(=O)C(F)(F)F NS(=O)(=O)Cl NS(=O)(=O)F CN(C)S(=O)(=O)F
FC(F)(F)c1ccccc1S FC(F)(F)Oc1ccccc1 FC(F)(F)Sc1ccccc1 OS(=O)(=O)S OS(=O)(=O)OO CS(=O)(=O)OS(C)(=O)=O
CS(=O)SC CS(=O)(=O)SC CSC(C)=S C1CSSS1 O=S1(=O)OCCCO1 CS(=O)OS(C)=O FC1(F)C(F)(F)C1(F)F
Fc1c(F)c(F)c(F)c(F)c1F FC(F)=C(F)C(F)(F)F FN=C(F)F FN1CCCC1 FC(F)(F)N(C(F)(F)F)C(F)(F)F FC(F)(F)OF
FC(F)(F)C(=O)C(F)(F)F FC(F)(F)C(O)C(F)(F)F FC1CCCCC1F FC(F)C(=O)O CC(F)C(=O)O FC(F)(F)CC(F)(F)F
O=C(F)C(F)(F)F
"""

#: Their force-field geometries are symmetric saddle points: they start away from these.
HYPERVALENT = """
ClI(Cl)Cl CS(F)(F)F FI(F)F FS(F)(F)F FI(F)(F)(F)F CS(C)(F)F
"""
