"""Terms wherever a loss is: optimizers, batches, cells, stages, calculators, programs."""

import json
from functools import cache

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.constraints import FixAtoms

from losiko_torch import (
    SOAP,
    Density,
    EnvironmentDatabase,
    LosikoCalculator,
    Property,
    Repulsion,
    Stage,
    Tether,
    relax,
    relax_iter,
    score,
)
from losiko_torch.cli import main
from losiko_torch.loss.terms.density import densities
from losiko_torch.optimizers.registry import OPTIMIZERS
from losiko_torch.systems.batch import Batch, sum_by_system

MOLECULES = ["H2O", "CH3OH", "H2O2", "CH4", "C2H6"]
#: Angstrom, longer than in the structures, so that the term is at work.
CLOSEST = {("H", "O"): 1.0, ("H", "C"): 1.2, ("Si", "Si"): 2.45, ("C", "Si"): 2.0}
FLOAT64 = {"dtype": "float64", "targets": "nearest"}


def mean_height():
    """Module that another process can be sent: mean square of the third coordinate, A^2."""

    class MeanHeight(torch.nn.Module):
        def forward(self, batch):
            squares = batch.positions[:, 2].square()
            return sum_by_system(squares, batch.system_idx, batch.n_systems) / batch.counts

    return MeanHeight()


@cache
def organic():
    soap = SOAP(species=["H", "C", "O"], r_cut=3.0, n_max=4, l_max=3, sigma=0.3, smooth_width=0.5)
    return EnvironmentDatabase.build(map(molecule, MOLECULES), soap)


def crystals():
    return [bulk("Si", "diamond", a=5.43), bulk("SiC", "zincblende", a=4.36)]


@cache
def crystalline():
    sizes = {"r_cut": 3.2, "n_max": 4, "l_max": 3, "sigma": 0.4, "smooth_width": 0.5}
    return EnvironmentDatabase.build(crystals(), SOAP(species=["C", "Si"], periodic=True, **sizes))


def guesses(names=("CH3OH", "H2O", "H2O2")):
    found = []
    for seed, name in enumerate(names):
        found.append(molecule(name))
        found[-1].rattle(0.1, seed=seed)
    return found


def strained():
    found = []
    for seed, atoms in enumerate(crystals()):
        rng = np.random.default_rng(seed)
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0, 0.03, (3, 3))), scale_atoms=True)
        atoms.rattle(0.05, seed=seed)
        found.append(atoms)
    return found


def one_or_list(anchors):
    """Anchors of one structure as an array, which needs no number of the structure."""
    return anchors[0] if len(anchors) == 1 else anchors


def moderate(structures):
    """Terms that compete with the distances, none of them of the start alone."""
    anchors = one_or_list([atoms.positions + 0.05 for atoms in structures])
    return [
        Repulsion(1.0, CLOSEST),
        Tether(0.05, anchors),
        Property(mean_height(), 0.3, 0.05, name="height"),
    ]


def spring(result, start, stiffness):
    """Value of a tether to the start, by hand."""
    return stiffness / 2 * np.square(result.atoms.positions - start.positions).sum()


def assert_close(results, expected, atol=1e-6):
    for one, other in zip(results, expected, strict=True):
        assert one.reason == other.reason
        assert one.number == other.number
        np.testing.assert_allclose(one.atoms.positions, other.atoms.positions, atol=atol)
        np.testing.assert_allclose(one.atoms.cell.array, other.atoms.cell.array, atol=atol)
        assert one.loss == pytest.approx(other.loss, rel=1e-6, abs=1e-9)
        assert one.terms == pytest.approx(other.terms, rel=1e-4, abs=1e-7)


