"""Any module that gives one row an atom is a descriptor, from ``build`` to the calculator."""

import re
from functools import cache

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from safetensors import safe_open
from safetensors.torch import save_file
from small_database import rattled, soap
from test_calculator import crystals, relative_error
from torch import nn

from losiko_torch import (
    ACSF,
    SOAP,
    Batch,
    EnvironmentDatabase,
    InputError,
    LosikoCalculator,
    relax,
    score,
)
from losiko_torch.batching.memory import atoms_that_fit, bytes_per_atom
from losiko_torch.cli import main
from losiko_torch.descriptors.interface import (
    bytes_of,
    cutoff_of,
    features_of,
    is_periodic,
    species_of,
    summary_of,
)
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.targets.locally_linear import LocallyLinear
from losiko_torch.report.environment_map import environment_map
from losiko_torch.systems.active import ActiveAtoms
from losiko_torch.systems.neighbors import find_pairs

MOLECULES = ["CH4", "C2H6", "C2H4", "CH3OH", "CH3CH2OH", "H2CO", "H2O", "HCOOH", "CH3OCH3"]
ELEMENTS = ["H", "C", "O", "Si"]
RADIAL = [[eta, shift] for shift in np.linspace(0.8, 3.0, 9) for eta in (4.0,)]
ANGULAR = [[0.02, zeta, sign] for zeta in (1, 4) for sign in (-1, 1)]


class Bare(nn.Module):
    """Module with ``forward`` alone: Gaussians of neighbours' distances, by atomic number."""

    def forward(self, batch):
        pairs = find_pairs(batch, 3.2, True)
        r = pairs.vectors(batch).square().sum(1).add(1e-8).sqrt()
        grid = torch.linspace(0.5, 3.2, 14).to(r)
        fade = torch.cos(torch.pi * r / 6.4).square() * batch.numbers[pairs.neighbor].to(r).sqrt()
        terms = torch.exp(-6 * (r[:, None] - grid) ** 2) * fade[:, None]
        return terms.new_zeros(batch.n_atoms, 14).index_add(0, pairs.center, terms)


class Learned(nn.Module):
    """A network on symmetry functions, with some of the optional attributes."""

    def __init__(self, width=24, seed=0):
        super().__init__()
        self.inner = acsf()
        self.species, self.cutoff, self.periodic = ELEMENTS, self.inner.cutoff, True
        size = self.inner.get_number_of_features()
        generator = torch.Generator().manual_seed(seed)
        self.first, self.last = nn.Linear(size, 32), nn.Linear(32, width)
        self.drop = nn.Dropout(0.5)
        with torch.no_grad():
            for tensor in self.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / len(tensor) ** 0.5)

    def forward(self, batch, centers=None):
        features = self.inner(batch, centers)
        return self.last(self.drop(torch.tanh(self.first(features))))

    def parameters_dict(self):
        return {"width": self.last.out_features}


class Scripted(nn.Module):
    """Descriptor that returns a fixed result."""

    def __init__(self, give):
        super().__init__()
        self.give = give

    def forward(self, batch):
        return self.give(batch)


@cache
def acsf(**changes):
    parameters = {
        "r_cut": 4.0,
        "g2_params": RADIAL,
        "g4_params": ANGULAR,
        "species": ELEMENTS,
        "periodic": True,
    }
    return ACSF(**{**parameters, **changes})


DESCRIPTORS = {
    "ACSF": acsf,
    "bare": Bare,
    "learned": lambda: Learned().double(),
    "SOAP": lambda: SOAP(
        species=ELEMENTS, r_cut=3.2, n_max=5, l_max=3, sigma=0.4, periodic=True, smooth_width=0.5
    ),
}


@cache
def made(kind, of="molecules"):
    structures = map(molecule, MOLECULES) if of == "molecules" else crystals().values()
    return EnvironmentDatabase.build(structures, DESCRIPTORS[kind]())


# --- end to end


