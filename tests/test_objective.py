"""Loss and gradient of a batch: derivatives, symmetries, and independence of its structures."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from scipy.spatial.transform import Rotation
from small_database import NAMES, database, rattled, soap, water_database

from losiko_torch import SOAP, EnvironmentDatabase
from losiko_torch.loss.judge import judge, judgements
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.targets.locally_linear import LocallyLinear
from losiko_torch.loss.targets.nearest import Nearest
from losiko_torch.systems.batch import Batch

TARGETS = [Nearest(), LocallyLinear(16)]


def crystal(seed=0):
    """Diamond with some of its atoms replaced, strained and rattled."""
    atoms = bulk("C", "diamond", a=3.4) * (2, 1, 1)
    atoms.set_atomic_numbers([6, 7, 6, 8])
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.03 * np.triu(np.ones((3, 3)))), scale_atoms=True)
    atoms.positions += np.random.default_rng(seed).normal(0, 0.1, atoms.positions.shape)
    return atoms


def crystal_database(**changes):
    descriptor = SOAP(**{**soap().parameters_dict(), "periodic": True, **changes})
    return EnvironmentDatabase.build([crystal(seed) for seed in range(1, 9)], descriptor)


def evaluated(objective, structures, matching=None):
    batch = Batch.from_atoms(structures)
    if matching is None:
        matching = objective.search_at(batch).matching
    return batch, matching, objective.evaluate(batch, matching)


CASES = [
    (rattled("CH3CH2OH"), database),
    (rattled("C4H4NH"), database),
    (rattled("CH3NO2"), lambda: database(smooth_width=0.5)),
    (crystal(), crystal_database),
    (crystal(), lambda: crystal_database(smooth_width=1.0)),
]


@pytest.mark.parametrize("target", TARGETS, ids=["nearest", "locally-linear"])
@pytest.mark.parametrize(("atoms", "references"), CASES)
def test_gradient_is_the_derivative_for_fixed_references(atoms, references, target):
    objective = Objective(references(), target)
    batch, matching, found = evaluated(objective, atoms)
    generator = torch.Generator().manual_seed(0)
    step = 1e-4
    for _ in range(6):
        way = torch.randn(batch.positions.shape, generator=generator, dtype=torch.float64)

        def loss(length, way=way):
            moved = batch.with_positions(batch.positions + length * way)
            return float(objective.evaluate(moved, matching).loss.sum())

        # Five points: the error of the difference is of fourth order.
        slope = 8 * (loss(step) - loss(-step)) - (loss(2 * step) - loss(-2 * step))
        wanted = float((found.gradient * way).sum())
        assert abs(slope / (12 * step) - wanted) <= 1e-6 * float(found.gradient.norm() * way.norm())


@pytest.mark.parametrize("target", TARGETS, ids=["nearest", "locally-linear"])
@pytest.mark.parametrize(("atoms", "references"), CASES)
def test_no_net_force_and_no_torque(atoms, references, target):
    batch, _, found = evaluated(Objective(references(), target), atoms)
    size = found.gradient.abs().max()
    assert found.gradient.sum(0).abs().max() <= 1e-11 * size * len(atoms)
    if not atoms.pbc.any():
        torque = torch.linalg.cross(batch.positions, found.gradient).sum(0)
        assert torque.abs().max() <= 1e-10 * size * len(atoms)


@pytest.mark.parametrize("target", TARGETS, ids=["nearest", "locally-linear"])
def test_rotation_translation_permutation(target):
    """The loss stays, the gradient turns and is reordered along."""
    objective = Objective(database(), target)
    atoms = rattled("CH3CONH2")
    turn = Rotation.random(random_state=1).as_matrix() @ np.diag([1, 1, -1])
    order = np.random.default_rng(0).permutation(len(atoms))
    moved = Atoms(atoms.numbers[order], (atoms.positions @ turn.T + [3, -2, 7])[order])
    _, _, one = evaluated(objective, atoms)
    _, _, other = evaluated(objective, moved)
    torch.testing.assert_close(one.loss, other.loss, rtol=1e-9, atol=0)
    turned = (one.gradient @ torch.as_tensor(turn).T)[order]
    torch.testing.assert_close(other.gradient, turned, rtol=0, atol=1e-9)


@pytest.mark.parametrize("target", TARGETS, ids=["nearest", "locally-linear"])
def test_a_batch_is_its_structures(target):
    """A batch equals its structures one by one, also for elements with few references."""
    objective = Objective(database(), target)
    structures = [rattled(name, seed) for seed, name in enumerate(NAMES[:25])]
    _, _, together = evaluated(objective, structures)
    parts = together.gradient.split([len(atoms) for atoms in structures])
    for place, atoms in enumerate(structures):
        _, _, alone = evaluated(objective, atoms)
        torch.testing.assert_close(alone.loss, together.loss[place : place + 1], rtol=1e-9, atol=0)
        torch.testing.assert_close(alone.gradient, parts[place], rtol=0, atol=1e-10)


def test_restriction_to_the_elements_at_hand_changes_nothing():
    objective = Objective(database(), LocallyLinear(16))
    batch, matching, whole = evaluated(objective, [rattled("C6H6"), rattled("C3H8")])
    _, other, part = evaluated(
        objective.restricted(batch.numbers), [rattled("C6H6"), rattled("C3H8")]
    )
    assert torch.equal(matching.indices, other.indices)
    torch.testing.assert_close(whole.loss, part.loss, rtol=1e-9, atol=0)
    torch.testing.assert_close(whole.gradient, part.gradient, rtol=0, atol=1e-10)


def test_fewer_references_than_neighbors():
    """Water has two H and one O as references: the places of missing ones have weight zero."""
    objective = Objective(water_database(), LocallyLinear(5))
    found = objective.search_at(Batch.from_atoms([rattled("H2O"), rattled("H2O", 1)]))
    indices = found.matching.indices
    assert (indices >= 0).sum(1).tolist() == [1, 2, 2] * 2
    assert (found.weights[indices < 0] == 0).all()
    torch.testing.assert_close(found.weights.sum(1), torch.ones(6, dtype=torch.float64))


def test_projection_and_rest_make_the_whole_distance():
    """Distances are |p - z|^2 = |components - y|^2 + rest, also if the basis loses some of z."""
    made = EnvironmentDatabase.build([rattled(name) for name in NAMES], soap(), components=20)
    references = made.references_of(1)
    batch = Batch.from_atoms(rattled("C3H8", 3))
    p = Objective(made, Nearest()).features(batch)[batch.numbers == 1]
    # In float64 the float32 basis is orthonormal to 1e-7 only.
    components, rest = references.project(p)
    distances, indices = references.nearest(components, rest, 3)
    z = (references.vectors.double() @ references.basis.double().T)[indices]
    wanted = (p[:, None] - z).square().sum(2)
    torch.testing.assert_close(distances, wanted, rtol=1e-5, atol=1e-6)


def test_scoring_finds_what_evaluating_finds():
    objective = Objective(database(), LocallyLinear(8))
    batch, matching, found = evaluated(objective, [rattled("C2H6"), molecule("H2O")])
    judged = judge(objective, batch)
    assert torch.equal(matching.indices, judged.matching.indices)
    torch.testing.assert_close(judged.distances, found.distances)
    torch.testing.assert_close(judged.losses, found.loss)
    torch.testing.assert_close(judged.weights, objective.search_at(batch).weights)
    assert (judged.apart.diff(dim=1) >= 0).all()
    matches = [each.matches for each in judgements(objective, judged)]
    structure = np.concatenate([each.structure for each in matches])
    atom = np.concatenate([each.atom for each in matches])
    for row, number in enumerate(batch.numbers.tolist()):
        references = objective.database.references_of(number)
        assert references.structure[matching.indices[row]].tolist() == structure[row].tolist()
        assert references.atom[matching.indices[row]].tolist() == atom[row].tolist()


@pytest.mark.parametrize("moved", [[], [0], [3, 20], "all", "cell"], ids=str)
def test_a_renewed_judgement_is_that_made_anew(moved):
    """Judging anew only the atoms that can have changed gives the same as judging all."""
    objective = Objective(crystal_database(smooth_width=1.0), LocallyLinear(8))
    start = Batch.from_atoms([crystal() * (2, 2, 2), rattled("CO2"), crystal(3)])
    before = judge(objective, start)
    here = start.copy()
    generator = torch.Generator().manual_seed(0)
    if moved == "cell":
        here.cells[0] *= 1.02
    else:
        rows = range(start.n_atoms) if moved == "all" else moved
        for row in rows:
            here.positions[row] += 0.3 * torch.randn(3, generator=generator).double()
    renewed, anew = judge(objective, here, before), judge(objective, here)
    torch.testing.assert_close(renewed.distances, anew.distances)
    torch.testing.assert_close(renewed.apart, anew.apart)
    assert torch.equal(renewed.matching.indices, anew.matching.indices)
    assert ((renewed.distances != before.distances).sum() > 0) == (moved != [])