def assert_equal(results, expected):
    for one, other in zip(results, expected, strict=True):
        assert (one.reason, one.loss, one.terms) == (other.reason, other.loss, other.terms)
        np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)
        np.testing.assert_array_equal(one.distances, other.distances)


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_every_optimizer_lowers_the_whole_loss(optimizer):
    starts = guesses(["H2O"] if optimizer == "nelder-mead" else ["H2O", "CH3OH"])
    terms = moderate(starts)
    options = {"optimizer": optimizer, "max_steps": 120 if optimizer == "nelder-mead" else 60}
    with_terms = relax(starts, organic(), terms=terms, **options, **FLOAT64)
    without = relax(starts, organic(), **options, **FLOAT64)
    unmoved = score(starts, organic(), terms=terms, **FLOAT64)
    elsewhere = score([each.atoms for each in without], organic(), terms=terms, **FLOAT64)
    for found, start, other in zip(with_terms, unmoved, elsewhere, strict=True):
        assert set(found.terms) == {"repulsion", "tether", "height"}
        assert found.start_loss == pytest.approx(start.loss, rel=1e-12)
        assert found.loss < 0.8 * start.loss
        # The minimum without the terms is none with them.
        assert found.loss < other.loss - 1e-5
    again = score([each.atoms for each in with_terms], organic(), terms=terms, **FLOAT64)
    for found, there in zip(with_terms, again, strict=True):
        assert found.terms == pytest.approx(there.terms, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name != "nelder-mead"])
@pytest.mark.parametrize(
    "term",
    [
        Tether(1e3),
        Repulsion(1e3, CLOSEST),
        Property(mean_height(), weight=-5.0),
        Property(mean_height(), 0.3, 1e4),
    ],
    ids=lambda term: f"{term.name} {getattr(term, 'weight', '')}",
)
def test_never_worse_than_the_start(optimizer, term):
    for most in (1, 2, 15):
        options = {"terms": [term], "optimizer": optimizer, "max_steps": most, "dtype": "float64"}
        for found in relax(guesses(), organic(), **options):
            assert found.failed or found.loss <= found.start_loss


@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
def test_batches_make_no_difference(targets):
    starts = guesses()
    options = {"targets": targets, "dtype": "float64", "max_steps": 15}
    terms = moderate(starts)
    together = relax(starts, organic(), terms=terms, **options)
    assert_equal(relax(starts, organic(), terms=terms, **options), together)
    assert_equal(relax_iter(starts, organic(), terms=terms, **options), together)
    assert_close(relax(starts, organic(), terms=terms, batch_atoms=7, **options), together)
    for number, start in enumerate(starts):
        one = relax(start, organic(), terms=moderate(starts)[::2], **options)
        other = relax(starts, organic(), terms=moderate(starts)[::2], **options)
        assert_close(one, [other[number].__class__(**{**vars(other[number]), "number": 0})])


def test_anchors_of_a_list_stay_with_their_structures_in_flight():
    starts = guesses(["CH3OH", "H2O", "H2O2", "H2O", "CH3OH"])
    anchors = [atoms.positions + 0.1 * (k + 1) for k, atoms in enumerate(starts)]
    found = relax(
        starts, organic(), terms=[Tether(100.0, anchors)], batch_atoms=7, max_steps=40, **FLOAT64
    )
    for result, anchor in zip(found, anchors, strict=True):
        np.testing.assert_allclose(result.atoms.positions, anchor, atol=0.02)


@pytest.mark.parametrize("change", [0.95, 1.05])
@pytest.mark.parametrize("options", [{}, {"hydrostatic_strain": True}, {"batch_atoms": 2}])
def test_a_stiff_density_reaches_its_target(change, options):
    start = strained()[1]
    target = change * float(densities(Batch.from_atoms(start)))
    term = Density(target, 1e3)
    options = {"cell": True, "max_steps": 150, **FLOAT64, **options}
    for found in relax([start, start.copy()], crystalline(), terms=[term], **options):
        assert float(densities(Batch.from_atoms(found.atoms))) == pytest.approx(target, rel=0.01)
        assert found.loss < found.start_loss
        assert found.loss == pytest.approx(found.distances.sum() + found.terms["density"])


