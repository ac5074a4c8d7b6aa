"""Charged molecules: charged groups joined to carriers, and others picked by hand."""

from __future__ import annotations

CARRIERS = "C CC C(C)C C(C)(C)C C=C c1ccccc1 C1CC1 CO CCC CCl CC#N CC=C"

ANIONIC = """
C(=O)[O-] S(=O)(=O)[O-] S(=O)[O-] P(=O)(O)[O-] P(=O)(OC)[O-] OP(=O)(O)[O-] OP(=O)(OC)[O-]
OS(=O)(=O)[O-] [S-] [O-] C(=O)[S-] C(=S)[S-] C([O-])=C [B-](F)(F)F [B-](O)(O)O S(=O)(=O)[N-]C
C(=O)[N-]S(C)(=O)=O c1nnn[n-]1 [C-](C#N)C#N C(=O)[N-]C=O N=C[O-] C(=O)C=C[O-] NC(=O)[O-] SC#[C-]
P(=O)(C)[O-] [N-]C#N OC(=O)[O-] C(=NO[O-])C [N-]S(C)(=O)=O C([O-])=NO P(=S)(O)[O-] [B-](C)(C)C
[BH3-] SS(=O)(=O)[O-] C(F)(F)[O-] N([O-])C=O
"""
CATIONIC = """
[NH3+] [NH2+]C [NH+](C)C [N+](C)(C)C C(N)=[NH2+] NC(N)=[NH2+] [S+](C)C [P+](C)(C)C [n+]1ccccc1
c1cccc[nH+]1 c1[nH]cc[nH+]1 [n+]1ccn(C)c1 C=[NH2+] C(C)=[OH+] C(O)=[OH+] C#[NH+] [OH2+] C=[N+](C)C
[N+]#N N[NH3+] C(OC)=[NH2+] C(N)=[OH+] [PH3+] [SH+]C SC(N)=[NH2+] [NH2+]O C(=[NH2+])C [O+](C)C
[P+](C)(C)O [Si](C)(C)[NH3+] c1cc[nH+]cc1 [S+](C)(C)=O [NH2+]CC
"""

