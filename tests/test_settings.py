"""Settings as a single record: all ways to set options offer the same ones."""

import inspect
import json
from dataclasses import MISSING, fields, replace
from typing import get_type_hints

import numpy as np
import pytest
import torch
import typer
from hypothesis import given
from hypothesis import settings as law
from hypothesis import strategies as st

from losiko_torch import (
    FIRE,
    LBFGS,
    AutogradTarget,
    Density,
    InputError,
    LocallyLinear,
    Nearest,
    Property,
    Repulsion,
    Stage,
    Tether,
    annealed,
    relax,
    relax_iter,
)
from losiko_torch.cli.app import app
from losiko_torch.loss.settings import LossOptions, LossSettings, identity_of
from losiko_torch.loss.targets.registry import TARGETS
from losiko_torch.loss.terms.registry import TERMS
from losiko_torch.optimizers.registry import OPTIMIZERS
from losiko_torch.options import options_of
from losiko_torch.relaxation.settings import RelaxOptions, Settings

#: Parameters of ``relax`` that are no settings: what is relaxed, where, and what is watched.
OTHERS = {"structures", "database", "workers", "ray_address", "progress"} | {
    *("callback", "history", "trajectory", "trajectory_interval")
}


def squares(p, z):
    return (p[:, None] - z).square().sum(2).amin(1)


def furthest(p, z):
    return (p[:, None] - z).square().sum(2).amax(1)


class Coded:
    """An optimizer without a text of its own."""

    def __init__(self, rate):
        self.rate = rate

    def init(self, positions, n_systems):
        raise NotImplementedError

    def step(self, state, loss, gradient, system_idx, fresh):
        raise NotImplementedError


#: Two other values of each option, with what they need.
OTHER_VALUES = {
    "targets": ("nearest", AutogradTarget(squares)),
    "n_neighbors": (7, 9),
    "reg": (0.5, 0.25),
    "degree": (2.0, 3),
    "weights": ({"H": 0.5}, {"O": 0.5}),
    "terms": ([Repulsion()], [Tether(0.5)]),
    "device": ("cpu", torch.device("cuda:1")),
    "dtype": ("float64", torch.float32),
    "batch_atoms": (100, np.int64(200)),
    "optimizer": ("fire", LBFGS(max_step=0.1)),
    "max_steps": (20, 30),
    "fmax": (0.5, np.float32(0.25)),
    "movable": ("within 5 of 0", np.array([True, False])),
    "cell": (True,),
    "strain_mask": ([1, 1, 0, 0, 0, 1], np.eye(3)),
    "hydrostatic_strain": (True,),
    "constant_volume": (True,),
    "symprec": (0.4, 0.2),
    "schedule": ([Stage("nearest")], [Stage("nearest", noise=annealed(0.01, 0.5))]),
    "noise": ((0.2, 0.05), [0.2, 0.05, 3]),
    "n_starts": (3, 4),
    "n_conformers": (3, 1),
    "start_noise": (0.2, 0.3),
    "escape": (False,),
    "max_error": (0.05, 0.5),
    "seed": (1, 2),
}
NEEDS_CELL = ("strain_mask", "hydrostatic_strain", "constant_volume", "symprec")


def with_value(name, value):
    needed = {"cell": True} if name in NEEDS_CELL else {}
    return Settings(**{name: value}, **needed), Settings(**needed)


def test_relax_has_the_options_of_its_settings():
    parameters = inspect.signature(relax).parameters
    declared = {each.name: each.default for each in fields(Settings)}
    assert set(parameters) - OTHERS == set(declared)
    for name, default in declared.items():
        assert parameters[name].default == default, name
        assert parameters[name].kind == inspect.Parameter.KEYWORD_ONLY, name