def test_all_terms_with_moving_cells():
    starts = strained()
    terms = [Density(2.5, 0.1), Tether(0.05), Repulsion(1.0, CLOSEST)]
    options = {"cell": True, "terms": terms, "max_steps": 15, **FLOAT64}
    together = relax(starts, crystalline(), **options)
    for number, start in enumerate(starts):
        assert together[number].loss < together[number].start_loss
        assert not np.allclose(together[number].atoms.cell.array, start.cell.array, atol=1e-4)
        (alone,) = relax(start, crystalline(), **options)
        assert_close([alone], [alone.__class__(**{**vars(together[number]), "number": 0})], 1e-5)
    # Anchors keep their fractional coordinates.
    for found, start in zip(together, starts, strict=True):
        anchors = start.cell.scaled_positions(start.positions) @ found.atoms.cell.array
        expected = 0.05 / 2 * np.square(found.atoms.positions - anchors).sum()
        assert found.terms["tether"] == pytest.approx(expected, rel=1e-4, abs=1e-10)


def test_fixed_atoms_feel_no_term():
    (start,) = guesses(["CH3OH"])
    term = Tether(100.0, start.positions + 0.2)
    start.set_constraint(FixAtoms([0, 3]))
    movable = np.array([True, True, False, True, True, True])
    (found,) = relax(start, organic(), terms=[term], movable=movable, max_steps=30, **FLOAT64)
    moved = np.linalg.norm(found.atoms.positions - start.positions, axis=1)
    assert moved[[0, 2, 3]].max() == 0.0
    np.testing.assert_allclose(moved[[1, 4, 5]], np.sqrt(3) * 0.2, atol=0.05)


def test_noise_is_tethered_to_the_given_structure():
    starts, term = guesses(["H2O", "CH3OH"]), Tether(5.0)
    options = {"noise": (0.04, 0.3), "max_steps": 20, **FLOAT64}
    tethered = relax(starts, organic(), terms=[term], **options)
    assert_equal(relax(starts, organic(), terms=[term], **options), tethered)
    free = relax(starts, organic(), **options)
    for found, other, start in zip(tethered, free, starts, strict=True):
        assert found.terms["tether"] == pytest.approx(spring(found, start, 5.0), rel=1e-6)
        assert spring(found, start, 1.0) < spring(other, start, 1.0)
        assert found.loss <= found.start_loss


@pytest.mark.parametrize("optimizer", ["lbfgs", "fire"])
def test_copies_are_tethered_to_the_given_structure(optimizer):
    starts, stiffness = guesses(["H2O", "CH3OH"]), 20.0
    found = relax(
        starts,
        organic(),
        terms=[Tether(stiffness)],
        n_starts=3,
        start_noise=0.1,
        optimizer=optimizer,
        max_steps=60,
        **FLOAT64,
    )
    for result, start in zip(found, starts, strict=True):
        assert len(result.starts) == 3
        for copy in result.starts:
            by_hand = spring(copy, start, stiffness)
            assert copy.terms["tether"] == pytest.approx(by_hand, rel=1e-6, abs=1e-12)
            # Noise of 0.1 A is pulled back.
            assert np.abs(copy.atoms.positions - start.positions).max() < 0.04
        assert result.loss == min(copy.loss for copy in result.starts)


def test_stages_share_the_terms_and_the_anchors():
    starts, stiffness = guesses(["H2O", "CH3OH"]), 2.0
    schedule = [Stage("nearest", max_steps=8), Stage(n_neighbors=3, max_steps=4)]
    options = {"terms": [Tether(stiffness)], "dtype": "float64"}
    found = relax(starts, organic(), schedule=schedule, max_steps=5, **options)
    for result, start in zip(found, starts, strict=True):
        assert result.n_steps > 5
        assert result.terms["tether"] == pytest.approx(spring(result, start, stiffness), rel=1e-6)
        assert result.loss < result.start_loss
        assert result.start_loss == pytest.approx(
            score(start, organic(), **options)[0].loss, rel=1e-12
        )


