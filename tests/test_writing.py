"""Writing: files return what was written, and are either whole or not there."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixBondLength
from ase.spacegroup import Spacegroup

from losiko_torch import read_structures
from losiko_torch.errors import InputError
from losiko_torch.io.atomic import check_output, replacing
from losiko_torch.io.formats.extxyz import writable
from losiko_torch.io.formats.registry import format_of
from losiko_torch.io.writers import result_file
from losiko_torch.results import Result


def result(atoms, reason="converged", loss=0.5):
    failed = reason.startswith("failed")
    distances = np.full(len(atoms), np.nan if failed else 0.25)
    loss = np.nan if failed else loss
    return Result(atoms, loss, loss, reason == "converged", 7, reason, distances, None)


def written(tmp_path, *results):
    path = tmp_path / "out.extxyz"
    with result_file(path) as add:
        add(results)
    return ase.io.read(path, index=":")


def test_numbers_of_a_result(tmp_path):
    (atoms,) = written(tmp_path, result(molecule("H2O")))
    assert atoms.info["losiko_loss"] == 0.5
    assert atoms.info["losiko_start_loss"] == 0.5
    assert atoms.info["losiko_converged"] is True
    assert atoms.info["losiko_steps"] == 7
    assert atoms.info["losiko_reason"] == "converged"
    np.testing.assert_array_equal(atoms.arrays["losiko_distance"], 0.25)


def test_order_and_count_with_failures_in_the_middle(tmp_path):
    nan = molecule("CH4")
    nan.positions[2] = np.nan
    reason = "failed: 'x', \"y\" = [1, 2] {z} back\\slash"
    flat = Atoms("C", cell=[3, 0, 0], pbc=True)
    inputs = [molecule("H2O"), nan, Atoms(), flat, Atoms(cell=[1, 2, 3], pbc=True), bulk("Si")]
    results = [
        result(atoms, "converged" if k in (0, 5) else reason) for k, atoms in enumerate(inputs)
    ]
    back = written(tmp_path, *results)
    assert len(back) == len(inputs)
    for atoms, old, one in zip(back, inputs, results, strict=True):
        np.testing.assert_array_equal(atoms.numbers, old.numbers)
        np.testing.assert_allclose(atoms.positions, old.positions, atol=1e-8)
        np.testing.assert_allclose(atoms.cell.array, old.cell.array)
        np.testing.assert_array_equal(atoms.pbc, old.pbc)
        assert atoms.info["losiko_reason"] == one.reason
        assert np.isnan(atoms.info["losiko_loss"]) == one.failed
        assert len(atoms.arrays["losiko_distance"]) == len(old)


def test_own_info_and_arrays_are_kept(tmp_path):
    atoms = molecule("H2O")
    atoms.info = {
        "smiles": "C/C=C\\C",
        "quotes": "a \"b\" 'c' [d] {e}",
        "number": 5,
        "like a number": "007",
        "like a bool": "T",
        "lines": "a\nb\tc",
        "nothing": None,
        "empty": "",
        "empty list": np.array([]),
        "vector": np.array([1.0, 2.0]),
        "matrix": np.arange(9.0).reshape(3, 3),
        "tree": {"a": [1, "x\\y"]},
        "flag": False,
        "losiko_loss": 99.0,
        "spacegroup": Spacegroup(225),
    }
    atoms.set_tags([1, 2, 3])
    atoms.new_array("label", np.array(["a", "bb", "ccc"]))
    atoms.new_array("count", np.array([1, 2, 3], dtype=np.uint8))
    atoms.new_array("force_like", np.arange(9.0).reshape(3, 3))
    (back,) = written(tmp_path, result(atoms))
    for key, value in atoms.info.items():
        expected = {"losiko_loss": 0.5, "spacegroup": "F m -3 m"}.get(key, value)
        np.testing.assert_equal(back.info[key], expected)
    for key in ("tags", "label", "count", "force_like"):
        np.testing.assert_array_equal(back.arrays[key], atoms.arrays[key])
    assert atoms.info["losiko_loss"] == 99.0


def test_what_cannot_be_written_is_told_and_hurts_nothing_else(tmp_path):
    atoms = molecule("H2O")
    atoms.info = {"object": object(), "a=b": 1, 5: 2, "Properties": "x", "good": 3}
    atoms.new_array("complex", np.ones(3, complex))
    atoms.new_array("cubes", np.ones((3, 2, 2)))
    atoms.new_array("spaced", np.array(["a b", "c", "d"]))
    atoms.set_constraint([FixAtoms([0]), FixBondLength(0, 1)])
    _, lost = writable(atoms)
    assert lost == ["info 'object'", "array 'complex'", "constraint FixBondLengths"]
    with pytest.warns(UserWarning, match="left out") as caught:
        written(tmp_path, result(atoms), result(atoms))
    # Once for the whole file.
    (told,) = [str(each.message) for each in caught]
    assert told == f"left out, as extended xyz cannot hold it: {', '.join(lost)}"
    back, again = read_structures(tmp_path / "out.extxyz")
    for key, value in {"good": 3, "a=b": 1, "5": 2, "Properties": "x"}.items():
        assert back.info[key] == again.info[key] == value
    assert back.arrays["spaced"].tolist() == ["a b", "c", "d"]
    np.testing.assert_array_equal(back.arrays["cubes"], 1.0)
    assert list(back.constraints[0].index) == [0]


def test_calculators_do_not_matter(tmp_path):
    atoms = molecule("H2O")
    atoms.info["energy"] = 1.0
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.zeros((3, 3)))
    (back,) = written(tmp_path, result(atoms))
    assert "forces" not in back.arrays
    assert back.info["losiko_reason"] == "converged"


def interrupt(path, error, overwrite=False):
    with replacing(path, overwrite) as file:
        file.write("half")
        raise error


def test_nothing_is_left_of_an_interrupted_write(tmp_path):
    for error in (KeyboardInterrupt, RuntimeError, SystemExit):
        with pytest.raises(error):
            interrupt(tmp_path / "out.xyz", error)
    assert list(tmp_path.iterdir()) == []


def test_old_file_survives_an_interrupted_overwrite(tmp_path):
    path = tmp_path / "out.xyz"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        interrupt(path, KeyboardInterrupt, overwrite=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def write_while_another_does(path, text):
    with replacing(path) as file:
        path.write_text("another's")
        file.write(text)


def test_file_that_comes_to_exist_in_the_meantime(tmp_path):
    path = tmp_path / "out.xyz"
    for name in ("out.1.xyz", "out.2.xyz"):
        sentence = f"exists by now and is left alone, the new one is .*{name}"
        with pytest.raises(InputError, match=sentence):
            write_while_another_does(path, name)
        assert path.read_text() == "another's"
        assert (tmp_path / name).read_text() == name
    assert len(list(tmp_path.iterdir())) == 3


def test_links_stay_links_and_modes_follow_the_umask(tmp_path):
    path, link = tmp_path / "real.xyz", tmp_path / "link.xyz"
    path.write_text("old")
    link.symlink_to(path)
    with replacing(link, overwrite=True) as file:
        file.write("new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def limited(tmp_path, code):
    """Run code in a process whose files may not grow beyond 4 kB."""
    text = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    text += "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n" + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False
    )


def test_full_disk(tmp_path):
    code = """
    from losiko_torch.io.atomic import replacing
    from losiko_torch.errors import InputError
    try:
        with replacing("out.xyz") as file:
            file.write("x" * 100_000)
    except InputError as error:
        print(error)
    """
    done = limited(tmp_path, code)
    assert "out.xyz: cannot be written (File too large)" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_checks_of_the_output(tmp_path, monkeypatch):
    data = tmp_path / "in.xyz"
    data.write_text("data")
    (tmp_path / "link.xyz").symlink_to(data)
    (tmp_path / "folder.xyz").mkdir()
    check_output(tmp_path / "new.xyz", [data])
    for name in ("in.xyz", "link.xyz", "folder.xyz/../in.xyz"):
        with pytest.raises(InputError, match="input"):
            check_output(tmp_path / name, [data], overwrite=True)
    with pytest.raises(InputError, match="exists already"):
        check_output(data)
    check_output(data, overwrite=True)
    with pytest.raises(InputError, match="a folder"):
        check_output(tmp_path / "folder.xyz", overwrite=True)
    with pytest.raises(InputError, match="no folder"):
        check_output(tmp_path / "missing" / "out.xyz")
    with pytest.raises(InputError, match="no folder"):
        check_output(data / "out.xyz")
    for name in ("out.new", "out", "out.xyz.gz"):
        with pytest.raises(InputError, match=r"results are written to \.extxyz.*: name it so"):
            format_of(tmp_path / name)
    assert format_of(tmp_path / "NEW.XYZ").name == "extxyz"
    assert format_of(tmp_path / "CONTCAR_2").name == "vasp"
    before = set(tmp_path.iterdir())

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(InputError, match=r"new\.xyz: cannot be written \(Permission denied\)"):
        check_output(tmp_path / "new.xyz")
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_while_writing_leave_nothing(tmp_path, number):
    code = f"""
    import os, signal, time
    import losiko_torch.cli.relax_run as command
    from losiko_torch import cli
    from ase.build import molecule
    import ase.io
    ase.io.write("in.xyz", molecule("H2O"))
    ase.io.write("good.xyz", molecule("H2O"))
    # A shell starts what runs in its background with interrupts ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rows_of = command.rows_of
    def interrupted(results):
        # Structures are written by now, to a file that is not there yet.
        os.kill(os.getpid(), {int(number)})
        time.sleep(0.5)
        return rows_of(results)
    command.rows_of = interrupted
    try:
        cli.main("build good.xyz -o db.losiko --n-max 2 --l-max 1".split())
    except SystemExit as end:
        assert not end.code
    cli.main("relax in.xyz -d db.losiko -o out.xyz".split())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 128 + number, done.stderr
    assert "Traceback" not in done.stderr
    names = sorted(path.name for path in Path(tmp_path).iterdir())
    assert names == ["db.losiko", "good.xyz", "in.xyz"]