@pytest.mark.parametrize("kind", DESCRIPTORS)
@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
def test_relaxes(kind, targets):
    database = made(kind)
    structures = [rattled("CH3OH"), rattled("H2CO"), molecule("NH3")]
    options = {"targets": targets, "dtype": "float64", "weights": {"H": 2}, "max_steps": 100}
    *relaxed, refused = relax(structures, database, **options)
    for result in relaxed:
        assert result.loss < 0.5 * result.start_loss
        (judged,) = score(result.atoms, database, **options_of_score(options))
        assert result.loss == pytest.approx(judged.loss, rel=1e-9)
    assert refused.reason.startswith("failed: the d")
    assert " N" in refused.reason


def options_of_score(options):
    return {key: value for key, value in options.items() if key != "max_steps"}


@pytest.mark.parametrize("kind", DESCRIPTORS)
@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
def test_forces(kind, targets):
    atoms = rattled("CH3CH2OH", 2)
    atoms.calc = LosikoCalculator(made(kind).weighted(range(9)), targets=targets)
    expected = calculate_numerical_forces(atoms, eps=1e-4)
    assert relative_error(atoms.get_forces(), expected) < 2e-6


@pytest.mark.parametrize("kind", DESCRIPTORS)
def test_stress(kind):
    atoms = crystals()["SiC"]
    atoms.set_cell(atoms.cell @ np.array([[1.02, 0, 0], [0.01, 0.99, 0], [0, 0.02, 1]]), True)
    atoms.rattle(0.05, seed=3)
    atoms.calc = LosikoCalculator(made(kind, "crystals"), targets="nearest")
    assert relative_error(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-4)) < 2e-6
    assert relative_error(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4)) < 2e-6


@pytest.mark.parametrize("kind", DESCRIPTORS)
def test_cells_relax(kind):
    atoms = crystals()["Si"]
    atoms.set_cell(atoms.cell * 1.02, scale_atoms=True)
    database = made(kind, "crystals")
    (found,) = relax(
        atoms, database, targets="nearest", cell=True, dtype="float64", fmax=1e-5, max_steps=300
    )
    volume = crystals()["Si"].get_volume()
    assert found.atoms.get_volume() == pytest.approx(volume, rel=2e-3)


@pytest.mark.parametrize("kind", DESCRIPTORS)
def test_maps(kind):
    drawn = environment_map([molecule("CH3OH"), molecule("NH3")], made(kind), dtype="float64")
    assert list(drawn.failures) == [1]
    for element in drawn.elements:
        assert element.separation.max() < 1e-3


@pytest.mark.parametrize("kind", DESCRIPTORS)
def test_files_give_back_every_bit_and_are_told_about(kind, tmp_path, capsys):
    database, path = made(kind), tmp_path / "db.losiko"
    database.save(path)
    given = None if kind in ("ACSF", "SOAP") else DESCRIPTORS[kind]()
    back = EnvironmentDatabase.load(path, descriptor=given)
    assert repr(back) == repr(database)
    for number, part in database.environments.items():
        assert torch.equal(back.environments[number].vectors, part.vectors)
        assert torch.equal(back.environments[number].basis, part.basis)
    atoms = rattled("C2H6")
    one, other = (score(atoms, each, dtype="float64")[0] for each in (database, back))
    np.testing.assert_allclose(one.distances, other.distances, rtol=1e-10)
    with pytest.raises(SystemExit) as end:
        main(["info", str(path)])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert f"{database.n_features:,} features of " in printed
    wanted = {
        "ACSF": "ACSF, r_cut 4 A, G1, 9 G2, 4 G4, periodic",
        "bare": "Bare, a module that the file does not hold",
        "learned": "Learned, a module that the file does not hold, cutoff 4 A, width 24",
        "SOAP": "SOAP, r_cut 3.2 A, n_max 5",
    }
    assert wanted[kind] in printed
    assert ("any element" if kind == "bare" else "H C O Si") in printed


def test_acsf_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made("ACSF").save("db.losiko")
    ase.io.write("in.extxyz", [rattled("CH3OH"), rattled("H2O")])
    for command in (
        ("relax", "-o", "out.extxyz"),
        ("score",),
        ("map", "-o", "map.png"),
    ):
        with pytest.raises(SystemExit) as end:
            main([*command, "in.extxyz", "-d", "db.losiko"])
        assert end.value.code == 0, capsys.readouterr().err
    for atoms in ase.io.read("out.extxyz", ":"):
        assert atoms.info["losiko_loss"] < atoms.info["losiko_start_loss"]


