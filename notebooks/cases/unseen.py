"""Molecules and ions that the built-in database's second part leaves out, to be measured on.

Inner hydrogen bonds, ions of all kinds, and drug-like molecules of up to some 30 heavy atoms (those
of ``drug_like`` among them). The database's scripts drop every molecule of these lists, whatever
its stereochemistry, and every complex that has one of them in it. Five are in the first edition:
see ``scripts/builtin_database/README.md``. Geometries are GFN2-xTB's, from RDKit's conformer.
"""

from __future__ import annotations

from ase import Atoms
from ase.optimize import LBFGS
from rdkit import Chem
from rdkit.Chem import AllChem
from tblite.ase import TBLite

from cases import drug_like

INNER_HYDROGEN_BONDS = {
    "2-nitrophenol": "O=[N+]([O-])c1ccccc1O",
    "salicylic acid": "OC(=O)c1ccccc1O",
    "salicylaldehyde": "O=Cc1ccccc1O",
    "malonaldehyde": "O=C/C=C\\O",
    "benzoylacetone": "CC(=O)/C=C(\\O)c1ccccc1",
    "hexafluoroacetylacetone": "O=C(/C=C(\\O)C(F)(F)F)C(F)(F)F",
    "4-anilinobut-3-en-2-one": "CC(=O)/C=C\\Nc1ccccc1",
    "2-hydroxycyclohexene-1,3-dicarbaldehyde": "O=C/C1=C(\\O)C(C=O)CCC1",
    "8-hydroxyquinoline-5-carbaldehyde": "O=Cc1ccc(O)c2ncccc12",
    "1-hydroxyanthraquinone": "O=C1c2ccccc2C(=O)c2c(O)cccc12",
    "naphthazarin": "O=C1C=CC(=O)c2c(O)ccc(O)c12",
    "salicylideneaniline": "Oc1ccccc1/C=N/c1ccccc1",
    "2-(2-hydroxyphenyl)benzoxazole": "Oc1ccccc1-c1nc2ccccc2o1",
    "2-hydroxybenzophenone": "O=C(c1ccccc1)c1ccccc1O",
    "salicylhydroxamic acid": "ONC(=O)c1ccccc1O",
    "3-hydroxypicolinic acid": "OC(=O)c1ncccc1O",
    "3-hydroxyflavone": "O=c1c(O)c(-c2ccccc2)oc2ccccc12",
    "2-nitro-N-phenylaniline": "O=[N+]([O-])c1ccccc1Nc1ccccc1",
    "2-aminobenzophenone": "Nc1ccccc1C(=O)c1ccccc1",
    "methyl 3-hydroxythiophene-2-carboxylate": "COC(=O)c1sccc1O",
    "2-methylpropane-1,2-diol": "CC(C)(O)CO",
    "pinacol": "CC(C)(O)C(C)(C)O",
    "2-hydroxy-1-naphthaldehyde": "O=Cc1c(O)ccc2ccccc12",
    "1-amino-2-methylpropan-2-ol": "CC(C)(O)CN",
    "N-methyldiethanolamine": "CN(CCO)CCO",
    "homoserine methyl ester": "COC(=O)[C@@H](N)CCO",
    "allothreonine": "C[C@@H](O)[C@@H](N)C(=O)O",
    "serine": "N[C@@H](CO)C(=O)O",
    "2-hydroxybutyric acid": "CC[C@H](O)C(=O)O",
    "salicylaldehyde hydrazone": "N/N=C/c1ccccc1O",
}

