"""Tests of the package with the lowest or the newest versions that pyproject.toml declares.

    python scripts/check_versions.py lowest ../lowest
    python scripts/check_versions.py newest ../newest tests/test_cli.py tests/test_formats.py
    python scripts/check_versions.py lowest ../lowest --extra ray --extra lmdb tests
    python scripts/check_versions.py newest ../newest --python python3.13 --without torch

makes an environment in a new folder, or goes on with the one that is there, installs the package
into it with the extras that most tests need and those of ``--extra``, and runs test files or
folders (without any, those of ``FILES``); tests of what is not installed are skipped. Lowest are
direct dependencies at their floor, and of all else the newest that goes with them: ``files`` and
``torchsim`` bring pymatgen, whose floor lifts those of SciPy and Matplotlib.

torch alone stands outside of this: its lowest version would bring gigabytes of libraries for GPUs.
It is taken as pip finds it under the constraint of ``--torch``. ``--without torch`` leaves it out,
for a Python that has no build of it for processors alone; then only what answers at once is tested
(``losiko --help``, and the import of the package).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Extras whose floors are always tested, and what runs the tests.
EXTRAS = ("cpu", "runs", "map")
#: They have floors too, among the package's extra ``test``.
TOOLS = ("pytest", "pytest-xdist", "hypothesis", "dscribe")
#: Test files that touch the dependencies most.
FILES = (
    *("test_first_answers", "test_cli", "test_cli_files", "test_formats", "test_files_written"),
    *("test_files_read", "test_runs", "test_report", "test_report_page", "test_environment_map"),
    *("test_writing", "test_records", "test_calculator", "test_neighbors", "test_database"),
)
HELP = """
import losiko_torch, sys
from losiko_torch.cli import main
try:
    main(["--help"])
except SystemExit as end:
    sys.exit(end.code)
"""


def requirements(extras: Sequence[str], without: Sequence[str]) -> list[str]:
    """Return what the package declares, extras and tools included, but for some names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = list(project["dependencies"])
    optional = project["optional-dependencies"]
    for extra in extras:
        declared += optional[extra]
    declared += [each for each in optional["test"] if name_of(each) in TOOLS]
    return [each for each in declared if name_of(each) not in without]


def name_of(requirement: str) -> str:
    """Return the name of a requirement such as "numba>=0.60; python_version < '3.15'"."""
    return requirement.split(";")[0].split(">")[0].split("<")[0].split("=")[0].split("[")[0].strip()


def run(*command: str | Path, **options) -> None:
    """Run a command, show it, and end with its status where it fails."""
    shown = " ".join(map(str, command))
    print("$", shown if len(shown) < 300 else f"{shown[:300]} ...", flush=True)
    done = subprocess.run([str(each) for each in command], check=False, **options)
    if done.returncode:
        sys.exit(done.returncode)


def install(
    python: Path, kind: str, extras: Sequence[str], torch: str, without: Sequence[str]
) -> None:
    """Install torch, the dependencies in the versions asked for, and the package itself."""
    run(python, "-m", "pip", "install", "--quiet", "uv")
    skipped = ("torch", *without)
    if "torch" not in without:
        run(python, "-m", "pip", "install", "--quiet", torch)
    resolution = "lowest-direct" if kind == "lowest" else "highest"
    wanted = requirements(extras, skipped)
    uv = (python, "-m", "uv", "pip", "install", "--quiet", "--python", python)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(wanted) + "\n")
        file.flush()
        # What torch depends on is there, in versions of torch's choice, which a floor may lower.
        run(*uv, "--no-python-downloads", "--resolution", resolution, "--upgrade", "-r", file.name)
    run(*uv, "--no-deps", "--reinstall", ROOT)


def versions(python: Path, extras: Sequence[str]) -> str:
    """Return the installed versions of what the package declares, as one line."""
    names = sorted({name_of(each) for each in requirements(extras, ())})
    code = (
        "import sys\nfrom importlib.metadata import PackageNotFoundError, version\n"
        "found = []\n"
        f"for name in {names!r}:\n"
        "    try:\n        found.append(f'{name} {version(name)}')\n"
        "    except PackageNotFoundError:\n        pass\n"
        "print(f'Python {sys.version.split()[0]};', ', '.join(found))"
    )
    return subprocess.check_output([str(python), "-c", code], text=True).strip()


def main() -> None:
    """Read the command line, install, test, and print the versions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("kind", choices=("lowest", "newest"))
    parser.add_argument("folder", type=Path, help="folder of the environment")
    parser.add_argument("files", nargs="*", help="test files or folders; without any, FILES")
    parser.add_argument("--extra", action="append", default=[], metavar="NAME")
    parser.add_argument("--python", help="interpreter; without one, that which runs this")
    parser.add_argument("--torch", default="torch", help="requirement for torch: torch==2.13.0")
    parser.add_argument("--without", action="append", default=[], metavar="NAME")
    given = parser.parse_intermixed_args()
    # Where an interpreter is a link, an environment finds its own way by the place of the link.
    python = given.folder.absolute() / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        if given.python:
            run(given.python, "-m", "venv", given.folder)
        else:
            venv.create(given.folder, with_pip=True)
    extras = (*EXTRAS, *given.extra)
    install(python, given.kind, extras, given.torch, given.without)
    print(versions(python, extras), flush=True)
    if "torch" in given.without:
        run(python, "-c", HELP)
        return
    files = given.files or [str(ROOT / "tests" / f"{name}.py") for name in FILES]
    # The sources are tested, kernels included, with what is installed.
    sources = os.pathsep.join(map(str, (ROOT, ROOT / "kernels")))
    command = (python, "-m", "pytest", "-q", "-rs", "-o", "addopts=", *files)
    run(*command, cwd=ROOT, env={**os.environ, "PYTHONPATH": sources})


if __name__ == "__main__":
    main()
