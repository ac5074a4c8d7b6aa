"""Laws of pymatgen's structures as input: the same as their ``ase.Atoms``, each one structure."""

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms, FixScaled
from small_database import database, rattled, soap

from losiko_torch import SOAP, EnvironmentDatabase, InputError, relax, score
from losiko_torch.report.environment_map import environment_map
from losiko_torch.systems.pymatgen import as_atoms

core = pytest.importorskip("pymatgen.core", reason="pymatgen is not installed")
from pymatgen.io.ase import AseAtomsAdaptor  # noqa: E402

DISORDERED = core.Structure(
    core.Lattice.cubic(5.43),
    [{"Si": 0.5, "Ge": 0.5}, "Si"],
    [[0, 0, 0], [0.25, 0.25, 0.25]],
    properties={"material_id": "mp-1"},
)
NO_ORDER = "it is disordered: give an ordered approximation of it"


@pytest.fixture(scope="module")
def silicon():
    descriptor = SOAP(
        species=["Si"], r_cut=3.2, n_max=4, l_max=3, sigma=0.4, smooth_width=0.5, periodic=True
    )
    return EnvironmentDatabase.build(bulk("Si"), descriptor)


def distorted_silicon(**properties) -> "core.Structure":
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=1)
    structure = AseAtomsAdaptor.get_structure(atoms)
    for name, values in properties.items():
        structure.add_site_property(name, values)
    return structure


def as_molecule(name) -> "core.Molecule":
    return AseAtomsAdaptor.get_molecule(rattled(name))


def test_relaxing_equals_relaxing_the_atoms(silicon):
    structure = distorted_silicon()
    (found,) = relax(structure, silicon, cell=True, dtype="float64")
    (expected,) = relax(AseAtomsAdaptor.get_atoms(structure), silicon, cell=True, dtype="float64")
    assert type(found.atoms) is Atoms
    assert found.reason == expected.reason == "converged"
    assert np.array_equal(found.atoms.positions, expected.atoms.positions)
    assert np.array_equal(found.atoms.cell, expected.atoms.cell)
    assert found.atoms.pbc.all()


def test_kinds_mix():
    names = ["CH3OH", "H2O", "C2H6"]
    mixed = [as_molecule("CH3OH"), rattled("H2O"), as_molecule("C2H6")]
    found = score(mixed, database(), dtype="float64")
    expected = score(map(rattled, names), database(), dtype="float64")
    assert [s.loss for s in found] == pytest.approx([s.loss for s in expected], rel=1e-10)
    assert not found[0].atoms.pbc.any()


@pytest.mark.parametrize("kind", ["Structure", "IStructure", "Molecule", "IMolecule"])
def test_one_structure_is_one(silicon, kind):
    if "Structure" in kind:
        one, known = getattr(core, kind).from_sites(distorted_silicon().sites), silicon
    else:
        one, known = getattr(core, kind).from_sites(as_molecule("CH3OH").sites), database()
    (scored,) = score(one, known)
    assert scored.problem is None
    assert len(scored.distances) == len(one) > 1
    assert len(relax(one, known, max_steps=1)) == 1
    assert len(EnvironmentDatabase.build(one, known.descriptor).structures) == 1
    assert len(environment_map(one, known).structures) == 1


def test_databases_are_the_same():
    names = ["CH4", "H2O", "CH3OH"]
    molecules = [AseAtomsAdaptor.get_molecule(molecule(name)) for name in names]
    for one, name in zip(molecules, names, strict=True):
        one.properties["name"] = name
    found = EnvironmentDatabase.build(iter(molecules), soap())
    expected = EnvironmentDatabase.build(map(molecule, names), soap())
    for number, part in expected.environments.items():
        assert part.vectors.equal(found.environments[number].vectors)
    assert [record["name"] for record in found.structures] == names