IONS = {
    "butyrate": "CCCC(=O)[O-]",
    "pivalate": "CC(C)(C)C(=O)[O-]",
    "lactate": "C[C@H](O)C(=O)[O-]",
    "pyruvate": "CC(=O)C(=O)[O-]",
    "4-methoxybenzoate": "COc1ccc(C(=O)[O-])cc1",
    "phenylacetate": "O=C([O-])Cc1ccccc1",
    "sorbate": "C/C=C/C=C/C(=O)[O-]",
    "cyclohexanecarboxylate": "O=C([O-])C1CCCCC1",
    "difluoroacetate": "O=C([O-])C(F)F",
    "adipate, mono": "O=C([O-])CCCCC(=O)O",
    "acetylalaninate": "CC(=O)N[C@@H](C)C(=O)[O-]",
    "thiophene-2-carboxylate": "O=C([O-])c1cccs1",
    "indole-3-acetate": "O=C([O-])Cc1c[nH]c2ccccc12",
    "butylammonium": "CCCC[NH3+]",
    "diethylammonium": "CC[NH2+]CC",
    "triethylammonium": "CC[NH+](CC)CC",
    "cyclohexylammonium": "[NH3+]C1CCCCC1",
    "benzylammonium": "[NH3+]Cc1ccccc1",
    "2-phenylethylammonium": "[NH3+]CCc1ccccc1",
    "2-methylpiperidinium": "CC1CCCC[NH2+]1",
    "N-methylmorpholinium": "C[NH+]1CCOCC1",
    "N-methylpyrrolidinium": "C[NH+]1CCCC1",
    "dimethylanilinium": "C[NH+](C)c1ccccc1",
    "4-toluidinium": "Cc1ccc([NH3+])cc1",
    "alanine amide, protonated": "C[C@H]([NH3+])C(N)=O",
    "valine, protonated": "CC(C)[C@H]([NH3+])C(=O)O",
    "dopamine, protonated": "[NH3+]CCc1ccc(O)c(O)c1",
    "choline methyl ether": "COCC[N+](C)(C)C",
    "trimethylphenylammonium": "C[N+](C)(C)c1ccccc1",
    "(3-chloropropyl)trimethylammonium": "C[N+](C)(C)CCCl",
    "N-ethyl-N',N''-dimethylguanidinium": "CCNC(NC)=[NH+]C",
    "arginine side chain with an amide": "CC(=O)NCCCNC(N)=[NH2+]",
    "4-methoxybenzamidinium": "COc1ccc(C(N)=[NH2+])cc1",
    "N-methylpropanamidinium": "CCC(=[NH2+])NC",
    "2-ethylimidazolium": "CCc1[nH]cc[nH+]1",
    "histamine, ring protonated": "NCCc1c[nH]c[nH+]1",
    "1-butyl-3-methylimidazolium": "CCCCn1cc[n+](C)c1",
    "3-methoxypyridinium": "COc1ccc[nH+]c1",
    "nicotinamide, protonated": "NC(=O)c1ccc[nH+]c1",
    "4-dimethylaminopyridinium": "CN(C)c1cc[nH+]cc1",
    "isoquinolinium": "c1ccc2c[nH+]ccc2c1",
    "4-methoxyphenolate": "COc1ccc([O-])cc1",
    "4-nitrophenolate": "O=[N+]([O-])c1ccc([O-])cc1",
    "2-naphtholate": "[O-]c1ccc2ccccc2c1",
    "2,2,2-trifluoroethoxide": "[O-]CC(F)(F)F",
    "benzylthiolate": "[S-]Cc1ccccc1",
    "4-toluenesulfonate": "Cc1ccc(S(=O)(=O)[O-])cc1",
    "2-hydroxyethanesulfonate": "O=S(=O)([O-])CCO",
    "dodecyl sulfate head": "CCCCOS(=O)(=O)[O-]",
    "4-toluenesulfinate": "Cc1ccc(S(=O)[O-])cc1",
    "phenyl phosphate": "O=P([O-])(O)Oc1ccccc1",
    "diethyl phosphate": "CCOP(=O)([O-])OCC",
    "butyl phosphate, dianion": "CCCCOP(=O)([O-])[O-]",
    "benzylphosphonate": "O=P([O-])(O)Cc1ccccc1",
    "sulfadiazine's anion core": "O=S(=O)([N-]c1ncccn1)c1ccccc1",
    "5-phenyltetrazolate": "c1ccc(-c2nnn[n-]2)cc1",
    "tetraethylphosphonium": "CC[P+](CC)(CC)CC",
    "allylethylmethylsulfonium": "C=CC[S+](C)CC",
    "4-tolyltrifluoroborate": "Cc1ccc([B-](F)(F)F)cc1",
    "carnitine": "C[N+](C)(C)C[C@H](O)CC(=O)[O-]",
}