def test_workers_are_sent_the_terms():
    pytest.importorskip("ray")
    starts = guesses()
    terms = [
        Tether(0.1, [atoms.positions for atoms in starts]),
        Property(mean_height(), 0.3, 0.05, name="height"),
        Repulsion(),
    ]
    options = {"terms": terms, "max_steps": 3, "batch_atoms": 7}
    here = relax(starts, organic(), **options)
    assert_equal(relax(starts, organic(), **options, workers=1), here)


def crystal_terms(structures):
    anchors = [atoms.positions + 0.1 for atoms in structures]
    anchors[0][0] = np.nan
    return [
        Density(2.5, 0.1),
        Repulsion(1.0, CLOSEST),
        Property(mean_height(), 0.3, 0.05, name="height"),
        Tether(0.3, one_or_list(anchors)),
    ]


@pytest.mark.parametrize("number", [0, 1])
def test_the_calculator_differentiates_terms_of_crystals(number):
    atoms = strained()[number] * (1, 1, 2)
    atoms.rattle(0.02, seed=8)
    terms = crystal_terms([atoms])
    atoms.calc = LosikoCalculator(crystalline(), targets="nearest", terms=terms)
    plain = atoms.copy()
    plain.calc = LosikoCalculator(crystalline(), targets="nearest")
    assert np.abs(atoms.get_stress() - plain.get_stress()).max() > 1e-4
    forces = calculate_numerical_forces(atoms, 1e-4)
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-6)
    stress = calculate_numerical_stress(atoms, 1e-5)
    np.testing.assert_allclose(atoms.get_stress(), stress, atol=1e-7)
    total = score(atoms, crystalline(), terms=terms, **FLOAT64)[0].loss
    assert atoms.get_potential_energy() == pytest.approx(total, rel=1e-10)
    # Energies of atoms leave out the terms, which belong to no atom.
    assert atoms.get_potential_energies().sum() < total


def test_the_calculator_differentiates_terms_of_molecules():
    for start in guesses(["CH3OH", "H2O2"]):
        terms = moderate([start])
        atoms = start.copy()
        atoms.calc = LosikoCalculator(organic(), targets="nearest", terms=terms)
        numeric = calculate_numerical_forces(atoms, 1e-4)
        np.testing.assert_allclose(atoms.get_forces(), numeric, atol=1e-6)
        (found,) = score(start, organic(), terms=terms, **FLOAT64)
        assert atoms.get_potential_energy() == pytest.approx(found.loss, rel=1e-10)


@pytest.mark.parametrize("forces", [True, False])
def test_the_model_gives_what_the_calculator_gives(forces):
    ts = pytest.importorskip("torch_sim", reason="TorchSim is not installed")
    from losiko_torch.torchsim import LosikoModel

    structures = strained()
    terms = crystal_terms(structures)
    options = {"terms": terms, "targets": "nearest"}
    model = LosikoModel(crystalline(), compute_forces=forces, compute_stress=forces, **options)
    found = model(ts.initialize_state(structures, model.device, model.dtype))
    first = 0
    for number, atoms in enumerate(structures):
        alone = [*terms[:-1], Tether(0.3, terms[-1].to[number])]
        atoms.calc = LosikoCalculator(crystalline(), terms=alone, targets="nearest")
        energy = atoms.get_potential_energy()
        assert float(found["energy"][number]) == pytest.approx(energy, rel=1e-10)
        if forces:
            rows = slice(first, first + len(atoms))
            np.testing.assert_allclose(found["forces"][rows], atoms.get_forces(), atol=1e-10)
            stress = atoms.get_stress(voigt=False)
            np.testing.assert_allclose(found["stress"][number], stress, atol=1e-10)
        first += len(atoms)


