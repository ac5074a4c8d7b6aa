"""Frames and tables of many results are those of each, to the last byte."""

import math
import sys
from itertools import chain

import numpy as np
import pyarrow as pa
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.collections import g2
from ase.constraints import FixAtoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from losiko_torch.io.formats import frames
from losiko_torch.io.formats.extxyz import frame_of
from losiko_torch.io.formats.fixed import MOST, as_text
from losiko_torch.io.formats.frames import frames_of
from losiko_torch.io.formats.shortest import shortest
from losiko_torch.io.formats.texts import encoded
from losiko_torch.io.table import SCHEMA, table_of
from losiko_torch.results import Matches, Result, expected_rmsds
from losiko_torch.systems.names import METADATA, SOURCE, formula_of, source_of
from losiko_torch.systems.reference_geometry import REFERENCE, deviation

ENTRIES = {
    "id": [7, np.int64(-3), np.int32(5), True, np.bool_(False), 1.5, np.float64(0.1), math.nan],
    "note": ["plain", "two words", 'a "quote"', "back\\slash", "é", "", "5", "T", "{1}", "a=b"],
    SOURCE: ["in.xyz@3", "a b.xyz@3", "3@4", "é@1", "dir/c1-x_2.npz@12"],
    "odd key": ["text"],
    "pbc": ["taken"],
    "tree": [{"a": [1, 2]}, np.arange(3), None, (1, "x")],
    METADATA: [{"title": "a set"}],
    "losiko_loss": [3.5],
    "losiko_doubt": ["of before"],
    "losiko_expected_rmsd": [2],
}
SAME_PATCH = HealthCheck.function_scoped_fixture
DOUBTS = ["", "", "atom 3 (C) is 0.71 A from atom 4 (H): look", "it isn't done"]


def result(rng, number):
    """A result of one of many kinds; most are those of runs."""
    atoms = molecule(g2.names[rng.integers(len(g2.names))])
    atoms.positions += rng.normal(0, 1, 3) * rng.choice([1, 30, 3000])
    for key, values in ENTRIES.items():
        if rng.random() < (0.7 if key in ("id", SOURCE) else 0.08):
            atoms.info[key] = values[rng.integers(len(values))]
    kind, failed = rng.random(), False
    if kind < 0.05:
        atoms.set_cell([9, 8, 7])
        atoms.pbc = [True, True, False]
    elif kind < 0.08:
        atoms.set_constraint(FixAtoms([0]))
    elif kind < 0.11:
        atoms.set_array(REFERENCE, atoms.positions + 0.1)
    elif kind < 0.13:
        atoms.set_array("losiko_distance", np.ones(len(atoms)))
    elif kind < 0.17:
        atoms, failed = (Atoms() if kind < 0.15 else atoms), True
    elif kind < 0.18:
        atoms.positions[0, 0] = 2e4
    count = len(atoms)
    distances = rng.exponential(1e-3, count)
    errors = rng.exponential(0.05, count).astype(rng.choice(["f4", "f8"]))
    references = rng.integers(0, 99, (2, count, rng.choice([0, 3])))
    return Result(
        atoms,
        math.nan if failed else float(distances.sum()),
        2.0,
        not failed and bool(rng.random() < 0.9),
        int(rng.integers(200)),
        "failed: it has no atoms" if failed else str(rng.choice(["converged", "max_steps"])),
        np.full(count, np.nan) if failed else distances,
        None if failed else Matches(*references, references[0], references[0]),
        number,
        terms={"tether": float(rng.random())} if rng.random() < 0.1 else {},
        expected_error=None if failed or rng.random() < 0.3 else errors,
        doubt=DOUBTS[rng.integers(len(DOUBTS))],
    )


@pytest.fixture(scope="module")
def results():
    rng = np.random.default_rng(0)
    return [result(rng, number) for number in range(2000)]


# Frames


def each_of(results, tell):
    """The frame of each result."""
    return chain.from_iterable(frames_of(results, tell))


@settings(max_examples=300)
@given(st.lists(st.floats(-MOST, MOST, exclude_min=True, exclude_max=True), max_size=20))
def test_numbers_are_what_python_writes(values):
    text = as_text(np.array(values, dtype=float))
    assert [row.tobytes() for row in text] == [b"%16.8f" % value for value in values]


@settings(max_examples=300)
@given(st.integers(-(10**9), 10**9), st.integers(-3, 3))
def test_so_they_are_next_to_where_digits_tie(digits, ulps):
    value = (digits + 0.5) / 1e8
    for _ in range(abs(ulps)):
        value = math.nextafter(value, math.copysign(math.inf, ulps))
    values = [value, digits / 1e8, -value, 1e3 + value, math.nextafter(float(MOST), 0), -0.0]
    text = as_text(np.array(values))
    assert [row.tobytes() for row in text] == [b"%16.8f" % each for each in values]