# --- what a module may be


def test_a_module_computes_in_its_own_precision():
    """A module takes batches of either precision, and results have the precision of the batch."""
    single = Learned().eval()
    batch = Batch.from_atoms(rattled("CH3OH"))
    double = features_of(single, batch)
    assert double.dtype == torch.float64
    here = Batch.from_atoms(rattled("CH3OH"), torch.float32)
    assert torch.equal(double.float(), features_of(single, here))
    database = EnvironmentDatabase.build([molecule("CH3OH")], single)
    for dtype in ("float32", "float64"):
        (found,) = relax(rattled("CH3OH"), database, targets="nearest", dtype=dtype)
        assert found.loss < found.start_loss


def test_training_after_the_build_changes_no_database():
    module = Learned()
    database = EnvironmentDatabase.build([molecule("CH3OH")], module)
    assert module.training
    assert all(tensor.requires_grad for tensor in module.parameters())
    (before,) = score(rattled("CH3OH"), database)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.add_(1)
    (after,) = score(rattled("CH3OH"), database)
    np.testing.assert_array_equal(before.distances, after.distances)


def test_what_it_tells_of_itself_counts():
    module = Bare()
    assert (species_of(module), cutoff_of(module), is_periodic(module)) == (None, None, True)
    assert summary_of(module) == "Bare"
    module.species, module.cutoff, module.periodic = torch.tensor([8, 1]), 3, False
    assert (species_of(module), cutoff_of(module), is_periodic(module)) == ((1, 8), 3.0, False)
    assert summary_of(module) == "Bare, cutoff 3 A, not periodic"
    structures = [molecule("CH4"), bulk("SiC", "zincblende", 4.4), molecule("H2O")]
    database = EnvironmentDatabase.build(structures, module)
    assert len(database.structures) == 1
    assert "does not know C (its species are H, O)" in database.skipped[0]
    module.species = None
    database = EnvironmentDatabase.build(structures, module)
    assert "periodic but the descriptor is not" in database.skipped[0]
    module.species = ["Q"]
    with pytest.raises(InputError, match="'Q' is no chemical symbol"):
        EnvironmentDatabase.build(structures, module)


@pytest.mark.parametrize("kind", DESCRIPTORS)
def test_some_centers_are_rows_of_all(kind):
    module = DESCRIPTORS[kind]().eval()
    batch = Batch.from_atoms([rattled("CH3OH"), rattled("H2O")])
    centers = torch.tensor([7, 0, 3, 3, 8])
    torch.testing.assert_close(
        features_of(module, batch, ActiveAtoms(centers)), features_of(module, batch)[centers]
    )


def test_a_cheaper_equivalent_is_used_where_there_is_one():
    class Blocks(Bare):
        """A block of features for each element, zero where it is not."""

        def __init__(self, species):
            super().__init__()
            self.species = tuple(species)

        def forward(self, batch):
            rows = super().forward(batch)
            masks = [(batch.numbers == number).to(rows)[:, None] for number in self.species]
            return torch.cat([rows * mask for mask in masks], 1)

        def restricted(self, numbers):
            kept = tuple(z for z in self.species if z in set(numbers))
            places = [14 * self.species.index(z) + torch.arange(14) for z in kept]
            return Blocks(kept), torch.cat(places)

    database = EnvironmentDatabase.build(map(molecule, MOLECULES), Blocks([1, 6, 8]))
    part = database.restricted([1, 8])
    assert part.descriptor.species == (1, 8)
    assert (database.n_features, part.n_features) == (42, 28)
    assert list(part.environments) == [1, 8]
    structures = [rattled("H2O"), rattled("CH4")]
    together = score(structures, database, dtype="float64")
    for atoms, one in zip(structures, together, strict=True):
        (alone,) = score(atoms, database, dtype="float64")
        np.testing.assert_allclose(one.distances, alone.distances, rtol=1e-9, atol=1e-15)


