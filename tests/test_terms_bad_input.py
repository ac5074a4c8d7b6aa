"""Terms, targets and optimizers that make no sense: an error in a sentence, and others go on."""

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from small_database import database, rattled, water_database

from losiko_torch import (
    LBFGS,
    SOAP,
    AutogradTarget,
    Density,
    EnvironmentDatabase,
    InputError,
    LocallyLinear,
    LosikoCalculator,
    Nearest,
    Property,
    Repulsion,
    Stage,
    StructureError,
    Tether,
    relax,
    relax_iter,
    score,
)
from losiko_torch.cli import main
from losiko_torch.loss.settings import LossSettings
from losiko_torch.relaxation.settings import Settings
from losiko_torch.systems.batch import sum_by_system

NAN = float("nan")


class Made:
    """Term made of a function of the batch."""

    def __init__(self, function, name="made"):
        self.function, self.name = function, name

    def __call__(self, batch):
        return self.function(batch)

    def identity(self):
        return {"name": self.name}


class Cliff:
    """Term whose value ceases to be a number for a structure of ``n`` atoms that has moved."""

    name = "cliff"

    def __init__(self, n):
        self.n = n

    def prepare(self, atoms, number):
        far = 0.02 if len(atoms) == self.n else 1e3
        return {"cliff_start": atoms.positions, "cliff_limit": np.full(len(atoms), far)}

    def __call__(self, batch):
        moved = (batch.positions - batch.arrays["cliff_start"]).square().sum(1)
        values = (batch.arrays["cliff_limit"] ** 2 - moved).sqrt()
        return 1e-6 * sum_by_system(values, batch.system_idx, batch.n_systems)

    def identity(self):
        return {"name": self.name}


def per_structure(function):
    """Values of a function of each structure's atoms, differentiable by the positions."""

    def values(batch):
        found = []
        for number in range(batch.n_systems):
            positions = batch.positions[batch.system_idx == number]
            found.append(function(len(positions)) * positions.square().sum())
        return torch.stack(found)

    return values


def sentence(error, *words):
    text = str(error.value)
    assert "\n" not in text
    assert text == text.strip() != ""
    for word in words:
        assert word in text, text
    return text


def refused(function, *words, kind=InputError):
    with pytest.raises(kind) as told:
        function()
    return sentence(told, *words)


def all_but(results, expected, bad, *words):
    """Assert that result ``bad`` failed with these words, and that all others are as expected."""
    for number, (found, other) in enumerate(zip(results, expected, strict=True)):
        if number == bad:
            assert found.failed
            assert "\n" not in found.reason
            for word in words:
                assert word in found.reason, found.reason
            assert np.isnan(found.loss)
            assert found.terms == {}
        else:
            assert found.reason == other.reason
            np.testing.assert_allclose(found.atoms.positions, other.atoms.positions, atol=1e-4)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda batch: batch.positions.sum(), "gives a single number for 1 structures"),
        (lambda batch: batch.positions[:, 0], "gives [3] for 1 structures"),
        (lambda batch: batch.positions.sum()[None, None], "gives [1, 1] for 1 structures"),
        (lambda batch: 0.0, "gives a builtins.float, not a torch.Tensor"),
        (lambda batch: None, "gives a builtins.NoneType, not a torch.Tensor"),
        (lambda batch: [1.0], "gives a builtins.list, not a torch.Tensor"),
        (lambda batch: torch.ones(batch.n_systems, dtype=torch.complex128), "complex numbers"),
        (lambda batch: torch.ones(batch.n_systems, device="meta"), "on meta"),
    ],
)
def test_a_value_of_another_shape_or_place(function, words):
    term, start = Made(function), molecule("H2O")
    calculator = LosikoCalculator(water_database(), terms=[term])
    for ask in (
        lambda: relax(start, water_database(), terms=[term], max_steps=1),
        lambda: list(relax_iter([start], water_database(), terms=[term], max_steps=1)),
        lambda: score(start, water_database(), terms=[term]),
        lambda: calculator.get_potential_energy(start),
    ):
        refused(ask, "term 'made'", words)


