"""Installations: the sdist runs its tests, a wheel runs what README shows first, metadata agree."""

import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import ase.io
import pytest
from ase.build import molecule

import losiko_torch

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: Test files that the sdist runs here: quick ones, for which no kernel is compiled.
SOME = ("test_geometry.py", "test_harmonics.py", "test_neighbors.py")
BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""


def built(kind, folder):
    """Build an sdist or a wheel from a copy of the sources; skip where that is impossible."""
    if not importlib.util.find_spec("setuptools"):
        pytest.skip("setuptools is not installed: nothing can be built")
    source = folder / "source"
    if not source.exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if listed.returncode:
            pytest.skip("no repository: which files belong to the sources is not known")
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                (source / name).write_bytes((ROOT / name).read_bytes())
    done = run(sys.executable, "-c", BUILD, f"build_{kind}", folder, cwd=source)
    return folder / done.splitlines()[-1]


def run(*command, cwd, **environment):
    """Run a command without the folders that this process imports from; return what it prints."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env={**kept, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("built")


@pytest.fixture(scope="module")
def sdist(folder):
    return built("sdist", folder)


@pytest.fixture(scope="module")
def wheel(folder):
    return built("wheel", folder)


def test_a_wheel_holds_the_packages_and_their_data_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"losiko_torch", "losiko_kernels"}
    kinds = (".py", ".npz", ".safetensors", ".html", ".css", ".js", ".json", ".typed")
    for path in (ROOT / "losiko_torch").rglob("*"):
        if path.suffix in kinds or path.name == "py.typed":
            assert path.relative_to(ROOT).as_posix() in names
    (metadata,) = (name for name in names if name.endswith("METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    for line in ("Project-URL: Source, https://", "Classifier: Typing :: Typed", "Author: "):
        assert f"\n{line}" in text
    assert "\nProvides-Extra: cpu\n" in text


def test_a_wheel_in_an_empty_environment_runs_the_first_screen_of_readme(wheel, tmp_path):
    """The environment has the wheel alone; what it depends on is lent by that of the tests."""
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    (packages,) = (environment / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    # A file of paths in an environment comes behind the environment's own packages.
    lent = [each for each in sys.path if each.endswith("site-packages")]
    (packages / "lent.pth").write_text("\n".join(lent) + "\n")
    where = run(python, "-c", "import losiko_torch; print(losiko_torch.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(environment)

    readme = (ROOT / "README.md").read_text()
    (command,) = re.findall(r"^losiko (relax distorted\.xyz .*?) +#", readme, re.MULTILINE)
    block = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    distorted = molecule("CH3CH2OH")
    distorted.rattle(0.1, seed=1)
    ase.io.write(tmp_path / "distorted.xyz", distorted)
    program = "from losiko_torch.cli import main; main()"
    kernels = {"NUMBA_CACHE_DIR": os.environ["NUMBA_CACHE_DIR"]}
    shown = run(python, "-c", program, *command.split(), cwd=tmp_path, **kernels)
    assert "1 of 1 reliable" in shown
    assert (tmp_path / "relaxed.extxyz").exists()
    first = run(python, "-c", block, cwd=tmp_path, **kernels).splitlines()[0]
    assert first.startswith("Results(2 structures: 2 converged")


def test_the_sdist_runs_its_tests(sdist, tmp_path):
    with tarfile.open(sdist) as file:
        file.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    assert root.name == f"losiko_torch-{losiko_torch.__version__}"
    for name in ("docs/map.png", "tests/data/database_0_1.losiko", "notebooks/cases/data.py"):
        assert (root / name).exists(), name
    assert {path.name for path in root.glob("tests/*.py")} == {
        path.name for path in ROOT.glob("tests/*.py")
    }
    files = [f"tests/{name}" for name in SOME]
    path = os.pathsep.join([str(root), str(root / "kernels")])
    shown = run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files),
        cwd=root,
        PYTHONPATH=path,
    )
    assert re.search(r"\[100%\]", shown)


def test_citation_and_recipe_are_of_this_version_and_these_dependencies():
    version = losiko_torch.__version__
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {version}\n" in citation
    readme = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    paper = "Accessing and driving atomic structures of molecules, crystals, and complex systems"
    assert paper in readme
    assert paper in re.sub(r"\s+", " ", citation)
    recipe = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text()
    assert f"\n  version: {version}\n" in recipe
    for requirement in PROJECT["dependencies"]:
        name, floor = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()
        name = "pytorch" if name == "torch" else name
        assert f"- {name} >={floor}\n" in recipe


def test_the_workflow_runs_every_python_that_is_declared():
    found = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    text = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    assert f"python: [{', '.join(map(repr, found))}]".replace("'", '"') in text
    assert PROJECT["requires-python"] == f">={found[0]}"


def test_cpu_is_an_extra_still_and_kernels_are_no_extra():
    assert {"cpu", "gpu", "runs", "map"} <= set(PROJECT["optional-dependencies"])
    assert any(each.startswith("numba") for each in PROJECT["dependencies"])
    assert not any(each.startswith("pyarrow") for each in PROJECT["dependencies"])
