"""Molecules unlike QM9's: drugs, flavours, sugars, peptides, aromatics, natural products.

Written down by hand. Five of them are in the built-in database too: methionine, adenine, quinoline,
naphthalene, benzothiazole. Their geometries are GFN2-xTB's, from RDKit's conformer.
"""

from __future__ import annotations

from ase import Atoms
from rdkit import Chem
from rdkit.Chem import AllChem

from cases.energies import xtb_relaxed

#: Names and SMILES; molecules of more than 30 atoms are left out by ``geometries``.
SMILES = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "theobromine": "Cn1cnc2c1c(=O)[nH]c(=O)n2C",
    "phenacetin": "CCOc1ccc(NC(C)=O)cc1",
    "benzocaine": "CCOC(=O)c1ccc(N)cc1",
    "salicylamide": "NC(=O)c1ccccc1O",
    "isoniazid": "NNC(=O)c1ccncc1",
    "metronidazole": "Cc1ncc([N+](=O)[O-])n1CCO",
    "nicotine": "CN1CCC[C@H]1c1cccnc1",
    "cotinine": "CN1C(=O)CC[C@H]1c1cccnc1",
    "dopamine": "NCCc1ccc(O)c(O)c1",
    "adrenaline": "CNC[C@H](O)c1ccc(O)c(O)c1",
    "serotonin": "NCCc1c[nH]c2ccc(O)cc12",
    "tryptamine": "NCCc1c[nH]c2ccccc12",
    "amphetamine": "C[C@@H](N)Cc1ccccc1",
    "ephedrine": "CN[C@@H](C)[C@H](O)c1ccccc1",
    "phenylalanine": "N[C@@H](Cc1ccccc1)C(=O)O",
    "tyrosine": "N[C@@H](Cc1ccc(O)cc1)C(=O)O",
    "tryptophan": "N[C@@H](Cc1c[nH]c2ccccc12)C(=O)O",
    "histidine": "N[C@@H](Cc1c[nH]cn1)C(=O)O",
    "glutamine": "N[C@@H](CCC(N)=O)C(=O)O",
    "methionine": "CSCC[C@H](N)C(=O)O",
    "lysine": "NCCCC[C@H](N)C(=O)O",
    "glycylglycine": "NCC(=O)NCC(=O)O",
    "alanylalanine": "C[C@H](N)C(=O)N[C@@H](C)C(=O)O",
    "alanine dipeptide": "CC(=O)N[C@@H](C)C(=O)NC",
    "glycine dipeptide": "CC(=O)NCC(=O)NC",
    "serine dipeptide": "CC(=O)N[C@@H](CO)C(=O)NC",
    "glucose": "OC[C@H]1OC(O)[C@H](O)[C@@H](O)[C@@H]1O",
    "fructose": "OC[C@H]1O[C@](O)(CO)[C@@H](O)[C@@H]1O",
    "xylose": "O[C@@H]1CO[C@@H](O)[C@H](O)[C@H]1O",
    "ribose": "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H]1O",
    "methyl glucoside": "OC[C@H]1O[C@@H](OC)[C@H](O)[C@@H](O)[C@@H]1O",
    "levoglucosan": "O[C@@H]1[C@@H](O)[C@H]2CO[C@H](O2)[C@H]1O",
    "thymidine": "Cc1cn([C@H]2C[C@H](O)[C@@H](CO)O2)c(=O)[nH]c1=O",
    "uridine": "O=c1ccn([C@@H]2O[C@H](CO)[C@@H](O)[C@H]2O)c(=O)[nH]1",
    "cytidine": "Nc1ccn([C@@H]2O[C@H](CO)[C@@H](O)[C@H]2O)c(=O)n1",
    "adenine": "Nc1ncnc2[nH]cnc12",
    "guanine": "Nc1nc2[nH]cnc2c(=O)[nH]1",
    "9-methyladenine": "Cn1cnc2c(N)ncnc12",
    "ascorbic acid": "OC[C@H](O)[C@H]1OC(=O)C(O)=C1O",
    "citric acid": "OC(=O)CC(O)(CC(=O)O)C(=O)O",
    "shikimic acid": "O[C@@H]1CC(=C[C@@H](O)[C@H]1O)C(=O)O",
    "gallic acid": "OC(=O)c1cc(O)c(O)c(O)c1",
    "caffeic acid": "OC(=O)/C=C/c1ccc(O)c(O)c1",
    "ferulic acid": "COc1cc(/C=C/C(=O)O)ccc1O",
    "cinnamaldehyde": "O=C/C=C/c1ccccc1",
    "vanillin": "COc1cc(C=O)ccc1O",
    "vanillic acid": "COc1cc(C(=O)O)ccc1O",
    "syringol": "COc1cccc(OC)c1O",
    "eugenol": "COc1cc(CC=C)ccc1O",
    "coniferyl alcohol": "COc1cc(/C=C/CO)ccc1O",
    "coumarin": "O=c1ccc2ccccc2o1",
    "umbelliferone": "O=c1ccc2ccc(O)cc2o1",
    "chromone": "O=c1ccoc2ccccc12",
    "indole-3-acetic acid": "OC(=O)Cc1c[nH]c2ccccc12",
    "quinoline": "c1ccc2ncccc2c1",
    "quinazoline": "c1ccc2ncncc2c1",
    "acridine": "c1ccc2nc3ccccc3cc2c1",
    "phenanthroline": "c1cnc2c(c1)ccc1cccnc12",
    "carbazole": "c1ccc2c(c1)[nH]c1ccccc12",
    "anthracene": "c1ccc2cc3ccccc3cc2c1",
    "naphthalene": "c1ccc2ccccc2c1",
    "azulene": "c1ccc2cccc-2cc1",
    "biphenyl": "c1ccc(-c2ccccc2)cc1",
    "bipyridine": "c1ccc(-c2ccccn2)nc1",
    "stilbene": "c1ccc(/C=C/c2ccccc2)cc1",
    "benzophenone": "O=C(c1ccccc1)c1ccccc1",
    "azobenzene": "c1ccc(/N=N/c2ccccc2)cc1",
    "diphenylamine": "c1ccc(Nc2ccccc2)cc1",
    "phenyl benzoate": "O=C(Oc1ccccc1)c1ccccc1",
    "benzanilide": "O=C(Nc1ccccc1)c1ccccc1",
    "phthalimide": "O=C1NC(=O)c2ccccc21",
    "dimethyl phthalate": "COC(=O)c1ccccc1C(=O)OC",
    "terephthalic acid": "OC(=O)c1ccc(C(=O)O)cc1",
    "4-nitroaniline": "Nc1ccc([N+](=O)[O-])cc1",
    "trinitrotoluene": "Cc1c([N+](=O)[O-])cc([N+](=O)[O-])cc1[N+](=O)[O-]",
    "camphor": "CC1(C)C2CCC1(C)C(=O)C2",
    "menthone": "CC(C)[C@@H]1CC[C@@H](C)CC1=O",
    "limonene": "CC1=CC[C@@H](C(C)=C)CC1",
    "carvone": "CC1=CC[C@@H](C(C)=C)CC1=O",
    "alpha-pinene": "CC1=CCC2CC1C2(C)C",
    "thymol": "Cc1ccc(C(C)C)c(O)c1",
    "eucalyptol": "CC12CCC(CC1)C(C)(C)O2",
    "geraniol": "CC(C)=CCCC(C)=CCO",
    "citral": "CC(C)=CCCC(C)=CC=O",
    "jasmone": "CC/C=C\\CC1=C(C)CCC1=O",
    "adamantanamine": "NC12CC3CC(CC(C3)C1)C2",
    "arecoline": "COC(=O)C1=CCCN(C)C1",
    "tropinone": "CN1C2CCC1CC(=O)C2",
    "barbital": "CCC1(CC)C(=O)NC(=O)NC1=O",
    "phenobarbital": "CCC1(c2ccccc2)C(=O)NC(=O)NC1=O",
    "phenytoin": "O=C1NC(=O)C(c2ccccc2)(c2ccccc2)N1",
    "primidone": "CCC1(c2ccccc2)C(=O)NCNC1=O",
    "ethosuximide": "CCC1(C)CC(=O)NC1=O",
    "glutethimide": "CCC1(c2ccccc2)CCC(=O)NC1=O",
    "antipyrine": "Cc1cc(=O)n(-c2ccccc2)n1C",
    "levetiracetam": "CC[C@@H](C(N)=O)N1CCCC1=O",
    "piracetam": "NC(=O)CN1CCCC1=O",
    "allopurinol": "O=c1[nH]cnc2[nH]ncc12",
    "favipiravir": "NC(=O)c1nc(F)cnc1O",
    "fluorouracil": "O=c1[nH]cc(F)c(=O)[nH]1",
    "flucytosine": "Nc1nc(=O)[nH]cc1F",
    "sulfanilamide": "Nc1ccc(S(N)(=O)=O)cc1",
    "saccharin": "O=C1NS(=O)(=O)c2ccccc21",
    "benzothiazole": "c1ccc2scnc2c1",
    "penicillamine": "CC(C)(S)[C@@H](N)C(=O)O",
    "biotin lactone": "O=C1NC2CSCC2N1",
    "clofibric acid": "CC(C)(Oc1ccc(Cl)cc1)C(=O)O",
    "chlorzoxazone": "O=c1[nH]c2cc(Cl)ccc2o1",
    "diclofenamide core": "NS(=O)(=O)c1cccc(Cl)c1Cl",
    "pyridoxine": "Cc1ncc(CO)c(CO)c1O",
    "nicotinamide": "NC(=O)c1cccnc1",
    "lipoamide ring": "NC(=O)CCCCC1CCSS1",
    "creatine": "CN(CC(=O)O)C(N)=N",
    "melatonin core": "COc1ccc2[nH]ccc2c1",
    "kojic acid": "OCc1cc(=O)c(O)co1",
    "maltol": "Cc1occc(=O)c1O",
    "furfuryl acetate": "CC(=O)OCc1ccco1",
    "5-hydroxymethylfurfural": "OCc1ccc(C=O)o1",
    "2,5-furandicarboxylic acid": "OC(=O)c1ccc(C(=O)O)o1",
    "triacetin core": "CC(=O)OCC(O)COC(C)=O",
    "diglyme": "COCCOCCOC",
    "12-crown-4": "C1COCCOCCOCCO1",
    "caprolactam dimer ring": "O=C1CCCCCN1",
    "hexamine": "C1N2CN3CN1CN(C2)C3",
    "dimethyl carbonate dimer": "COC(=O)OCCOC(=O)OC",
}


def geometries(largest: int = 30) -> list[Atoms]:
    """Return the GFN2-xTB geometries of those of ``largest`` atoms at most, named in ``info``."""
    starts = []
    for name, smiles in SMILES.items():
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        if mol.GetNumAtoms() > largest:
            continue
        if AllChem.EmbedMolecule(mol, randomSeed=7) != 0:
            raise ValueError(f"RDKit finds no conformer of {name}")
        AllChem.MMFFOptimizeMolecule(mol, maxIters=2000)
        numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
        atoms = Atoms(numbers, mol.GetConformer().GetPositions())
        atoms.info["name"] = name
        starts.append(atoms)
    found = []
    for start, one in zip(starts, xtb_relaxed(starts, fmax=0.005), strict=True):
        atoms = one.atoms.copy()
        atoms.info = dict(start.info)
        atoms.calc = None
        found.append(atoms)
    return found