@pytest.mark.parametrize("optimizer", ["lbfgs", "fire"])
def test_a_value_that_cannot_be_differentiated(optimizer):
    term = Made(lambda batch: batch.positions.new_ones(batch.n_systems))
    options = {"terms": [term], "optimizer": optimizer, "max_steps": 3}
    refused(lambda: relax(molecule("H2O"), water_database(), **options), "'made'", "differentiate")
    detached = Made(
        lambda batch: sum_by_system(batch.positions[:, 0], batch.system_idx, 1).detach()
    )
    options["terms"] = [detached]
    refused(lambda: relax(molecule("H2O"), water_database(), **options), "'made'", "differentiate")
    # Numbers are enough for a score, and for a search without gradients.
    assert score(molecule("H2O"), water_database(), terms=[term])[0].terms == {"made": 1.0}
    options = {"terms": [term], "optimizer": "nelder-mead", "max_steps": 5}
    assert relax(molecule("H2O"), water_database(), **options)[0].terms == {"made": 1.0}


STARTS = ["CH3OH", "H2O2", "H2O"]


def starts():
    return [rattled(name, number, 0.08) for number, name in enumerate(STARTS)]


@pytest.mark.parametrize("bad", [NAN, np.inf, -np.inf])
@pytest.mark.parametrize("options", [{}, {"batch_atoms": 7}, {"noise": (0.001, 1.0)}])
def test_no_number_for_one_structure_fails_it_alone(bad, options):
    options = {"max_steps": 4, **options}
    term = Made(per_structure(lambda n: bad if n == 4 else 1e-3), "gap")
    good = Made(per_structure(lambda n: 1e-3), "gap")
    found = relax(starts(), database(), terms=[term], **options)
    all_but(found, relax(starts(), database(), terms=[good], **options), 1, "'gap'", "finite")
    scores = score(starts(), database(), terms=[Tether(1.0), term])
    assert [each.problem is None for each in scores] == [True, False, True]
    assert "'gap'" in scores[1].problem


@pytest.mark.parametrize("optimizer", ["lbfgs", "fire", "adam", "gradient-descent"])
@pytest.mark.parametrize("options", [{}, {"batch_atoms": 7}, {"terms": [Tether(1e-6), Cliff(4)]}])
def test_a_number_that_is_lost_on_the_way_fails_its_structure_alone(optimizer, options):
    options = {"terms": [Cliff(4)], "max_steps": 30, "optimizer": optimizer, **options}
    found = relax(starts(), database(), **options)
    options["terms"] = [*options["terms"][:-1], Cliff(0)]
    all_but(found, relax(starts(), database(), **options), 1, "the term 'cliff' ceased to be")
    assert np.isfinite(found[1].start_loss)
    np.testing.assert_array_equal(found[1].atoms.positions, starts()[1].positions)


@pytest.mark.parametrize(
    "options", [{"noise": (0.04, 0.5)}, {"schedule": [Stage("nearest", max_steps=20)]}]
)
def test_a_number_that_is_lost_in_an_early_stage_fails_its_structure_alone(options):
    found = relax(starts(), database(), terms=[Cliff(4)], max_steps=5, **options)
    expected = relax(starts(), database(), terms=[Cliff(0)], max_steps=5, **options)
    all_but(found, expected, 1, "the term 'cliff' ceased to be")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("no such thing\nand more"), "RuntimeError: no such thing"),
        (KeyError("Xx"), "KeyError: 'Xx'"),
        (ValueError(), "ValueError"),
        (StructureError("it is odd"), "(it is odd)"),
    ],
)
def test_a_term_that_trips_over_one_structure_fails_it_alone(error, words):
    def trips(n):
        if n == 4:
            raise error
        return 1e-3

    term, good = Made(per_structure(trips)), Made(per_structure(lambda n: 1e-3))
    found = relax(starts(), database(), terms=[term], max_steps=4)
    expected = relax(starts(), database(), terms=[good], max_steps=4)
    all_but(found, expected, 1, "the term 'made' fails", words)
    assert "and more" not in found[1].reason
    scores = score(starts(), database(), terms=[term])
    assert [each.problem is None for each in scores] == [True, False, True]


