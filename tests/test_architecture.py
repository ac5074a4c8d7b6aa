"""The shape of the package: imports, the depth of calls, public names, documents, docstrings."""

import ast
import importlib
import importlib.util
import inspect
import json
import re
import sys
import tomllib
from dataclasses import fields
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from small_database import rattled, water_database

import losiko_torch
from losiko_torch import relax
from losiko_torch.relaxation.settings import Settings

ROOT = Path(__file__).parent.parent
PACKAGE = Path(losiko_torch.__file__).parent
#: Levels of packages, the whole counted as one.
MOST_LEVELS = 13
#: Calls from ``relax`` to a kernel, both counted.
MOST_CALLS = 10
#: Options of ``relax`` that stand together in a place by chance, at most.
BY_CHANCE = 2
#: Package whose functions have arguments of the same names: the degree of harmonics, a dtype.
OTHER_WORDS = PACKAGE / "descriptors"
#: Files that list options of ``relax``: a new option is written into no more of them.
MOST_LISTS = 3
#: Packages whose docstrings open with a verb or a noun.
CHECKED_DOCSTRINGS = ("losiko_torch", "kernels")
#: Words that open a sentence about nothing that is named.
VAGUE = """
    Those Of With What It Its Where That They Which How Whether As Same
    One Some None If From To For In
""".split()  # noqa: SIM905

#: Public names of version 0.1, which stay.
BEFORE = """
    ACSF SOAP Batch Descriptor EnvironmentDatabase InputError LosikoCalculator LosikoError Matches
    Result Score Stage StructureError annealed default_database near_plane read_structures relax
    relax_iter score within
""".split()  # noqa: SIM905
SINCE = """
    Density Repulsion Tether Property LBFGS FIRE Adam GradientDescent NelderMead LocallyLinear
    Nearest AutogradTarget Target Term Optimizer rmsd bond_errors superposed
    fetch AverageKernel REMatchKernel Results Scores to_rdkit
""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def imports():
    """Modules that each module imports, those for types alone included."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("losiko_torch", cache_dir=None)
    return {
        module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules
    }


def package_of(module):
    return ".".join(module.split(".")[:2])


def by_package(imports):
    found = {}
    for module, others in imports.items():
        own = found.setdefault(package_of(module), set())
        own |= {package_of(other) for other in others} - {package_of(module)}
    return found


def test_no_circle_among_modules_and_packages(imports):
    assert len(imports) > 100
    for graph in (imports, by_package(imports)):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_a_circle_would_be_found():
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"c"}, "c": {"a"}}).prepare()


def test_nothing_imports_the_whole(imports):
    within = {module for module, others in imports.items() if "losiko_torch" in others}
    assert within == set()


def test_levels_are_few(imports):
    packages, levels = by_package(imports), {}
    for package in TopologicalSorter(packages).static_order():
        levels[package] = 1 + max((levels[other] for other in packages[package]), default=0)
    assert max(levels.values()) <= MOST_LEVELS, levels
    # The package itself, which offers the public names, counts too.
    assert "losiko_torch" in levels


def test_layers_hold(imports):
    """The layers of ``make lint`` hold, read from its contract."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = tool["contracts"]
    lines = [line.split(" | ") for line in contract["layers"]]
    level = {f"losiko_torch.{name}": k for k, line in enumerate(lines) for name in line}
    packages = by_package(imports)
    assert set(level) == set(packages) - {"losiko_torch"}
    above = [
        f"{package} imports {other}"
        for package, others in packages.items()
        for other in others
        if package != "losiko_torch" and level[other] <= level[package]
    ]
    assert above == []


def documented_calls():
    """Modules of the calls from ``relax`` to a kernel that docs/architecture.md lists."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.split("| call | in | does |")[1].split("\n\n")[0]
    return re.findall(r"^\| `([\w.]+)` \| `([\w.]+)`", table, re.MULTILINE)


def test_few_calls_lie_between_relax_and_a_kernel(monkeypatch):
    kernels = pytest.importorskip("losiko_kernels.cpu")
    expand_density, stacks = kernels.expand_density, []

    def watched(*arguments):
        frame, stack = sys._getframe(1), []
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(PACKAGE):
                module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
                stack.append((frame.f_code.co_name, module))
                if frame.f_code is inspect.unwrap(relax).__code__:
                    break
            frame = frame.f_back
        stacks.append(stack[::-1])
        return expand_density(*arguments)

    monkeypatch.setattr(kernels, "expand_density", watched)
    relax(rattled("H2O"), water_database(), max_steps=3)
    in_the_loop = [stack for stack in stacks if "advance" in dict(stack)]
    assert in_the_loop
    assert {stack[0][0] for stack in in_the_loop} == {"relax"}
    longest = max(in_the_loop, key=len)
    assert len(longest) + 1 <= MOST_CALLS, longest
    # The page on the architecture names them, in order.
    documented = [module for _, module in documented_calls()]
    assert documented == [*(module for _, module in longest), "losiko_kernels.cpu"]


