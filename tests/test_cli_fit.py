"""``losiko fit`` and ``losiko build --fit``: what is written, what goes on, what is refused."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import ase.io
import numpy as np
import pyarrow.parquet as pq
import pytest
import small_learned
import torch
from ase.build import molecule
from test_cli import contents, distorted, losiko  # noqa: F401

from losiko_torch import SOAP, EnvironmentDatabase, relax
from losiko_torch.cli import fit as command
from losiko_torch.io.labels import labelled, results_of
from losiko_torch.learned import expected_error, fitting
from losiko_torch.learned import fit as learned_fit
from losiko_torch.report.packing import unpacked
from losiko_torch.runs.folder import RunFolder

GOOD = """
    CH3CH2OH CH3OCH3 C2H6 CH3OH HCOOH CH3CHO C2H4 CH3COCH3 C3H8 trans-butane isobutane
    bicyclobutane CH3COOH
""".split()  # noqa: SIM905
TINY = ["--n-max", "3", "--l-max", "2"]
FIT = ["--steps", "12"]


@pytest.fixture(scope="module", autouse=True)
def often():
    """What is done of a fit is kept every five steps, and those are of few atoms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned_fit, "LOOK", 5)
        patch.setattr(fitting, "ATOMS", small_learned.ATOMS)
        patch.setattr(expected_error, "STEPS", small_learned.STEPS)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder with structures, their database, and the same with learned targets."""
    folder = tmp_path_factory.mktemp("fit")
    ase.io.write(folder / "good.extxyz", [molecule(name) for name in GOOD])
    database = built([molecule(name) for name in GOOD])
    database.save(folder / "plain.losiko")
    database.fit(steps=12).save(folder / "fitted.losiko")
    return folder


def built(structures, species=("H", "C", "O")):
    soap = SOAP(species=species, r_cut=3.0, n_max=3, l_max=2, sigma=0.3)
    return EnvironmentDatabase.build(structures, soap)


@pytest.fixture
def db(made, tmp_path):
    """A copy of the database without learned targets, in the folder of the test."""
    path = tmp_path / "db.losiko"
    path.write_bytes((made / "plain.losiko").read_bytes())
    return path


@contextmanager
def stopping(what):
    """Let the seventh step of a fit be the last."""

    def show(done, total, text):
        assert text.startswith(what)
        if done == 7:
            raise KeyboardInterrupt

    yield show


# --- fit


def test_fit_replaces_the_database(losiko, made, db):  # noqa: F811
    assert losiko("fit", "db.losiko", *FIT) == 0
    assert losiko.err == ""
    assert "fitted to 11 structures in 12 steps, 2 held out; 2 members" in losiko.out
    assert "relative to no pull" in losiko.out
    assert losiko.out.splitlines()[-1] == "written to db.losiko"
    assert os.listdir() == ["db.losiko"]
    assert db.read_bytes() == (made / "fitted.losiko").read_bytes()


def test_fit_into_another_file_with_another_seed(losiko, made, db):  # noqa: F811
    before = db.read_bytes()
    assert losiko("fit", "db.losiko", "-o", "out.losiko", "--seed", 3, *FIT) == 0
    assert db.read_bytes() == before
    assert sorted(os.listdir()) == ["db.losiko", "out.losiko"]
    info = EnvironmentDatabase.load("out.losiko").learned.info
    assert (info["seed"], info["steps"]) == (3, 12)
    assert "exists already" in losiko.refuses("fit", "db.losiko", "-o", "out.losiko", *FIT)
    assert losiko("fit", "db.losiko", "-o", "out.losiko", "--force", *FIT) == 0
    assert EnvironmentDatabase.load("out.losiko").learned.info["seed"] == 0


def test_fit_on_a_device(losiko, made, db):  # noqa: F811
    assert "'nowhere' cannot be used" in losiko.refuses(
        "fit", "db.losiko", "--device", "nowhere", *FIT
    )
    assert os.listdir() == ["db.losiko"]
    assert losiko("fit", "db.losiko", "--device", "cpu", *FIT) == 0
    assert db.read_bytes() == (made / "fitted.losiko").read_bytes()


def test_fit_for_some_time(losiko, db, monkeypatch):  # noqa: F811
    monkeypatch.setattr(learned_fit, "TRIAL", 3)
    assert losiko("fit", "db.losiko", "--minutes", "1e-6") == 0
    assert EnvironmentDatabase.load(db).learned.info["steps"] == 3


def test_fit_begins_with_others(losiko, made, db):  # noqa: F811
    start = made / "fitted.losiko"
    assert losiko("fit", "db.losiko", "--start", start, *FIT) == 0
    database, other = EnvironmentDatabase.load(db), EnvironmentDatabase.load(start)
    assert database.learned.info["error_before"] < other.learned.info["error_before"]
    # Its own targets are a start too.
    assert losiko("fit", "db.losiko", "--start", "db.losiko", *FIT) == 0


def test_interrupted_fit_goes_on(losiko, made, db, monkeypatch):  # noqa: F811
    before = db.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(command, "steps_progress", stopping)
        assert losiko("fit", "db.losiko", *FIT) == 130
    assert losiko.err == "losiko: error: interrupted\n"
    assert db.read_bytes() == before
    sentence = losiko.refuses("fit", "db.losiko", "--steps", 20)
    assert "db.losiko.fit" in sentence
    assert "remove it" in sentence
    assert losiko("fit", "db.losiko", *FIT) == 0
    assert losiko.err == "losiko: going on with what db.losiko.fit holds\n"
    assert os.listdir() == ["db.losiko"]
    assert db.read_bytes() == (made / "fitted.losiko").read_bytes()


KILLED = """
import os, signal
from contextlib import contextmanager
from losiko_torch.cli import fit as command, main
from losiko_torch.learned import expected_error, fit as learned_fit, fitting
from small_learned import ATOMS, STEPS