def test_relax_hands_every_option_on(monkeypatch):
    class Made(Exception):
        pass

    def made(structures, database, settings):
        raise Made(settings)

    monkeypatch.setattr("losiko_torch.relaxation.relaxer.Relaxer.make", made)
    for name, values in OTHER_VALUES.items():
        expected, default = with_value(name, values[0])
        options = {"cell": expected.cell, name: values[0]}
        for function in (relax, relax_iter):
            with pytest.raises(Made) as told:
                function([], **options)
            (settings,) = told.value.args
            assert settings.identity() == expected.identity() != default.identity()


@pytest.mark.parametrize(
    ("record", "options"), [(LossSettings, LossOptions), (Settings, RelaxOptions)]
)
def test_keyword_arguments_are_the_fields(record, options):
    hints = get_type_hints(options)
    assert set(hints) == {each.name for each in fields(record)}
    expected = get_type_hints(record)
    assert {name: hints[name] for name in hints} == {name: expected[name] for name in hints}


def test_types_of_parameters_are_those_of_the_fields():
    parameters = inspect.signature(relax).parameters
    for each in fields(Settings):
        assert parameters[each.name].annotation == each.type, each.name


def test_every_option_has_a_default_and_a_sentence():
    for each in fields(Settings):
        declared = each.metadata["option"]
        assert each.default is not MISSING, each.name
        assert declared.help[0].isupper(), each.name
        assert declared.help.endswith((".", ")")), each.name


def test_every_option_has_other_values_here():
    assert set(OTHER_VALUES) == {each.name for each in fields(Settings)}


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_identity_changes_with_every_option_and_is_ready_for_json(name):
    seen = []
    for value in OTHER_VALUES[name]:
        changed, default = with_value(name, value)
        before, after = default.identity(), changed.identity()
        seen += [before[name], after[name]]
        assert {key for key in after if after[key] != before[key]} == {name}
        # A run's folder returns the settings that were written to it.
        assert json.loads(json.dumps(after, allow_nan=False)) == after
        again, _ = with_value(name, value)
        assert again.identity() == after
    assert all(seen.count(each) == 1 for each in seen if each != seen[0])


ANCHORS = np.arange(6.0).reshape(2, 3)
GAPS = np.where(ANCHORS == 1, np.nan, ANCHORS)


def module(seed):
    torch.manual_seed(seed)
    return torch.nn.Linear(2, 1)