@pytest.mark.parametrize("number", [0, -1.0, NAN, np.inf, "1", None, True, np.array([1.0])])
def test_numbers_of_terms(number):
    for make, word in (
        (lambda: Density(number), "target of the density"),
        (lambda: Density(2.0, number), "stiffness of the density"),
        (lambda: Repulsion(number), "stiffness of the repulsion"),
        (lambda: Repulsion(1.0, {("H", "O"): number}), "distance of ('H', 'O')"),
        (lambda: Tether(number), "stiffness of the tether"),
        (lambda: Property(torch.nn.Linear(1, 1), 1.0, number), "weight of term 'property'"),
    ):
        refused(make, word)
    if isinstance(number, (float, str, bool, np.ndarray)) and number != -1.0:
        refused(lambda: Property(torch.nn.Linear(1, 1), weight=number), "weight of term 'property'")
        refused(lambda: Property(torch.nn.Linear(1, 1), target=number, name="gap"), "'gap'")


@pytest.mark.parametrize("pair", [("H",), ("H", "O", "O"), ("H", "Xy"), (1.5, None), "HO!", 3])
def test_pairs_of_a_repulsion(pair):
    refused(lambda: Repulsion(1.0, {pair: 1.0}), "repulsion", repr(pair))


@pytest.mark.parametrize("module", [None, 3, torch.nn.Linear, lambda batch: batch, "module"])
def test_a_property_needs_a_module(module):
    refused(lambda: Property(module, name="gap"), "'gap'", "torch.nn.Module")


def test_a_module_on_another_device():
    for module in (torch.nn.Linear(2, 2, device="meta"), torch.nn.BatchNorm1d(2).to("meta")):
        term = Property(module, name="gap")
        for ask in (
            lambda term=term: relax(molecule("H2O"), water_database(), terms=[term]),
            lambda term=term: score(molecule("H2O"), water_database(), terms=[term]),
            lambda term=term: LosikoCalculator(water_database(), terms=[term]),
        ):
            refused(ask, "'gap'", "meta", "cpu")


def silicon():
    sizes = {"r_cut": 3.0, "n_max": 3, "l_max": 2, "sigma": 0.5, "smooth_width": 0.5}
    return EnvironmentDatabase.build(
        [bulk("Si"), molecule("SiH4")], SOAP(species=["H", "Si"], periodic=True, **sizes)
    )


def test_only_the_molecule_has_no_density():
    built, crystal = silicon(), bulk("Si", a=5.6)
    options = {"cell": True, "max_steps": 5}
    slab = bulk("Si", cubic=True)
    slab.pbc = [True, True, False]
    structures = [crystal, molecule("SiH4"), slab, crystal]
    found = relax(structures, built, terms=[Density(2.3)], **options)
    assert [each.failed for each in found] == [False, True, True, False]
    for each in found[1:3]:
        assert "'density'" in each.reason
        assert "not periodic in three directions" in each.reason
        assert "\n" not in each.reason
    (alone,) = relax(crystal, built, terms=[Density(2.3)], **options)
    np.testing.assert_allclose(found[0].atoms.cell.array, alone.atoms.cell.array, atol=1e-4)
    scores = score(structures, built, terms=[Density(2.3)])
    assert [each.problem is None for each in scores] == [True, False, False, True]
    calculator = LosikoCalculator(built, terms=[Density(2.3)])
    refused(
        lambda: calculator.get_potential_energy(molecule("SiH4")),
        "H4Si",
        "'density'",
        kind=StructureError,
    )


def test_a_density_needs_cells_that_move():
    refused(lambda: Settings(terms=[Density(2.0)]), "'density'", "cell=True", "--cell")
    for ask in (relax, relax_iter):
        refused(lambda ask=ask: ask([], water_database(), terms=[Density(2.0)]), "'density'")
    # Without a relaxation there is no cell to move.
    assert score(bulk("Si"), silicon(), terms=[Density(2.0)])[0].terms["density"] > 0