#: Drugs beyond those of ``drug_like``.
DRUGS = {
    "ibuprofen": "CC(C)Cc1ccc([C@H](C)C(=O)O)cc1",
    "naproxen": "COc1ccc2cc([C@H](C)C(=O)O)ccc2c1",
    "ketoprofen": "C[C@H](C(=O)O)c1cccc(C(=O)c2ccccc2)c1",
    "diclofenac": "O=C(O)Cc1ccccc1Nc1c(Cl)cccc1Cl",
    "mefenamic acid": "Cc1cccc(Nc2ccccc2C(=O)O)c1C",
    "indomethacin": "COc1ccc2c(c1)c(CC(=O)O)c(C)n2C(=O)c1ccc(Cl)cc1",
    "celecoxib": "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    "piroxicam": "CN1C(C(=O)Nc2ccccn2)=C(O)c2ccccc2S1(=O)=O",
    "diazepam": "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21",
    "lorazepam": "O=C1Nc2ccc(Cl)cc2C(c2ccccc2Cl)=N[C@H]1O",
    "warfarin": "CC(=O)C[C@H](c1ccccc1)c1c(O)c2ccccc2oc1=O",
    "lidocaine": "CCN(CC)CC(=O)Nc1c(C)cccc1C",
    "procaine": "CCN(CC)CCOC(=O)c1ccc(N)cc1",
    "atenolol": "CC(C)NC[C@H](O)COc1ccc(CC(N)=O)cc1",
    "propranolol": "CC(C)NC[C@H](O)COc1cccc2ccccc12",
    "metoprolol": "COCCc1ccc(OC[C@@H](O)CNC(C)C)cc1",
    "salbutamol": "CC(C)(C)NC[C@H](O)c1ccc(O)c(CO)c1",
    "fluoxetine": "CNCC[C@@H](Oc1ccc(C(F)(F)F)cc1)c1ccccc1",
    "sertraline": "CN[C@H]1CC[C@@H](c2ccc(Cl)c(Cl)c2)c2ccccc21",
    "citalopram": "CN(C)CCC[C@]1(c2ccc(F)cc2)OCc2cc(C#N)ccc21",
    "venlafaxine": "COc1ccc([C@@H](CN(C)C)C2(O)CCCCC2)cc1",
    "carbamazepine": "NC(=O)N1c2ccccc2C=Cc2ccccc21",
    "lamotrigine": "Nc1nnc(-c2cccc(Cl)c2Cl)c(N)n1",
    "gabapentin": "NCC1(CC(=O)O)CCCCC1",
    "haloperidol": "O=C(CCCN1CCC(O)(c2ccc(Cl)cc2)CC1)c1ccc(F)cc1",
    "chlorpromazine": "CN(C)CCCN1c2ccccc2Sc2ccc(Cl)cc21",
    "amitriptyline": "CN(C)CCC=C1c2ccccc2CCc2ccccc21",
    "olanzapine": "Cc1cc2c(s1)Nc1ccccc1N=C2N1CCN(C)CC1",
    "risperidone": "Cc1nc2n(c(=O)c1CCN1CCC(c3noc4cc(F)ccc34)CC1)CCCC2",
    "methylphenidate": "COC(=O)[C@H](c1ccccc1)[C@@H]1CCCCN1",
    "cocaine": "COC(=O)[C@H]1[C@@H](OC(=O)c2ccccc2)C[C@@H]2CC[C@H]1N2C",
    "morphine": "CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5",
    "tramadol": "COc1cccc([C@@]2(O)CCCC[C@@H]2CN(C)C)c1",
    "ketamine": "CN[C@]1(c2ccccc2Cl)CCCCC1=O",
    "fentanyl": "CCC(=O)N(c1ccccc1)C1CCN(CCc2ccccc2)CC1",
    "captopril": "C[C@H](CS)C(=O)N1CCC[C@H]1C(=O)O",
    "enalapril": "CCOC(=O)[C@H](CCc1ccccc1)N[C@@H](C)C(=O)N1CCC[C@H]1C(=O)O",
    "losartan": "CCCCc1nc(Cl)c(CO)n1Cc1ccc(-c2ccccc2-c2nnn[nH]2)cc1",
    "furosemide": "NS(=O)(=O)c1cc(C(=O)O)c(NCc2ccco2)cc1Cl",
    "hydrochlorothiazide": "NS(=O)(=O)c1cc2c(cc1Cl)NCNS2(=O)=O",
    "omeprazole": "COc1ccc2[nH]c([S@@](=O)Cc3ncc(C)c(OC)c3C)nc2c1",
    "ranitidine": "CNC(=C[N+](=O)[O-])NCCSCc1ccc(CN(C)C)o1",
    "cimetidine": "CN=C(NC#N)NCCSCc1nc[nH]c1C",
    "loratadine": "CCOC(=O)N1CCC(=C2c3ccc(Cl)cc3CCc3cccnc32)CC1",
    "diphenhydramine": "CN(C)CCOC(c1ccccc1)c1ccccc1",
    "chlorpheniramine": "CN(C)CC[C@@H](c1ccc(Cl)cc1)c1ccccn1",
    "sulfamethoxazole": "Cc1cc(NS(=O)(=O)c2ccc(N)cc2)no1",
    "trimethoprim": "COc1cc(Cc2cnc(N)nc2N)cc(OC)c1OC",
    "ciprofloxacin": "O=C(O)c1cn(C2CC2)c2cc(N3CCNCC3)c(F)cc2c1=O",
    "penicillin G": "CC1(C)S[C@@H]2[C@H](NC(=O)Cc3ccccc3)C(=O)N2[C@H]1C(=O)O",
    "cephalexin": "CC1=C(C(=O)O)N2C(=O)[C@@H](NC(=O)[C@H](N)c3ccccc3)[C@H]2SC1",
    "chloramphenicol": "O=C(N[C@H](CO)[C@H](O)c1ccc([N+](=O)[O-])cc1)C(Cl)Cl",
    "linezolid": "CC(=O)NC[C@H]1CN(c2ccc(N3CCOCC3)c(F)c2)C(=O)O1",
    "fluconazole": "OC(Cn1cncn1)(Cn1cncn1)c1ccc(F)cc1F",
    "aciclovir": "Nc1nc(=O)c2ncn(COCCO)c2[nH]1",
    "zidovudine": "Cc1cn([C@H]2C[C@H](N=[N+]=[N-])[C@@H](CO)O2)c(=O)[nH]c1=O",
    "lamivudine": "Nc1ccn([C@@H]2CS[C@H](CO)O2)c(=O)n1",
    "oseltamivir": "CCOC(=O)C1=C[C@@H](OC(CC)CC)[C@H](NC(C)=O)[C@@H](N)C1",
    "efavirenz": "O=C1Nc2ccc(Cl)cc2[C@@](C#CC2CC2)(C(F)(F)F)O1",
    "nevirapine": "Cc1ccnc2c1NC(=O)c1cccnc1N2C1CC1",
    "metformin": "CN(C)C(=N)NC(=N)N",
    "tolbutamide": "CCCCNC(=O)NS(=O)(=O)c1ccc(C)cc1",
    "pioglitazone": "CCc1ccc(CCOc2ccc(CC3SC(=O)NC3=O)cc2)nc1",
    "testosterone": "C[C@]12CC[C@H]3[C@@H](CCC4=CC(=O)CC[C@@]43C)[C@@H]1CC[C@@H]2O",
    "estradiol": "C[C@]12CC[C@@H]3c4ccc(O)cc4CC[C@H]3[C@@H]1CC[C@@H]2O",
    "hydrocortisone": (
        "C[C@]12CCC(=O)C=C1CC[C@@H]1[C@@H]2[C@@H](O)C[C@]2(C)[C@@](O)(C(=O)CO)CC[C@@H]12"
    ),
    "tamoxifen": "CC/C(=C(\\c1ccccc1)c1ccc(OCCN(C)C)cc1)c1ccccc1",
    "erlotinib": "C#Cc1cccc(Nc2ncnc3cc(OCCOC)c(OCCOC)cc23)c1",
    "thalidomide": "O=C1CCC(N2C(=O)c3ccccc3C2=O)C(=O)N1",
    "zolpidem": "Cc1ccc(-c2nc3ccc(C)cn3c2CC(=O)N(C)C)cc1",
    "melatonin": "COc1ccc2[nH]cc(CCNC(C)=O)c2c1",
    "donepezil": "COc1cc2c(cc1OC)C(=O)C(CC1CCN(Cc3ccccc3)CC1)C2",
    "galantamine": "COc1ccc2c3c1O[C@H]1C[C@@H](O)C=C[C@@]31CCN(C)C2",
    "sumatriptan": "CNS(=O)(=O)Cc1ccc2[nH]cc(CCN(C)C)c2c1",
    "ondansetron": "Cc1nccn1CC1CCc2c(c3ccccc3n2C)C1=O",
    "quinine": "C=C[C@H]1CN2CC[C@H]1C[C@H]2[C@H](O)c1ccnc2ccc(OC)cc12",
    "chloroquine": "CCN(CC)CCCC(C)Nc1ccnc2cc(Cl)ccc12",
    "meprobamate": "CCCC(C)(COC(N)=O)COC(N)=O",
    "biotin": "O=C(O)CCCC[C@@H]1SC[C@@H]2NC(=O)N[C@H]12",
}