DIFFERENT = {
    "optimizer": [
        LBFGS(),
        LBFGS(max_step=0.1),
        LBFGS(memory=5),
        FIRE(),
        FIRE(dt=0.2),
        Coded(1.0),
        Coded(2.0),
    ],
    "targets": [
        LocallyLinear(8, 1e-2),
        LocallyLinear(9, 1e-2),
        LocallyLinear(8, 1e-3),
        Nearest(),
        AutogradTarget(squares, 2),
        AutogradTarget(squares, 3),
        AutogradTarget(furthest, 3),
    ],
    "terms": [
        [],
        [Tether(0.1)],
        [Tether(0.2)],
        [Tether(0.2, "anchors")],
        [Tether(0.2, ANCHORS)],
        [Tether(0.2, [ANCHORS])],
        [Tether(0.2, ANCHORS + 1)],
        [Tether(0.2, GAPS)],
        [Density(2.0), Tether(0.2)],
        [Density(2.5)],
        [Density(2.5, 3.0)],
        [Repulsion()],
        [Repulsion(5.0)],
        [Repulsion(5.0, {("H", "O"): 0.9})],
        [Repulsion(5.0, {("H", "O"): 0.8})],
        [Property(module(0))],
        [Property(module(1))],
        [Property(module(1), 1.0)],
        [Property(module(1), 1.0, 2.0)],
        [Property(module(1), 1.0, 2.0, "gap")],
    ],
    "schedule": [
        [],
        [Stage("nearest")],
        [Stage("nearest", max_steps=3)],
        [Stage(LocallyLinear(8, 1e-2))],
        [Stage(LocallyLinear(8, 1e-3))],
        [Stage(n_neighbors=8, reg=1e-3)],
        [Stage("nearest", noise=annealed(0.01, 0.5))],
        [Stage("nearest", noise=annealed(0.01, 0.4))],
    ],
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_objects_are_told_apart_by_their_fields(name):
    needed = {"cell": True} if name == "terms" else {}
    texts = []
    for value in DIFFERENT[name]:
        identity = Settings(**{name: value}, **needed).identity()[name]
        assert json.loads(json.dumps(identity, allow_nan=False)) == identity
        texts.append(json.dumps(identity))
    assert len(set(texts)) == len(texts)
    assert not any(" at 0x" in text for text in texts)


@law(deadline=None)
@given(number=st.floats(0.01, 100), k=st.integers(1, 50))
def test_numbers_of_numpy_are_numbers(number, k):
    several = [
        (Tether(number), Tether(np.float64(number))),
        (Density(number, number), Density(np.float64(number), np.float64(number))),
        (Repulsion(number), Repulsion(np.float64(number))),
        (LocallyLinear(k, number), LocallyLinear(np.int64(k), np.float64(number))),
        (AutogradTarget(squares, k), AutogradTarget(squares, np.int32(k))),
        (Settings(fmax=number, seed=k), Settings(fmax=np.float64(number), seed=np.int16(k))),
        (Property(module(0), number, number), Property(module(0), np.float64(number), number)),
    ]
    for one, other in several:
        assert json.dumps(one.identity()) == json.dumps(other.identity())
    json.dumps([Tether(np.float32(number)).identity(), Density(np.float32(number)).identity()])


def test_identity_of_anything():
    found = identity_of({"a": (1, [np.arange(2)]), 3: torch.float32, "f": squares, "n": None})
    assert found == {
        "a": [1, [[0, 1]]],
        "3": "torch.float32",
        "f": f"{squares.__module__}.squares",
        "n": None,
    }


@pytest.mark.parametrize(
    "name", [each.name for each in fields(Settings) if each.default is not None]
)
def test_none_is_refused_where_it_means_nothing(name):
    declared = options_of(Settings)[name]
    if declared.check is None and name not in ("targets", "optimizer"):
        assert declared.text is bool
        return
    with pytest.raises(InputError) as told:
        Settings(**{name: None})
    assert "\n" not in str(told.value)


def flags(command):
    found = typer.main.get_command(app).commands[command]
    return {flag for parameter in found.params for flag in parameter.opts if flag.startswith("--")}


def expected_flags(record):
    found = {
        f"--{(each.flag or name).replace('_', '-')}"
        for name, each in options_of(record).items()
        if each.text
    }
    terms = {f"--{name}" for name, term in TERMS.choices.items() if hasattr(term, "option")}
    return found, terms


def test_the_command_line_offers_every_option():
    options, terms = expected_flags(Settings)
    assert terms == {"--density", "--repulsion", "--tether"}
    assert options | terms <= flags("relax")
    # Terms are objects in Python and options of their own on the command line; all else has text.
    assert {name for name, each in options_of(Settings).items() if not each.text} == {"terms"}
    scoring, _ = expected_flags(LossSettings)
    assert (scoring - {"--batch-atoms"}) | terms <= flags("score")


def test_help_shows_every_option(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    with pytest.raises(SystemExit):
        app(["relax", "--help"])
    text = capsys.readouterr().out
    options, terms = expected_flags(Settings)
    for flag in options | terms:
        assert flag in text
    assert "|".join(OPTIMIZERS) in text
    assert "|".join(TARGETS) in text


def test_settings_are_frozen_and_replaceable():
    made = Settings(terms=[Tether(0.1)], schedule=Stage("nearest"))
    assert isinstance(made.terms, tuple)
    assert isinstance(made.schedule, tuple)
    with pytest.raises(AttributeError):
        made.seed = 3
    other = replace(made, seed=3)
    assert other.identity() == {**made.identity(), "seed": 3}