PICKED = """
[NH4+] [OH3+] [PH4+] [SH3+] C[NH3+] N#[O+] [N-]=[N+]=[N-] [O-][N+](=O)[O-] [O-]N=O N#C[O-] N#C[S-]
[C-]#N [OH-] [SH-] [NH2-] [O-]O [N-]=C=NC [O-]C(=O)[O-] OC(=O)[O-] O=C([O-])C(=O)O OS(=O)(=O)[O-]
OS(=O)[O-] OP(=O)(O)[O-] OP(=O)([O-])C FP(=O)([O-])F FP(=O)(O)[O-] F[B-](F)(F)F O[B-](O)(O)O [BH4-]
C[B-](C)(C)C N#C[B-](C#N)(C#N)C#N F[P-](F)(F)(F)(F)F F[Si-](F)(F)(F)F [O-]Cl [O-]Cl=O [O-]Cl(=O)=O
[O-]Cl(=O)(=O)=O [O-]Br [O-]Br(=O)=O [O-]I(=O)=O [O-]I Cl[B-](Cl)(Cl)Cl [O-][Si](C)(C)C
Br[B-](Br)(Br)Br C[N+](C)(C)C CC[N+](CC)(CC)CC C[P+](C)(C)C C[S+](C)C C[O+](C)C C[Si](C)(C)[O-]
C[NH+](C)[O-] ClC=[N+](C)C O=C=[NH2+] C1CC[NH2+]CC1 C1CC[NH2+]C1 C1CC[NH2+]1 C1C[NH2+]1
C1CC[NH2+]CC1 C[NH+]1CCCCC1 C1COCC[NH2+]1 C1CNCC[NH2+]1 C1CC2CC[NH+]1CC2 C1CN2CC[NH+]1CC2
C[N+]1(C)CCCC1 c1cc[nH+]cc1 Cc1cccc[nH+]1 Cc1cc[nH+]cc1 Nc1cc[nH+]cc1 Nc1cccc[nH+]1 C[n+]1ccccc1
c1c[nH+]c[nH]1 Cn1cc[nH+]c1 Cn1cc[n+](C)c1 Cc1c[nH+]c[nH]1 CCc1c[nH]c[nH+]1 CC[n+]1ccn(C)c1
c1cn[nH+][nH]1 c1nc[nH+][nH]1 c1cc[nH+]nc1 c1c[nH+]ccn1 Nc1cc[nH]c(=[OH+])n1 c1ccc2[nH+]cccc2c1
c1ccc2[nH]c[nH+]c2c1 c1cc[o+]cc1 c1csc[nH+]1 c1coc[nH+]1 CC1=[NH+]CCN1 NC(N)=[NH2+] CNC(N)=[NH2+]
CN(C)C(N)=[NH2+] CNC(NC)=[NH2+] CN(C)C(=[N+](C)C)N(C)C NC=[NH2+] CC(N)=[NH2+] CC(=[NH2+])NC
C1C[NH+]=C(N)N1 NC(=[NH2+])c1ccccc1 NC(=[NH2+])NCC(=O)O NC(=[NH2+])NCCC [NH3+]CC(=O)O [NH3+]CC(=O)OC
[NH3+]CCO [NH3+]CCN [NH3+]CC(N)=O C[NH2+]CC(=O)O [NH3+]CCC(=O)O [NH3+]CCc1c[nH]cn1 [NH3+]CC(F)(F)F
[NH3+]c1ccccc1 C[NH2+]c1ccccc1 [NH3+]CCS [NH3+]CCCl [NH3+]CCCC[NH3+] [NH3+]CCCCN C[N+](C)(C)CCO
C[N+](C)(C)CC(=O)O C[N+](C)(C)CCOC(C)=O [NH3+]CC#C [NH3+]CC=C [NH3+]CC#N C[S+](C)CC(=O)O C[S+](C)CCC
C1CC[S+](C)C1 c1ccc([P+](C)(C)C)cc1 C[P+](C)(C)CO C[NH+]=C(C)C C1CCC[NH+]=C1 C=C[NH+]=C CC=[NH2+]
C=CC=[NH2+] NC=CC=[NH2+] CN(C)C=CC=[N+](C)C CC#[O+] C=[O+]C CC(C)=[OH+] COC=[OH+] CC(O)=[OH+]
NC(N)=[OH+] C[C+](C)C [CH2+]c1ccccc1 [CH+]1C=CC=CC=C1 C[CH+]OC COC(C)=[O+]C OC(=[OH+])C [O-]c1ccccc1
[O-]c1ccccc1O [O-]c1ccc(F)cc1 [O-]c1ccc(C=O)cc1 [O-]c1cccnc1 Cc1ccc([O-])cc1 [O-]c1ccc(C#N)cc1
[O-]c1ccc(Cl)cc1 [S-]c1ccccc1 [O-]C=CC=O CC(=O)C=C(C)[O-] CC([O-])=CC#N [CH2-][N+](=O)[O-]
CC(=C)[O-] N#C[CH-]C#N O=C([O-])C(F)(F)F O=C([O-])CO O=C([O-])CN O=C([O-])CS O=C([O-])CCl
O=C([O-])C#C O=C([O-])CC#N O=C([O-])CCC(=O)O O=C([O-])CC(=O)O O=C([O-])C=CC(=O)O O=C([O-])CC[NH3+]
O=C([O-])c1ccccc1 O=C([O-])c1cccnc1 O=C([O-])c1ccco1 O=C([O-])c1ccc[nH]1 O=C([O-])CC(=O)[O-]
O=C([O-])C=CC(=O)[O-] O=C([O-])CCCC(=O)[O-] CC(=O)NCC(=O)[O-] O=C([O-])CNC=O O=C([O-])C=O
O=C([O-])C(O)C(=O)O O=C([O-])COC O=C([O-])CCC=O O=C([O-])CBr O=C([O-])CI O=C([O-])C(Cl)(Cl)Cl
CC([NH3+])C(=O)NC C[NH2+]CCO OCC[NH2+]CCO OCC(O)C[NH3+] NC(=O)C[NH+](C)C CC(O)C[NH3+]
COP(=O)([O-])[O-] OP(=O)([O-])[O-] CP(=O)([O-])[O-] COP(=O)(OC)[O-] CCOP(=O)(O)[O-]
C1COP(=O)([O-])O1 O=P([O-])(O)OP(=O)(O)O O=P([O-])(O)OP(=O)([O-])O COP(=O)([O-])OCC[NH3+]
COP(=O)([O-])OCC[N+](C)(C)C NP(=O)(O)[O-] CP(=O)(F)[O-] COP(=S)(OC)[O-] OCC(O)COP(=O)(O)[O-]
[O-]P(=O)(O)OCC=O CC(=O)OP(=O)(O)[O-] C=C(C(=O)O)OP(=O)(O)[O-] CS(=O)(=O)[O-] CS(=O)[O-]
COS(=O)(=O)[O-] [O-]S(=O)(=O)C(F)(F)F [O-]S(=O)(=O)c1ccccc1 [NH3+]CCS(=O)(=O)[O-]
CS(=O)(=O)[N-]S(C)(=O)=O O=S(=O)([N-]S(=O)(=O)F)F CS(=O)(=O)[NH-] CC(=O)[N-]S(C)(=O)=O
[NH-]S(=O)(=O)c1ccccc1 O=C1[N-]C(=O)CC1 O=c1cc[n-]c(=O)[nH]1 c1c[n-]cn1 c1cc[n-]c1 c1c[n-]nc1
c1nc[n-]n1 c1nnn[n-]1 Cc1nnn[n-]1 c1ccc2[n-]ccc2c1 C1=C[CH-]C=C1 O=C1C=CC(=O)[N-]1 CC(=O)[N-]O
CC([O-])=NO CN([O-])C=O C[N-]C=O C[N+](C)(C)[O-] C[N+](C)([O-])c1ccccc1 [O-][n+]1ccccc1C
[O-][n+]1ccccc1O [O-][n+]1ccc(C)cc1 C1CC[N+](C)([O-])C1 C[N+]1([O-])CCOCC1 C[N+](C)(C)CC(=O)[O-]
C[N+](C)(C)CCC(=O)[O-] C[N+](C)(C)CCCS(=O)(=O)[O-] C[N+](C)(C)CCS(=O)(=O)[O-] C[S+](C)CCC(=O)[O-]
c1c[n+](CC(=O)[O-])ccc1 C[n+]1cccc(C(=O)[O-])c1 C[n+]1cccc([O-])c1 CN(C)C(=[N+](C)C)[O-]
C[n+]1ccn([BH3-])c1 CC(=O)[O-].O O=C[O-].O C[NH3+].O [NH4+].O C[NH2+]C.O NC(N)=[NH2+].O
c1c[nH+]c[nH]1.O c1cc[nH+]cc1.O CS(=O)(=O)[O-].O OP(=O)(O)[O-].O COP(=O)(O)[O-].O [O-]c1ccccc1.O
[N-]=[N+]=[N-].O.O C[S-].O N#C[S-].O F[B-](F)(F)F.O C[N+](C)(C)C.O COP(=O)([O-])[O-].O.O.O
COP(=O)([O-])OCC[NH3+].O CCC(=O)[O-].O.O CC[NH3+].O.O C1CC[NH2+]C1.O.O Cn1cc[nH+]c1.O.O
CC(N)=[NH2+].O.O CS(=O)[O-].O.O CC(=O)[S-].O c1nnn[n-]1.O.O O=C([O-])CO.O O[B-](O)(O)O.O
C[P+](C)(C)C.O C[S+](C)C.O.O O=C([O-])CC(=O)[O-].O.O.O [O-]Cl(=O)(=O)=O.O F[P-](F)(F)(F)(F)F.O
[OH-].O [OH3+].O
"""
