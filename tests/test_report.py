"""The numbers of a run's report, by hand."""

import numpy as np
import pytest
import small_database
import small_run
from ase.collections import g2
from small_run import failed, row, table

from losiko_torch.report import names as references
from losiko_torch.report.failures import grouped, left_out
from losiko_torch.report.names import References, references_of
from losiko_torch.report.summary import Counts, summarize, worst_first
from losiko_torch.report.usage import usage
from losiko_torch.report.wording import as_number

# --- numbers


def test_fates_and_spreads():
    rows = [row(k, n_steps=k, loss=0.1 * k, rmsd=0.01 * k if k else None) for k in range(11)]
    rows[3] |= {"reason": "max_steps", "converged": False}
    rows += [failed(11, "it has no atoms", n_steps=1000, rmsd=9.0)]
    summary = summarize(table(rows))
    assert (summary.total, summary.converged, summary.max_steps, summary.failed) == (12, 10, 1, 1)
    assert list(summary.spreads) == ["n_steps", "start_loss", "loss", "largest_distance", "rmsd"]
    steps = summary.spreads["n_steps"]
    assert steps.count == 11
    assert (steps.smallest, steps.low, steps.median, steps.high, steps.largest) == (0, 1, 5, 9, 10)
    assert steps.mean == 5
    assert summary.spreads["loss"].median == pytest.approx(0.5)
    # RMSDs of those rows that have one; failed structures do not count.
    assert summary.spreads["rmsd"].count == 10
    assert summary.spreads["rmsd"].largest == pytest.approx(0.1)


def test_a_loss_that_is_no_number_does_not_count():
    summary = summarize(table([row(0, start_loss=float("nan")), row(1), row(2)]))
    assert summary.spreads["start_loss"].count == 2
    assert summary.spreads["loss"].count == 3


def test_worst_and_best():
    distances = [0.3, 0.1, 0.5, 0.2, 0.5]
    rows = [row(k, largest_distance=d) for k, d in enumerate(distances)]
    rows.insert(1, failed(5, "it has no atoms"))
    summary = summarize(table(rows), worst=2, best=2)
    # Indices of rows, not numbers of structures; the first of equal ones is worse.
    assert summary.worst == [3, 5]
    assert summary.best == [2, 4]
    # A structure that is among the worst is not one of the best.
    few = summarize(table(rows), worst=4, best=3)
    assert few.worst == [3, 5, 0, 4]
    assert few.best == [2]
    assert summarize(table(rows), worst=9).best == []


def mixed_rows():
    """Rows of all reasons, with distances that are equal, and missing."""
    rows = [row(k, largest_distance=d, n_steps=k) for k, d in enumerate([0.3, 0.1, 0.5, 0.5])]
    rows[1] |= {"reason": "max_steps", "converged": False}
    rows += [failed(k, f"atom {k} is bad") for k in (4, 5)]
    return [*rows, row(6, largest_distance=None)]


def test_worst_first_are_failures_then_what_did_not_converge():
    order = worst_first(table(mixed_rows()))
    assert order.tolist() == [4, 5, 1, 2, 3, 0, 6]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_counts_do_not_depend_on_the_pieces(size):
    whole = summarize(table(mixed_rows()))
    counts = Counts()
    for batch in table(mixed_rows()).to_batches(max_chunksize=size):
        counts.add(batch)
    assert counts.summary(whole.worst, whole.best) == whole
    assert whole.line == "4 converged, 1 at the step limit, 2 failed"
    (group,) = whole.failures
    assert group.line == "in.xyz@4, in.xyz@5: atom … is bad"
    assert list(Counts(["rmsd"]).summary().spreads) == []


def test_nothing_and_failures_only():
    for rows in ([], [failed(0, "it has no atoms")]):
        summary = summarize(table(rows))
        assert (summary.total, summary.failed) == (len(rows), len(rows))
        assert summary.spreads == {}
        assert summary.worst == summary.best == []
        assert usage(table(rows), References.unknown("gone")).atoms == 0