def test_memory_is_told_or_guessed(monkeypatch):
    assert bytes_of(acsf(g4_params=None), 0, 4) < bytes_of(acsf(), 0, 4) < bytes_of(acsf(), 0, 8)
    assert bytes_of(acsf(), 0, 4) < bytes_of(acsf(r_cut=6.0), 0, 4)
    module = Bare()
    unknown = bytes_of(module, 14, 4)
    module.cutoff = 10.0
    assert unknown < bytes_of(module, 14, 4) < bytes_of(module, 140, 4)
    for kind in DESCRIPTORS:
        objective = Objective(made(kind), LocallyLinear(64))
        assert 0 < bytes_per_atom(objective, torch.float32) < 2**22
        assert atoms_that_fit(objective, torch.float32) > 100


# --- what it may not be


@pytest.mark.parametrize(
    ("descriptor", "sentence"),
    [
        ("SOAP", "needs a descriptor, a torch.nn.Module such as SOAP, not str"),
        (Bare, "not Bare"),
        (lambda batch: batch.positions, "not function"),
        (soap(average="inner"), "average='off'"),
        (Scripted(lambda b: b.positions[0]), r"Scripted gives \[3\] for 3 atoms: one row an atom"),
        (Scripted(lambda b: b.positions[1:]), r"Scripted gives \[2, 3\] for 3 atoms"),
        (Scripted(lambda b: b.positions.numpy()), r"Scripted gives \[3, 3\] for 3 atoms"),
        (Scripted(lambda b: None), "Scripted gives NoneType for 3 atoms"),
        (Scripted(lambda b: b.positions * torch.nan), "Scripted gives features that are not finit"),
    ],
)
def test_other_things_are_refused(descriptor, sentence):
    with pytest.raises(InputError, match=sentence):
        EnvironmentDatabase.build([molecule("H2O")], descriptor)


def test_features_without_a_gradient_are_refused():
    module = Scripted(lambda b: b.positions.detach() ** 2)
    database = EnvironmentDatabase.build([molecule("H2O")], module)
    assert score(molecule("H2O"), database)[0].loss < 1e-6
    with pytest.raises(InputError, match="features that torch cannot differentiate"):
        relax(rattled("H2O"), database)


# --- files of modules


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "db.losiko"
    made("learned").save(path)
    return path


def refused(path, descriptor):
    with pytest.raises(InputError) as caught:
        EnvironmentDatabase.load(path, descriptor=descriptor)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_the_module_must_be_given(file, tmp_path, monkeypatch, capsys):
    sentence = "its descriptor Learned is a module that no file holds: give it"
    assert sentence in refused(file, None)
    monkeypatch.chdir(tmp_path)
    ase.io.write("in.xyz", molecule("H2O"))
    with pytest.raises(SystemExit) as end:
        main(["score", "in.xyz", "-d", str(file)])
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


def test_the_same_module_is_known_again_in_either_precision(file):
    for module in (Learned(), Learned().double(), Learned().eval()):
        assert "Learned with 24" in repr(EnvironmentDatabase.load(file, descriptor=module))


def test_another_module_is_refused(file):
    different = "describes atoms differently from the Learned that it was made with"
    retrained = Learned()
    with torch.no_grad():
        retrained.last.weight[0, 0] += 0.1
    for module in (Learned(seed=1), Learned(width=23), retrained, Bare(), acsf()):
        assert different in refused(file, module)
    assert "needs a descriptor, a torch.nn.Module" in refused(file, "Learned")
    ignorant = Learned()
    ignorant.inner = acsf(species=("H", "C"))
    sentence = refused(file, ignorant)
    assert "Learned, given as its descriptor, fails on its elements" in sentence
    assert "does not know O" in sentence


def test_files_of_soap_and_acsf_know_their_own(tmp_path):
    for kind, other in (("ACSF", "SOAP"), ("SOAP", "ACSF")):
        path = tmp_path / f"{kind}.losiko"
        made(kind).save(path)
        back = EnvironmentDatabase.load(path, descriptor=DESCRIPTORS[kind]())
        assert back.descriptor.parameters_dict() == made(kind).descriptor.parameters_dict()
        for given in (DESCRIPTORS[other](), Bare(), soap()):
            assert f"not the one given: {kind}, r_cut" in refused(path, given)