@pytest.mark.parametrize("record", [LossSettings, Settings])
@pytest.mark.parametrize(
    ("terms", "words"),
    [
        (None, "NoneType"),
        (3, "int"),
        ("repulsion", "str"),
        (["repulsion"], "str"),
        ([Tether], "Tether"),
        (Repulsion, "hold Repulsion, which is no term"),
        ([3.0], "float"),
        ([Tether(1.0), None], "NoneType"),
        ([lambda batch: batch], "function"),
        ({"tether": Tether(1.0)}, "dict"),
        ([torch.nn.Linear(1, 1)], "Linear"),
        ([Tether(1.0), Tether(2.0)], "two terms have the name 'tether'"),
        ([Made(None, "a"), Made(None, "b"), Made(None, "a")], "two terms have the name 'a'"),
    ],
)
def test_what_is_no_list_of_terms(record, terms, words):
    refused(lambda: record(terms=terms), "terms", words)


def test_a_single_term_is_a_list():
    assert [term.name for term in Settings(terms=Tether(1.0)).terms] == ["tether"]


@pytest.mark.parametrize(
    "anchors",
    [
        5,
        [1.0, 2.0, 3.0],
        np.zeros((3, 2)),
        np.zeros((3, 3, 3, 3)),
        np.full((3, 3), np.inf),
        [np.zeros((3, 3)), np.zeros((2, 2))],
        [["a", "b", "c"]],
        {"a": 1},
    ],
)
def test_what_are_no_anchors(anchors):
    refused(lambda: Tether(1.0, anchors), "tether's anchors")


def test_anchors_that_do_not_fit_fail_their_structures_alone():
    structures = [*starts(), starts()[2]]
    structures[0].set_array("anchors", structures[0].positions + 0.1)
    structures[1].set_array("anchors", np.full((4, 3), np.inf))
    structures[3].set_array("anchors", np.zeros(3))
    cases = [
        (np.zeros((3, 3)), [True, True, False, False], "anchors for its 6 atoms"),
        ([each.positions for each in structures[:2]], [False, False, True, True], "2 structures"),
        ("anchors", [False, True, True, True], "array 'anchors'"),
    ]
    for to, failed, words in cases:
        found = relax(structures, database(), terms=[Tether(0.1, to)], max_steps=2)
        assert [each.failed for each in found] == failed
        first = failed.index(True)
        assert words in found[first].reason
        assert all("\n" not in each.reason for each in found)


