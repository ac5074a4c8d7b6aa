"""Invariance of a relaxation: other structures, order, cuts, repetition, rotation, permutation."""

import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation
from small_database import database, rattled

from losiko_torch import SOAP, EnvironmentDatabase, relax

NAMES = ["CH3OH", "C6H6", "H2O", "C5H5N", "isobutane", "HCN", "CH3CONH2", "C4H4O"]
EXACT = {"dtype": "float64"}


def molecules():
    return [rattled(name, seed) for seed, name in enumerate(NAMES)]


@pytest.fixture(scope="module")
def results():
    return relax(molecules(), database(), **EXACT)


def farthest(one, other):
    return np.abs(one.positions - other.positions).max()


def test_alone_as_in_company(results):
    for atoms, wanted in zip(molecules(), results, strict=True):
        (alone,) = relax(atoms, database(), **EXACT)
        assert farthest(alone.atoms, wanted.atoms) <= 1e-6
        assert alone.n_steps == wanted.n_steps
        assert alone.reason == wanted.reason
        assert alone.loss == pytest.approx(wanted.loss, rel=1e-6)


def test_order_does_not_matter(results):
    order = np.random.default_rng(0).permutation(len(NAMES))
    structures = molecules()
    shuffled = relax([structures[k] for k in order], database(), **EXACT)
    for place, k in enumerate(order):
        assert farthest(shuffled[place].atoms, results[k].atoms) <= 1e-6


@pytest.mark.parametrize("batch_atoms", [1, 10, 25, 1000])
def test_cuts_do_not_matter(results, batch_atoms):
    cut = relax(molecules(), database(), batch_atoms=batch_atoms, **EXACT)
    for one, other in zip(cut, results, strict=True):
        assert farthest(one.atoms, other.atoms) <= 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_call_gives_the_same_bits(dtype):
    one, other = (relax(molecules(), database(), dtype=dtype) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.atoms.positions, second.atoms.positions)
        assert first.loss == second.loss
        assert first.n_steps == second.n_steps


def test_rotation_translation_permutation_come_through(results):
    """Results turn along within 1e-4 A: rounding grows along directions that are almost flat."""
    turn = Rotation.random(random_state=0).as_matrix() @ np.diag([1, 1, -1])
    generator = np.random.default_rng(0)
    for atoms, wanted in zip(molecules(), results, strict=True):
        order = generator.permutation(len(atoms))
        moved = Atoms(atoms.numbers[order], (atoms.positions @ turn.T + [5, -3, 2])[order])
        (found,) = relax(moved, database(), **EXACT)
        back = np.empty_like(atoms.positions)
        back[order] = (found.atoms.positions - [5, -3, 2]) @ turn
        assert np.abs(back - wanted.atoms.positions).max() <= 1e-4
        assert found.loss == pytest.approx(wanted.loss, rel=1e-4)


def test_float32_ends_where_float64_does(results):
    """Results in float32 agree with those in float64 within what ``fmax`` leaves open."""
    single = relax(molecules(), database())
    for one, other in zip(single, results, strict=True):
        assert one.converged == other.converged
        assert one.loss == pytest.approx(other.loss, rel=0.05, abs=1e-5)
        assert farthest(one.atoms, other.atoms) <= 0.05


def kabsch(one, other):
    """Root mean square deviation after the best superposition."""
    a, b = (atoms.positions - atoms.positions.mean(0) for atoms in (one, other))
    return Rotation.align_vectors(a, b)[1] / np.sqrt(len(a))


def test_molecules_of_qm9_come_back():
    """Molecules of QM9 come back with the paper's database: ids to 100, then every 500th."""
    folder = os.environ.get("LOSIKO_DATA")
    if not folder or not (Path(folder) / "qm9" / "qm9.npz").is_file():
        pytest.skip("LOSIKO_DATA does not name a folder with qm9/qm9.npz")
    with np.load(Path(folder) / "qm9" / "qm9.npz") as archive:
        numbers, positions, offsets, ids = (archive[key] for key in ("Z", "R", "offsets", "id"))

    def molecules_at(places):
        for start, stop in zip(offsets[places], offsets[places + 1], strict=True):
            yield Atoms(numbers[start:stop], positions[start:stop].astype(float))

    known = (ids <= 100) | (ids % 500 == 0)
    soap = SOAP(species=["H", "C", "N", "O", "F"], r_cut=3.0, n_max=8, l_max=6, sigma=0.3)
    made = EnvironmentDatabase.build(molecules_at(np.flatnonzero(known)), soap)
    assert len(made.structures) == 359
    wanted = list(molecules_at(np.flatnonzero(~known)[1234::16180]))
    assert len(wanted) == 8
    generator = np.random.default_rng(0)
    starts = [atoms.copy() for atoms in wanted]
    for atoms in starts:
        atoms.positions += generator.normal(0, 0.1, atoms.positions.shape)
    results = relax(starts, made)
    assert [result.reason for result in results] == ["converged"] * 8
    before = np.mean([kabsch(*pair) for pair in zip(starts, wanted, strict=True)])
    after = np.mean([kabsch(r.atoms, atoms) for r, atoms in zip(results, wanted, strict=True)])
    assert after <= 0.12
    assert after < before


def test_results_do_not_depend_on_where_arrays_lie_in_memory():
    # Equal bits: a compiler may sum in another order where arrays lie close to each other.
    names = ("CH3COOH", "CH3NO2", "HCN", "CH3CN")
    some = [rattled(name, k) for k, name in enumerate(names, 12)]
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(25):
        beside = [np.empty(int(rng.integers(1, 3000))) for _ in range(50)]
        results = relax(some, database(), max_steps=4, batch_atoms=10)
        seen.add(b"".join(result.atoms.positions.tobytes() for result in results))
        del beside
    assert len(seen) == 1