NAMED = {
    "inner hydrogen bonds": INNER_HYDROGEN_BONDS,
    "ions": IONS,
    "drugs": {**drug_like.SMILES, **DRUGS},
}
FMAX, STEPS = 0.005, 1000  # eV/A


def plain(smiles: str) -> str:
    """Canonical SMILES without stereochemistry."""
    return Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False)


def every_one() -> set[str]:
    """Canonical SMILES, without stereochemistry, of all that is kept for measuring."""
    return {plain(smiles) for named in NAMED.values() for smiles in named.values()}


def geometries(group: str, largest: int = 80) -> list[Atoms]:
    """GFN2-xTB geometries of a group of ``NAMED`` whose molecules have ``largest`` atoms at most.

    ``info`` holds name, SMILES and, where it is not zero, charge. Of several conformers the one of
    the lowest force-field energy is taken: inner hydrogen bonds are closed in it.

    Raises:
        ValueError: RDKit finds no conformer, or GFN2-xTB does not converge.
    """
    found = []
    for name, smiles in NAMED[group].items():
        molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
        if molecule.GetNumAtoms() <= largest:
            found.append(_relaxed(name, smiles, molecule))
    return found


def _relaxed(name: str, smiles: str, molecule: Chem.Mol) -> Atoms:
    charge = Chem.GetFormalCharge(molecule)
    conformers = list(AllChem.EmbedMultipleConfs(molecule, 6, randomSeed=7))
    if not conformers:
        raise ValueError(f"RDKit finds no conformer of {name}")
    energies = [energy for _, energy in _force_field(molecule)]
    best = conformers[energies.index(min(energies))]
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    atoms = Atoms(numbers, molecule.GetConformer(best).GetPositions())
    atoms.info = {"name": name, "smiles": smiles}
    if charge:
        atoms.info["charge"] = charge
    atoms.calc = TBLite(method="GFN2-xTB", charge=charge, verbosity=0)
    if not LBFGS(atoms, logfile=None).run(fmax=FMAX, steps=STEPS):
        raise ValueError(f"GFN2-xTB does not converge for {name} in {STEPS} steps")
    atoms.calc = None
    return atoms


def _force_field(molecule: Chem.Mol) -> list[tuple[int, float]]:
    """Outcomes of MMFF94, or of UFF where that lacks parameters, for each conformer."""
    if AllChem.MMFFHasAllMoleculeParams(molecule):
        return AllChem.MMFFOptimizeMoleculeConfs(molecule, maxIters=2000)
    return AllChem.UFFOptimizeMoleculeConfs(molecule, maxIters=2000)