def test_calculators_have_no_start():
    refused(
        lambda: LosikoCalculator(water_database(), terms=[Tether(1.0)]), "'tether'", "calculator"
    )
    pytest.importorskip("torch_sim", reason="TorchSim is not installed")
    from losiko_torch.torchsim import LosikoModel

    refused(lambda: LosikoModel(water_database(), terms=[Tether(1.0)]), "'tether'", "model")
    LosikoModel(water_database(), terms=[Tether(1.0, molecule("H2O").positions)])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": "newton"}, ("optimizer", "newton", "lbfgs", "nelder-mead")),
        ({"optimizer": LBFGS}, ("optimizer", "LBFGS")),
        ({"optimizer": 3}, ("optimizer", "3")),
        ({"optimizer": None}, ("optimizer", "None")),
        ({"optimizer": Nearest()}, ("optimizer", "Nearest()")),
        ({"targets": "farthest"}, ("targets", "farthest", "nearest", "locally-linear")),
        ({"targets": Nearest}, ("targets", "Nearest")),
        ({"targets": LBFGS()}, ("targets", "LBFGS")),
        ({"targets": 7}, ("targets", "7")),
        ({"targets": LocallyLinear(8), "n_neighbors": 4}, ("n_neighbors",)),
        ({"targets": Nearest(), "reg": 0.1}, ("reg",)),
        ({"targets": "nearest", "n_neighbors": 4}, ("nearest", "n_neighbors")),
        ({"n_neighbors": 0}, ("n_neighbors",)),
        ({"n_neighbors": 2.0}, ("n_neighbors",)),
        ({"reg": -1}, ("reg",)),
        ({"seed": NAN}, ("seed", "nan")),
        ({"seed": -1}, ("seed",)),
        ({"seed": 1.5}, ("seed",)),
        ({"max_steps": 0}, ("max_steps",)),
        ({"max_steps": True}, ("max_steps",)),
        ({"fmax": NAN}, ("fmax",)),
        ({"fmax": "small"}, ("fmax", "small")),
        ({"fmax": 0.1, "optimizer": "nelder-mead"}, ("fmax", "nelder-mead")),
        ({"degree": 0}, ("degree",)),
        ({"degree": None}, ("degree", "None")),
        ({"weights": {"H": -1}}, ("weight", "H")),
        ({"weights": {"Xy": 1}}, ("Xy",)),
        ({"dtype": "float16"}, ("dtype", "float16")),
        ({"dtype": 3}, ("dtype", "3")),
        ({"batch_atoms": 0}, ("batch_atoms",)),
        ({"movable": "near O"}, ("near O",)),
        ({"strain_mask": [1] * 5, "cell": True}, ("strain_mask",)),
        ({"hydrostatic_strain": True}, ("cell=True",)),
        ({"symprec": 0.1}, ("symprec", "cell=True")),
        ({"symprec": -0.1, "cell": True}, ("symprec", "-0.1")),
        ({"schedule": [3]}, ("schedule", "int")),
        ({"schedule": None}, ("schedule", "NoneType")),
        ({"noise": 0.2}, ("noise",)),
        ({"noise": (0.2, NAN)}, ("alpha", "nan")),
        ({"n_starts": 0}, ("n_starts",)),
        ({"start_noise": NAN}, ("start_noise", "nan")),
    ],
)
def test_options_that_make_no_sense(options, words):
    refused(lambda: Settings(**options), *words)
    # At once: before a structure is read.
    refused(lambda: relax_iter(iter(()), water_database(), **options), *words)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda p, z: p.sum(), "gives Tensor for"),
        (lambda p, z: p, "for 2 atoms"),
        (lambda p, z: z.square().sum((1, 2)), "differentiate"),
    ],
)
def test_functions_that_are_no_target(function, words):
    options = {"targets": AutogradTarget(function), "max_steps": 1}
    refused(lambda: relax(molecule("H2O"), water_database(), **options), "target's function", words)
    refused(lambda: AutogradTarget(None), "function")
    refused(lambda: AutogradTarget(function, 0), "n_neighbors")


def test_other_keyword_arguments_are_no_options():
    for ask in (relax, relax_iter, score, LosikoCalculator):
        with pytest.raises(TypeError, match="stiffness"):
            ask(**({"structures": []} if ask is not LosikoCalculator else {}), stiffness=1.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tether", "0"], "the stiffness of the tether must be positive, not 0.0"),
        (["--tether", "nan"], "the stiffness of the tether must be positive, not nan"),
        (["--density", "2.0"], "term 'density' acts on cells alone: it needs cell=True (--cell)"),
        (["--density", "-2", "--cell"], "the target of the density must be positive, not -2.0"),
        (["--tether", "much"], "'--tether'"),
        (["--optimizer", "newton"], "optimizer 'newton' is none of lbfgs"),
        (["--targets", "farthest"], "targets 'farthest' are none of nearest"),
        (["--seed", "-1"], "seed must be an integer from 0 on, not -1"),
    ],
)
def test_the_command_line_says_the_same(options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ase.io.write("in.extxyz", molecule("H2O"))
    with pytest.raises(SystemExit) as end:
        main(["relax", "in.extxyz", "-o", "out.extxyz", *options])
    assert end.value.code == 2
    out, err = capsys.readouterr()
    first, *rest = err.splitlines()
    assert first.startswith("losiko: error: ")
    assert words in first
    assert all(line.startswith("Try ") for line in rest)
    assert out == ""
    assert not (tmp_path / "out.extxyz").exists()