def test_the_model_tethers_to_positions():
    ts = pytest.importorskip("torch_sim", reason="TorchSim is not installed")
    from losiko_torch.torchsim import LosikoModel

    structures = guesses(["CH3OH", "H2O2"])
    anchors = [atoms.positions + 0.1 for atoms in structures]
    options = {"terms": [Tether(2.0, anchors)], "targets": "nearest"}
    model = LosikoModel(organic(), **options)
    found = model(ts.initialize_state(structures, model.device, model.dtype))
    for number, (atoms, own) in enumerate(zip(structures, anchors, strict=True)):
        atoms.calc = LosikoCalculator(organic(), terms=[Tether(2.0, own)], targets="nearest")
        energy = atoms.get_potential_energy()
        assert float(found["energy"][number]) == pytest.approx(energy, rel=1e-10)


def test_scores_have_terms():
    starts = guesses()
    terms = moderate(starts)
    plain = score(starts, organic(), **FLOAT64)
    for one, other in zip(score(starts, organic(), terms=terms, **FLOAT64), plain, strict=True):
        assert other.terms == {}
        np.testing.assert_array_equal(one.distances, other.distances)
        assert one.loss == pytest.approx(other.loss + sum(one.terms.values()), rel=1e-12)
        assert min(one.terms.values()) >= 0 < one.terms["tether"]


@pytest.fixture
def program(tmp_path, monkeypatch, capsys):
    """The command line, in a folder with structures and databases; returns its exit status."""
    monkeypatch.chdir(tmp_path)
    organic().save("organic.losiko")
    crystalline().save("crystalline.losiko")
    ase.io.write("molecules.extxyz", guesses())
    ase.io.write("crystals.extxyz", strained())

    def call(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(each) for each in arguments])
        call.out, call.err = capsys.readouterr()
        return end.value.code

    return call


def test_the_command_line_has_terms(program):
    line = ["-d", "crystalline.losiko", "--dtype", "float64", "--targets", "nearest"]
    terms = ["--density", "2.6", "--repulsion", "--tether", "0.2"]
    command = ["relax", "crystals.extxyz", *line, "--cell", "--max-steps", "8", "-o", "out.extxyz"]
    assert program(*command, *terms) == 0, program.err
    objects = [Density(2.6), Repulsion(), Tether(0.2)]
    given = ase.io.read("crystals.extxyz", ":")
    options = {"cell": True, "max_steps": 8, **FLOAT64}
    expected = relax(given, crystalline(), terms=objects, **options)
    for atoms, other in zip(ase.io.read("out.extxyz", ":"), expected, strict=True):
        np.testing.assert_allclose(atoms.positions, other.atoms.positions, atol=1e-6)
        np.testing.assert_allclose(atoms.cell.array, other.atoms.cell.array, atol=1e-6)
        assert atoms.info["losiko_loss"] == pytest.approx(other.loss, rel=1e-6)
    assert program("score", "crystals.extxyz", *line, *terms) == 0, program.err
    assert program("score", "crystals.extxyz", *line, "--density", "-1") == 2
    assert "density" in program.err


def test_a_run_is_one_of_its_terms(program):
    command = ["relax", "molecules.extxyz", "-d", "organic.losiko", "--max-steps", "3"]
    assert program(*command, "--run", "night", "--tether", "0.5") == 0, program.err
    record = json.load(open("night/run.json"))  # noqa: SIM115
    assert record["configuration"]["terms"] == [Tether(0.5).identity()]
    assert program(*command, "--run", "night", "--tether", "0.5") == 0, program.err
    for other in (["--tether", "0.25"], ["--tether", "0.5", "--repulsion"], []):
        assert program(*command, "--run", "night", *other) == 2
        first, *_ = program.err.splitlines()
        assert "the run in it is another one: terms was" in first
        if "0.25" in other:
            assert "0.5" in first
            assert "0.25" in first
