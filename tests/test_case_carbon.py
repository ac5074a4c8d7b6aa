"""The carbon case by itself: cells, densities, recognition, a target of density."""

import os

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry import get_distances
from ase.lattice.hexagonal import Graphite

for needed in ("chgnet", "pymatgen", "tblite", "rdkit"):
    pytest.importorskip(needed)

from cases import carbon, polymorphs  # noqa: E402

from losiko_torch import Batch, Density, EnvironmentDatabase, score  # noqa: E402

with_data = pytest.mark.skipif("LOSIKO_DATA" not in os.environ, reason="LOSIKO_DATA is not set")


def diamond() -> Atoms:
    return bulk("C", "diamond", a=3.567)


def test_density_of_diamond():
    assert carbon.density(diamond()) == pytest.approx(3.515, abs=0.002)


def test_random_cells_are_apart_and_dense():
    for atoms in carbon.random_cells(8):
        assert len(atoms) in carbon.COUNTS
        assert carbon.DENSITIES[0] <= carbon.density(atoms) <= carbon.DENSITIES[1]
        repeated = atoms * (3, 3, 3)
        centre = atoms.positions + atoms.cell.array.sum(axis=0)
        apart = get_distances(centre, repeated.positions)[1]
        assert np.sort(apart, axis=1)[:, 1].min() >= carbon.APART - 1e-9


def test_random_cells_do_not_depend_on_how_many():
    few, more = carbon.random_cells(2), carbon.random_cells(5)
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(few, more, strict=False))


def test_the_term_has_the_density_that_the_case_measures():
    atoms = carbon.random_cells(1)[0]
    term = Density(3.0, carbon.STIFFNESS)
    expected = carbon.STIFFNESS * (carbon.density(atoms) - 3.0) ** 2
    assert float(term(Batch.from_atoms(atoms))[0]) == pytest.approx(expected, rel=1e-12)


@with_data
def test_target_density_is_reached():
    """A stiff penalty reaches its density where the loss hardly opposes it."""
    database = EnvironmentDatabase.build(diamond(), polymorphs.descriptor())
    starts = [diamond() * (2, 2, 1), diamond()]
    moved = carbon.with_density(starts, database, target=3.4, steps=60)
    for result in moved:
        assert carbon.density(result.atoms) == pytest.approx(3.4, abs=0.05)


@with_data
def test_known_carbon_is_recognised():
    rng = np.random.default_rng(0)
    graphite = Graphite("C", latticeconstant={"a": 2.46, "c": 6.4})
    lonsdaleite = polymorphs.named(polymorphs.known_carbon(), "lonsdaleite")
    for atoms, kind in (
        (graphite * (2, 1, 1), polymorphs.LAYERS),
        (diamond() * (2, 2, 1), "diamond"),
        (lonsdaleite, "lonsdaleite"),
    ):
        shaken = atoms.copy()
        shaken.positions += rng.normal(0, 0.01, atoms.positions.shape)
        assert polymorphs.kind(shaken) == kind
    assert all(polymorphs.kind(atoms) == "" for atoms in carbon.random_cells(3))


@with_data
def test_favoured_with_no_weight_for_others_is_a_database_of_that_one():
    known = polymorphs.known_carbon()
    soap = polymorphs.descriptor()
    both = [polymorphs.named(known, name) for name in ("graphite", "diamond")]
    everything = EnvironmentDatabase.build(both, soap)
    alone = EnvironmentDatabase.build(both[:1], soap)
    atoms = carbon.random_cells(1)[0]
    favoured = everything.weighted(carbon.favour("graphite", 0.0))
    losses = [score(atoms, database, targets="nearest")[0].loss for database in (favoured, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_shares_count_what_is_recognised():
    findings = [
        carbon.Finding(3.5, 0, 1, 0, -9, kind) for kind in ("diamond", "diamond", "lonsdaleite", "")
    ]
    assert carbon.shares(findings) == {"diamond": 0.5, "lonsdaleite": 0.25}