@contextmanager
def killed(what):
    yield lambda done, total, text: done == 7 and os.kill(os.getpid(), signal.SIGKILL)

command.steps_progress, learned_fit.LOOK = killed, 5
fitting.ATOMS, expected_error.STEPS = ATOMS, STEPS
main(["fit", "db.losiko", "--steps", "12"])
"""


def test_killed_fit_goes_on(losiko, made, db):  # noqa: F811
    before = db.read_bytes()
    environment = os.environ | {
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment)
    assert done.returncode == -signal.SIGKILL
    assert db.read_bytes() == before
    assert losiko("fit", "db.losiko", *FIT) == 0
    assert losiko.err == "losiko: going on with what db.losiko.fit holds\n"
    assert db.read_bytes() == (made / "fitted.losiko").read_bytes()


# --- build --fit


def test_build_and_fit(losiko, made, monkeypatch):  # noqa: F811
    build = ("build", made / "good.extxyz", "-o", "both.losiko", *TINY, "--fit")
    monkeypatch.setattr(learned_fit, "usual_steps", lambda count: 12)
    with monkeypatch.context() as patch:
        patch.setattr(command, "steps_progress", stopping)
        assert losiko(*build) == 130
    assert os.listdir() == ["both.losiko.fit"]
    assert losiko(*build) == 0
    assert losiko.err == "losiko: going on with what both.losiko.fit holds\n"
    assert "learned targets" in losiko.out
    assert os.listdir() == ["both.losiko"]
    # One after the other they do the same.
    assert losiko("build", made / "good.extxyz", "-o", "db.losiko", *TINY) == 0
    assert losiko("fit", "db.losiko") == 0
    whole, other = contents(losiko.folder).values()
    assert whole == other


def test_build_refuses_a_time_without_a_fit(losiko, made):  # noqa: F811
    build = ("build", made / "good.extxyz", "-o", "db.losiko", *TINY)
    assert "give --fit too" in losiko.refuses(*build, "--minutes", 1)
    assert "--minutes must be positive" in losiko.refuses(*build, "--fit", "--minutes", 0)


def test_build_and_fit_of_too_few(losiko):  # noqa: F811
    ase.io.write("good.extxyz", [molecule("CH3OH"), molecule("H2O")])
    sentence = losiko.refuses("build", "good.extxyz", "-o", "db.losiko", *TINY, "--fit")
    assert "too few" in sentence


# --- info, relax, report


def test_info(losiko, made, db):  # noqa: F811
    assert losiko("info", "db.losiko") == 0
    assert "learned targets  none: losiko fit adds them" in losiko.out
    assert losiko("info", made / "fitted.losiko") == 0
    database = EnvironmentDatabase.load(made / "fitted.losiko")
    info = database.learned.info
    assert "fitted to 11 structures in 12 steps, 2 held out; 2 members" in losiko.out
    assert f"relative to no pull: {info['error']:.3g} ({info['error_before']:.3g} before)" in (
        losiko.out
    )
    errors = info["calibration"]["errors"]
    assert f"{errors[0]:.2g} A at best, {errors[-1]:.2g} A at worst" in losiko.out
    assert f"rare elements (atoms): C ({info['rare']['C']})" in losiko.out


def test_info_of_other_databases(losiko, made):  # noqa: F811
    database = EnvironmentDatabase.load(made / "fitted.losiko")
    database.learned.info.clear()
    database.save("bare.losiko")
    assert losiko("info", "bare.losiko") == 0
    assert "learned targets  2 members" in losiko.out
    assert "unknown, as too few atoms were held out" in losiko.out
    database.fitted["learned"]["info"] = None
    database.save("damaged.losiko")
    assert losiko("info", "damaged.losiko") == 0
    assert "learned targets  its learned targets are damaged: fit them again" in losiko.out
    without_structures(made).save("before.losiko")
    assert losiko("info", "before.losiko") == 0
    assert "learned targets  none: no structures are kept" in losiko.out


def without_structures(made):
    database = EnvironmentDatabase.load(made / "plain.losiko")
    object.__setattr__(database, "geometries", None)
    return database


@pytest.fixture(scope="module")
def relaxed(made):
    """Two structures of which the second fails, and what is expected of them."""
    structures = [distorted("CH3CH2OH"), molecule("SiH4")]
    ase.io.write(made / "in.extxyz", structures)
    return relax(structures, EnvironmentDatabase.load(made / "fitted.losiko"), max_steps=20)


def test_relax_tells_what_to_expect(losiko, made, relaxed):  # noqa: F811
    (expected, _), source = relaxed, made / "in.extxyz"
    with_learned = ("relax", source, "-d", made / "fitted.losiko", "--max-steps", 20)
    assert losiko(*with_learned, "-o", "out.extxyz") == 1
    assert "RMSD (A)" in losiko.out
    mean = expected.expected_rmsd
    assert f"expected RMSD: {mean:.3f} A on average, {mean:.3f} A at most" in losiko.out
    good, bad = ase.io.read("out.extxyz", index=":")
    assert good.info["losiko_expected_rmsd"] == pytest.approx(mean, rel=2e-3)
    error = good.arrays["losiko_expected_error"]
    np.testing.assert_allclose(error, expected.expected_error, rtol=2e-3)
    assert "losiko_expected_rmsd" not in bad.info
    assert "losiko_expected_error" not in bad.arrays
    assert losiko(*with_learned, "-o", "out.parquet") == 1
    column = pq.read_table("out.parquet")["expected_rmsd"].to_pylist()
    assert column == [pytest.approx(mean, rel=2e-3), None]
    # Other targets expect nothing, and leave nothing of what was expected before.
    again = ("relax", "out.extxyz", "-d", made / "plain.losiko", "--max-steps", 3)
    assert losiko(*again, "-o", "again.extxyz") == 1
    assert "xpected" not in losiko.out
    assert "losiko_expected_rmsd" not in ase.io.read("again.extxyz", index=0).info
    assert "losiko_expected_error" not in ase.io.read("again.extxyz", index=0).arrays


def test_report_tells_what_to_expect(losiko, made, relaxed):  # noqa: F811
    with_learned = ("-d", made / "fitted.losiko", "--max-steps", 20)
    assert losiko("relax", made / "in.extxyz", *with_learned, "--run", "run") == 1
    assert "expected RMSD: " in losiko.out
    run = RunFolder.open("run")
    ((back, failed),) = results_of(run.structures_file, run.table_file)
    np.testing.assert_allclose(back.expected_error, relaxed[0].expected_error, rtol=2e-3)
    assert back.expected_rmsd == pytest.approx(relaxed[0].expected_rmsd, rel=2e-3)
    assert failed.expected_rmsd is None
    assert not any("expected" in key for key in [*back.atoms.info, *back.atoms.arrays])
    assert labelled(back).info["losiko_expected_rmsd"] == pytest.approx(back.expected_rmsd)
    assert losiko("report", "run") == 0
    assert "expected RMSD (Å)" in losiko.out
    page = (run.path / "report.html").read_text()
    (script,) = re.findall(r'<script[^>]* id="listing"[^>]*>(.*?)</script>', page, re.DOTALL)
    told = json.loads(unpacked(script))["expected_rmsd"]
    assert told == [pytest.approx(back.expected_rmsd, rel=2e-3), None]


# --- what is refused


def test_fit_refuses(losiko, made, db):  # noqa: F811
    without_structures(made).save("before.losiko")
    built([molecule("CH3OH"), molecule("H2O")]).save("few.losiko")
    hydrocarbons = [molecule(name) for name in GOOD if "O" not in name and "CHO" not in name]
    hydrocarbons += [molecule("CH4"), molecule("C2H2"), molecule("C6H6")]
    other = built(hydrocarbons, ["H", "C"]).fit(steps=2)
    other.save("others.losiko")
    for arguments, sentence in [
        (("before.losiko",), "the database keeps no structures"),
        (("few.losiko",), "2 structures of two atoms and more are too few"),
        (("no.losiko",), "no.losiko: no such database"),
        (("db.losiko", "--start", "no.losiko"), "no.losiko: no such database"),
        (("db.losiko", "--start", "few.losiko"), "few.losiko: carries no learned targets"),
        (("db.losiko", "--start", "others.losiko"), "know no O (they know H, C)"),
        (("db.losiko", "--minutes", 1, *FIT), "--minutes and --steps both say how long"),
        (("db.losiko", "--minutes", 0), "--minutes must be positive, not 0.0"),
        (("db.losiko", "--steps", 0), "--steps"),
        (("db.losiko", "--seed", -1), "--seed"),
        (("db.losiko", "-o", "few.losiko"), "few.losiko: exists already"),
        (("db.losiko", "-o", "db.losiko", "--force"), "leave out -o to replace it"),
        (("db.losiko", "-o", "no/out.losiko"), "there is no folder"),
        (
            ("db.losiko", "-o", "others.losiko", "--force", "--start", "others.losiko"),
            "others.losiko: is an input",
        ),
    ]:
        assert sentence in losiko.refuses("fit", *arguments)


def test_fit_refuses_what_is_no_unfinished_fit(losiko, db):  # noqa: F811
    db.with_name("db.losiko.fit").write_text("something else")
    assert "db.losiko.fit: no unfinished fit" in losiko.refuses("fit", "db.losiko", *FIT)


def test_help_of_fit(losiko):  # noqa: F811
    assert losiko("fit", "--help") == 0
    assert "Example" in losiko.out
    assert "losiko fit" in losiko.out
    assert losiko("--help") == 0
    assert "fit" in losiko.out
