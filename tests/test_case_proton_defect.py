"""The proton in LiCoO2: its starting structures and what is measured on them."""

import numpy as np
import pytest

for package in ("chgnet", "tblite", "rdkit"):
    pytest.importorskip(package)

from cases import proton_defect as case  # noqa: E402
from cases import prototypes  # noqa: E402


@pytest.fixture(scope="module")
def references():
    return prototypes.crystals("Li-Co-O-H")


@pytest.fixture(scope="module")
def defect(references):
    return case.put_h(case.host_cell(references) * (2, 2, 1))


def test_h_takes_one_lithium_amid_six_oxygen(references, defect):
    host = case.host_cell(references)
    assert host.get_chemical_formula() == "Co3Li3O6"
    assert (defect.atoms.symbols == "H").sum() == 1
    assert (defect.atoms.symbols == "Li").sum() == 11
    distances = case.oxygen_distances(defect.atoms, defect.h)
    assert np.ptp(distances[:6]) < 1e-6 < 1 < distances[6] - distances[5]


def test_the_starts_of_full_relaxation_have_a_bond_to_one_oxygen(defect):
    starts = case.positions_at_oxygen(defect, bond=0.98)
    for atoms in starts.values():
        distances = case.oxygen_distances(atoms, defect.h)
        assert distances[0] == pytest.approx(0.98)
        assert distances[1] > 1.5


def test_noise_moves_h_alone_and_follows_from_the_seed(defect):
    one, again, other = defect.off_site(0), defect.off_site(0), defect.off_site(1)
    assert np.array_equal(one.positions, again.positions)
    moved = np.flatnonzero((one.positions != other.positions).any(axis=1))
    assert moved.tolist() == [defect.h]


def test_a_neighbourhood_is_whole_across_the_cell(defect):
    shifted = defect.atoms.copy()
    shifted.positions += 0.1
    shifted.wrap()
    cluster, near = case.neighbourhood(shifted, defect, 2.5)
    assert cluster.symbols.count("O") == 6
    assert defect.h in near
    h = int(np.flatnonzero(cluster.symbols == "H")[0])
    assert np.allclose(cluster.positions[h], 0.1)


def test_h_binds_and_only_its_oxygen_moves_along(references, defect):
    database = case.build(references, case.CHOSEN)
    (result,) = case.bound(defect, [defect.off_site(0)], database)
    distances = case.oxygen_distances(result.atoms, defect.h)
    assert 0.9 < distances[0] < 1.2 < 1.5 < distances[1]
    moved = np.linalg.norm(result.atoms.positions - defect.atoms.positions, axis=1) > 1e-3
    assert set(result.atoms.symbols[moved]) <= {"H", "O"}
    assert moved.sum() <= 2