def test_a_module_that_changes_its_mind_is_not_saved(tmp_path):
    module = Scripted(lambda b: b.positions + torch.rand(3))
    database = EnvironmentDatabase.build([molecule("H2O")], module)
    with pytest.raises(InputError, match="gives the same atoms different features each time"):
        database.save(tmp_path / "db.losiko")
    module = Learned()
    module.parameters_dict = lambda: {"what": object()}
    database = EnvironmentDatabase.build([molecule("H2O")], module)
    with pytest.raises(InputError, match="the descriptor's parameters cannot be written as JSON"):
        database.save(tmp_path / "db.losiko")
    assert list(tmp_path.iterdir()) == []


def test_a_look_is_no_use(file):
    """A file can be read without its module, but describes nothing then."""
    seen = EnvironmentDatabase.look(file)
    assert "Absent with 24 features" in repr(seen)
    assert seen.structures == made("learned").structures
    for call in (lambda: score(molecule("H2O"), seen), lambda: seen.save(file, overwrite=True)):
        with pytest.raises(InputError, match="the descriptor Learned is not at hand"):
            call()
    assert EnvironmentDatabase.look(file).structures == seen.structures


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t, h: t.pop("fingerprint"), "fingerprint of its descriptor is missing or damaged"),
        (lambda t, h: t.update(fingerprint=t["fingerprint"][0]), "missing or damaged"),
        (lambda t, h: t.update(fingerprint=t["fingerprint"] * torch.nan), "describes atoms differ"),
        (lambda t, h: h.update(descriptor="[]"), "damaged"),
        (lambda t, h: h.update(descriptor="{}"), "damaged"),
    ],
)
def test_damaged_files_are_refused(file, change, sentence):
    with safe_open(file, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        header = opened.metadata()
    change(tensors, header)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, file, metadata=header)
    assert re.search(sentence, refused(file, Learned()))


def test_describing_in_parts_gives_the_same(monkeypatch):
    whole = made("learned")
    monkeypatch.setattr("losiko_torch.database.building.order.ATOMS_AT_ONCE", 7)
    parts = EnvironmentDatabase.build(map(molecule, MOLECULES), DESCRIPTORS["learned"]())
    for number, part in whole.environments.items():
        other = parts.environments[number]
        torch.testing.assert_close(
            other.vectors @ other.basis.T, part.vectors @ part.basis.T, rtol=0, atol=1e-6
        )


class TwoLayers(torch.nn.Module):
    """Two layers, in which neighbours of neighbours count: twice as far as one layer reaches."""

    def __init__(self, cutoff):
        super().__init__()
        if cutoff is not None:
            self.cutoff = cutoff

    def forward(self, batch):
        pairs = find_pairs(batch, 2.5, False)
        r = pairs.vectors(batch).square().sum(1).add(1e-12).sqrt()
        faded = (1 + torch.cos(torch.pi * r / 2.5)) / 2
        once = faded.new_zeros(batch.n_atoms).index_add(0, pairs.center, faded)
        terms = faded * once[pairs.neighbor]
        twice = faded.new_zeros(batch.n_atoms).index_add(0, pairs.center, terms)
        return torch.stack([once, twice], 1)


def test_a_cutoff_that_is_not_how_far_a_module_sees_is_refused():
    with pytest.raises(InputError, match=r"TwoLayers sees atoms beyond its cutoff of 2\.5 A"):
        EnvironmentDatabase.build(molecule("CH4"), TwoLayers(2.5))
    for cutoff in (5.0, None):
        made = EnvironmentDatabase.build([molecule("CH4"), molecule("C2H6")], TwoLayers(cutoff))
        start = rattled("C2H6")
        (result,) = relax(start, made, targets="nearest", movable=[True] + [False] * 7)
        again = score(result.atoms, made, targets="nearest")[0].loss
        assert result.loss == pytest.approx(again, rel=1e-4, abs=1e-7)