@pytest.mark.parametrize("many", [0, 10**6])
@settings(max_examples=300, suppress_health_check=[SAME_PATCH])
@given(values=st.lists(st.floats()), power=st.integers(-8, 18), decimals=st.integers(0, 8))
def test_numbers_are_as_short_as_python_writes_them(monkeypatch, many, values, power, decimals):
    monkeypatch.setattr("losiko_torch.io.formats.shortest.MANY", many)
    limits = [sign * 10.0**power for sign in (1, -1)]
    edges = [math.nextafter(each, side) for each in limits for side in (math.inf, -math.inf)]
    rounded = [round(each * 1.2345678, decimals) for each in limits]
    values = [*values, *limits, *edges, *rounded, *np.float32(rounded).tolist()]
    assert shortest(np.array(values, dtype=float)) == list(map(repr, values))


def test_so_they_are_without_arrow(monkeypatch):
    values = np.random.default_rng(1).normal(0, 1, 2000)
    expected = shortest(values)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("losiko_torch.io.formats.shortest.find_spec", lambda name: None)
    assert shortest(values) == expected


@pytest.mark.parametrize("together", [1, 7, 4096])
def test_frames_together_are_those_of_each(results, together, monkeypatch):
    monkeypatch.setattr(frames, "TOGETHER", together)
    lost, told = [], []
    expected = [encoded(frame_of(each, lost.extend)) for each in results]
    assert list(each_of(results, told.extend)) == expected
    assert told == lost


@pytest.mark.parametrize(
    "origins",
    [
        ["in.xyz@0", "in.xyz@1", "in.xyz@22"],
        ["in.xyz@0", "other.xyz@1", "in.xyz@2"],
        ["in.xyz@0", "in.xyz@1\nin.xyz@2"],
        ["in.xyz@0", "in.xyz@", "in.xyz@7"],
        ["in.xyz@0", "in.xyz@\u00b2", "in.xyz@x"],
        ["in.xyz@0", "a in.xyz@1", "in.xyz@1 "],
        ["1.xyz@0", "1.xyz@1"],
        ["in.xyz@0", 5, None],
    ],
)
def test_origins_together_are_those_of_each(origins):
    together = frames._entries(SOURCE, origins)
    assert together == [frames._entry(SOURCE, each) for each in origins]


def test_most_go_together(results, monkeypatch):
    alone = []
    monkeypatch.setattr(frames, "frame_of", lambda each, tell: alone.append(each) or "")
    list(each_of(results, lambda lost: None))
    assert 0 < len(alone) < 0.7 * len(results)


def test_an_element_that_is_none_is_written_as_alone():
    (odd,) = [result(np.random.default_rng(3), 0)]
    odd.atoms.numbers[0] = 200
    tell = lambda lost: None  # noqa: E731
    assert list(each_of([odd], tell)) == [encoded(frame_of(odd, tell))]


# Tables


def row_of(result, offset):
    """The row of a result, made by itself."""
    finite = lambda value: value if math.isfinite(value) else None  # noqa: E731
    judged = result.matches is not None and len(result.distances) > 0
    worst = int(np.argmax(result.distances)) if judged else None
    nearest = [None, None]
    if judged:
        both = (result.matches.structure, result.matches.atom)
        nearest = [each[:, 0].tolist() if each.shape[1] else [-1] * len(each) for each in both]
    return {
        "number": result.number,
        "source": source_of(result.atoms, result.number),
        "name": result.atoms.info.get("name"),
        "formula": formula_of(result.atoms),
        "n_atoms": len(result.atoms),
        "reason": result.reason,
        "converged": result.converged,
        "n_steps": result.n_steps,
        "start_loss": finite(result.start_loss),
        "loss": finite(result.loss),
        "terms": list(result.terms.items()),
        "largest_distance": float(result.distances[worst]) if judged else None,
        "worst_atom": worst,
        "worst_element": result.atoms.symbols[worst] if judged else None,
        "rmsd": None if result.failed else deviation(result.atoms),
        "expected_rmsd": result.expected_rmsd,
        "reliable": result.reliable,
        "doubt": result.doubt,
        "nearest_structure": nearest[0],
        "nearest_atom": nearest[1],
        "offset": offset,
    }


@pytest.mark.parametrize("count", [0, 1, 2000])
def test_tables_hold_the_row_of_each(results, count):
    some = results[:count]
    offsets = [3 * k for k in range(count)]
    table = table_of(some, offsets)
    table.validate(full=True)
    assert table.schema == SCHEMA
    rows = [row_of(each, offset) for each, offset in zip(some, offsets, strict=True)]
    assert table.equals(pa.Table.from_pylist(rows, SCHEMA))


def test_without_a_file_there_are_no_offsets(results):
    assert table_of(results[:3])["offset"].to_pylist() == [None] * 3


def test_expected_rmsds_are_those_of_each(results):
    assert expected_rmsds(results) == [each.expected_rmsd for each in results]


def test_crystals_are_written_one_by_one_among_molecules():
    salt = bulk("NaCl", "rocksalt", 5.64)
    rng = np.random.default_rng(1)
    some = [
        result(rng, 0),
        Result(salt, 0.1, 0.2, True, 3, "converged", np.ones(2), None),
        result(rng, 2),
    ]
    tell = lambda lost: None  # noqa: E731
    assert list(each_of(some, tell)) == [encoded(frame_of(each, tell)) for each in some]