def test_failures_that_differ_in_numbers_are_one_group():
    reasons = [
        "it has no atoms",
        "atoms 0 and 1 lie within 0.01 A of each other",
        "the database has no environment of Si (it has H, C)",
        "atoms 12 and 1 lie within 0.01 A of each other",
        "the database has no environment of S (it has H, C)",
        "weight is -1e-05 for atom 3",
        "weight is 2 for atom 3",
        "atoms 7 and 1 lie within 0.01 A of each other",
    ]
    groups = grouped((f"in.xyz@{k}", reason) for k, reason in enumerate(reasons))
    assert [(each.reason, each.count) for each in groups] == [
        ("atoms … and 1 lie within 0.01 A of each other", 3),
        ("weight is … for atom 3", 2),
        ("it has no atoms", 1),
        ("the database has no environment of Si (it has H, C)", 1),
        ("the database has no environment of S (it has H, C)", 1),
    ]
    assert groups[0].sources == ["in.xyz@1", "in.xyz@3", "in.xyz@7"]
    assert left_out(groups, 3) == "and 2 more for 2 other reasons"
    assert left_out(groups, 5) == ""
    (many,) = grouped((str(k), f"atom {k} is bad") for k in range(100))
    assert (many.count, len(many.sources)) == (100, 5)
    assert many.line == "0, 1, 2, 3, 4 and 95 more: atom … is bad"
    # A reason may have the sign that stands for numbers.
    (group,) = grouped([("a", "frame … of 2"), ("b", "frame 7 of 2")])
    assert group.reason == "frame … of 2"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (12.0, "12"), (0.012345, "0.0123"), (1234.5, "1,234"), (1.2e-5, "1.20e-05")],
)
def test_numbers_as_text(value, text):
    assert as_number(value) == text


# --- references


def ethanol_run():
    """Rows whose atoms are nearest to atoms of methanol and water of the small database."""
    methanol, water = (small_database.NAMES.index(name) for name in ("CH3OH", "H2O"))
    carbon = next(k for k, s in enumerate(g2["CH3OH"].symbols) if s == "C")
    oxygen = next(k for k, s in enumerate(g2["CH3OH"].symbols) if s == "O")
    rows = [
        row(0, nearest_structure=[methanol] * 3, nearest_atom=[carbon, carbon, oxygen]),
        failed(1, "it has no atoms"),
        row(2, nearest_structure=[water, methanol, -1], nearest_atom=[0, carbon, -1]),
    ]
    return table(rows), methanol, water


def test_usage():
    rows, methanol, water = ethanol_run()
    database = small_database.database()
    used = usage(rows, References.of(database))
    assert (used.atoms, used.structures, used.environments) == (5, 2, 3)
    assert used.available == (len(small_database.NAMES), len(database))
    first, second = used.most
    assert (first.structure, first.atoms, first.elements) == (methanol, 4, {"C": 3, "O": 1})
    assert (second.structure, second.atoms, second.elements) == (water, 1, {"O": 1})
    assert first.name == f"structure {methanol} (CH4O)"
    assert len(usage(rows, References.of(database), most=1).most) == 1
    assert used.line.startswith("5 atoms are nearest to 3 of ")


def test_every_environment_has_its_element():
    known = References.of(small_database.database())
    for number, name in enumerate(small_database.NAMES):
        places = np.arange(len(g2[name]))
        found = known.elements(np.full(len(places), number), places)
        assert (found == g2[name].numbers).all()
    assert known.elements(np.array([0, 999]), np.array([77, 0])).tolist() == [0, 0]
    assert known.environments(np.array([2, -1]), np.array([0, -1])) == [
        "O0 of structure 2 (H2O)",
        "none",
    ]


def test_database_of_a_run(tmp_path, monkeypatch):
    rows, methanol, _ = ethanol_run()
    path = tmp_path / "db.losiko"
    small_database.database().save(path)
    record = small_run.RECORD | {"database": str(path)}
    assert references_of(record, rows).name(methanol) == f"structure {methanol} (CH4O)"
    # Another database in its place would give wrong names.
    small_database.water_database().save(path, overwrite=True)
    other = references_of(record, rows)
    assert "no longer the database" in other.note
    assert other.name(methanol) == f"structure {methanol}"
    assert usage(rows, other).most[0].elements == {}
    assert usage(rows, other).available is None
    path.unlink()
    assert "db.losiko" in references_of(record, rows).note
    assert other.environments(np.array([3]), np.array([1])) == ["atom 1 of structure 3"]
    monkeypatch.setattr(references, "builtin_database", lambda name: small_database.database())
    assert references_of(small_run.RECORD, rows).note == ""
    old = references_of(small_run.RECORD | {"version": "0.0.1"}, rows)
    assert "losiko 0.0.1" in old.note
    assert old.records is None