def option_lists(path):
    """Names of options of ``relax`` listed together in a place of a file, by the place's line."""
    options = {each.name for each in fields(Settings)}
    found = {}
    for node in ast.walk(ast.parse(path.read_text())):
        names = set()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            names = {each.arg for each in every}
        elif isinstance(node, ast.Call):
            names = {each.arg for each in node.keywords}
        elif isinstance(node, ast.Dict):
            names = {getattr(key, "value", None) for key in node.keys}
        elif isinstance(node, ast.ClassDef):
            assigned = [each for each in node.body if isinstance(each, ast.AnnAssign)]
            names = {getattr(each.target, "id", None) for each in assigned}
        if names & options:
            found[node.lineno] = sorted(names & options)
    return found


def test_options_are_listed_in_few_places():
    lists = {
        str(path.relative_to(ROOT)): option_lists(path)
        for path in sorted(PACKAGE.rglob("*.py"))
        if OTHER_WORDS not in path.parents
    }
    places = {
        name: line
        for name, found in lists.items()
        for line, names in found.items()
        if len(names) > BY_CHANCE
    }
    # The settings themselves are among what is counted.
    assert {"losiko_torch/relaxation/settings.py", "losiko_torch/loss/settings.py"} < set(places)
    assert len(places) <= MOST_LISTS, places


@pytest.mark.parametrize("name", [*BEFORE, *SINCE, "__version__"])
def test_public_names_stay(name):
    assert hasattr(losiko_torch, name)
    assert name in losiko_torch.__all__


def test_every_public_name_is_told_about_here():
    assert set(losiko_torch.__all__) == {*BEFORE, *SINCE, "__version__"}


def python_of_documents():
    """Python of README, the pages for contributors and the notebooks, by where it stands."""
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]:
        blocks = re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL)
        yield from ((f"{path.relative_to(ROOT)} {k}", text) for k, text in enumerate(blocks))
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        for k, cell in enumerate(json.loads(path.read_text())["cells"]):
            if cell["cell_type"] == "code":
                lines = "".join(cell["source"]).splitlines()
                kept = [line for line in lines if not line.lstrip().startswith(("%", "!"))]
                yield f"{path.relative_to(ROOT)} {k}", "\n".join(kept)


def imported_names():
    for place, text in python_of_documents():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "losiko_torch":
                yield from ((place, node.module, each.name) for each in node.names)


def test_what_documents_import_is_there():
    found = set(imported_names())
    assert {place.split()[0] for place, *_ in found} >= {"README.md", "notebooks/01_water.ipynb"}
    for place, module, name in sorted(found):
        if module == "losiko_torch.torchsim" and importlib.util.find_spec("torch_sim") is None:
            continue
        imported = importlib.import_module(module)
        if not hasattr(imported, name):
            assert importlib.util.find_spec(f"{module}.{name}") is not None, f"{place}: {name}"


@pytest.fixture(scope="module")
def architecture():
    path = ROOT / "docs" / "architecture.md"
    if not path.exists():
        pytest.skip("docs/architecture.md is not written yet")
    return path.read_text()


def exists(name):
    """Return whether a dotted name is a module, or an attribute of one."""
    module, _, attribute = name.rpartition(".")
    try:
        if importlib.util.find_spec(name) is not None:
            return True
    except ModuleNotFoundError:
        pass
    return bool(module) and hasattr(importlib.import_module(module), attribute)


def test_the_architecture_names_what_is_there(architecture):
    paths = set(re.findall(r"(?:losiko_torch|kernels)/[\w/.]*\w/?", architecture))
    assert len(paths) >= 10
    missing = [path for path in sorted(paths) if not (ROOT / path).exists()]
    modules = set(re.findall(r"losiko_(?:torch|kernels)(?:\.\w+)+", architecture))
    assert len(modules) >= 10
    assert missing + [name for name in sorted(modules) if not exists(name)] == []


def test_the_architecture_names_every_package(architecture):
    for path in PACKAGE.iterdir():
        if (path / "__init__.py").exists():
            assert f"`losiko_torch/{path.name}/`" in architecture


def test_the_documented_calls_are_where_it_says(architecture):
    calls = documented_calls()
    assert len(calls) <= MOST_CALLS
    for name, module in calls:
        text = Path(importlib.util.find_spec(module).origin).read_text()
        called = name.rpartition(".")[2]
        there = hasattr(importlib.import_module(module), called)
        assert there or re.search(rf"^ +def {called}\(", text, re.M), f"{module} has no {name}"


def docstrings(folder):
    """First words of the docstrings of a folder's files, by where they stand."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            text = ast.get_docstring(node) if isinstance(node, kinds) else None
            if text:
                name = getattr(node, "name", "module")
                yield f"{path.relative_to(ROOT)}: {name}", text.split()[0].strip(".,:;")


@pytest.mark.parametrize("folder", CHECKED_DOCSTRINGS)
def test_docstrings_open_with_what_they_are_about(folder):
    found = list(docstrings(folder))
    assert len(found) >= 10
    assert [place for place, word in found if word in VAGUE] == []