def test_filters_see_properties(silicon):
    structures = [distorted_silicon(), distorted_silicon()]
    structures[0].properties["e_above_hull"] = 0.3
    structures[1].properties["e_above_hull"] = 0.0
    built = EnvironmentDatabase.build(structures, silicon.descriptor, where="e_above_hull<0.2")
    assert len(built.structures) == 1


def test_a_disordered_structure_fails_alone(silicon):
    batch = [DISORDERED, distorted_silicon()]
    bad, good = relax(batch, silicon)
    assert bad.reason == f"failed: {NO_ORDER}"
    assert good.reason == "converged"
    # The failed result still has its sites and its source.
    assert bad.atoms.positions == pytest.approx(DISORDERED.cart_coords)
    assert bad.atoms.get_chemical_symbols() == ["X", "X"]
    assert bad.atoms.info == {"material_id": "mp-1"}
    assert len(bad.distances) == 2
    bad, good = score(batch, silicon)
    assert bad.problem == NO_ORDER
    assert good.problem is None
    assert environment_map(batch, silicon).failures == {0: NO_ORDER}
    built = EnvironmentDatabase.build(batch, silicon.descriptor)
    assert built.skipped == [f"structure 0: {NO_ORDER}"]
    assert len(built.structures) == 1
    with pytest.raises(InputError, match=f"no structure for the database: .*{NO_ORDER}"):
        EnvironmentDatabase.build(DISORDERED, silicon.descriptor)


def test_selective_dynamics_is_honoured(silicon):
    free = [[True, True, True]] * 6
    structure = distorted_silicon(
        selective_dynamics=[[False, False, False], [True, False, True], *free]
    )
    kinds = {type(constraint) for constraint in as_atoms(structure).constraints}
    assert kinds == {FixAtoms, FixScaled}
    (result,) = relax(structure, silicon)
    moved = result.atoms.positions != structure.cart_coords
    assert moved.tolist() == [[False, False, False], [True, False, True], *free]


@pytest.mark.parametrize(
    "properties",
    [
        {"magmom": [1.0] * 7 + [None]},
        {"forces": [[0.0, 0.0, 0.0]] * 8},
        {"coordination": [{"Si": 4}] * 8, "wyckoff": ["a"] * 8, "velocities": [None] * 8},
        {"final_magmom": [0.0] * 8, "charge": [0.0] * 8, "tags": [1] * 8},
    ],
)
def test_site_properties_break_nothing(silicon, properties):
    structure = distorted_silicon(**properties)
    structure.properties["history"] = {"steps": [1, 2], "by": None}
    (result,) = relax(structure, silicon)
    assert result.reason == "converged"
    assert result.atoms.info["history"] == {"steps": [1, 2], "by": None}
    assert score(structure, silicon)[0].problem is None
    assert EnvironmentDatabase.build(structure, silicon.descriptor).skipped == []


def test_oxidation_states_break_nothing(silicon):
    structure = distorted_silicon()
    structure.add_oxidation_state_by_site([4] * 7 + [0])
    assert relax(structure, silicon)[0].reason == "converged"


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"x": [[1, 2]] * 7 + [[1]]}, r"pymatgen cannot convert it to ase.Atoms \(.*\)"),
        ({"numbers": list(range(8))}, "it has a site property named 'numbers': .*"),
    ],
)
def test_what_the_adaptor_cannot_carry_fails_alone(silicon, properties, problem):
    bad, good = relax([distorted_silicon(**properties), distorted_silicon()], silicon)
    assert re.fullmatch(f"failed: {problem}", bad.reason)
    assert good.reason == "converged"


def test_what_is_no_structure_is_said(silicon):
    with pytest.raises(InputError, match="structure 1 is of type PeriodicSite: give"):
        score([distorted_silicon(), distorted_silicon()[0]], silicon)
    with pytest.raises(InputError, match="structures are of type Lattice: give"):
        EnvironmentDatabase.build(core.Lattice.cubic(3.0), silicon.descriptor)


def test_inputs_are_not_changed(silicon):
    structure = distorted_silicon()
    before = structure.copy()
    relax(structure, silicon)
    assert structure == before
