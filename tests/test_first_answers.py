"""What answers at once: the import of the package, help, completion, errors of usage."""

import ast
import inspect
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import typer

import losiko_torch
from losiko_torch.cli import faces
from losiko_torch.cli.app import app

#: Packages that take long to import, or that are extras.
LATE = (
    *("torch", "numpy", "ase", "scipy", "numba", "pyarrow", "matplotlib", "plotly"),
    "rich.markdown",
)
#: Prints which of the late ones were imported behind what was printed before.
IMPORTED = "\nprint(*[name for name in {late!r} if name in sys.modules], sep=',')"


def imported_by(code, *arguments):
    """Return the lines that code prints, and which late packages it imported."""
    program = f"import sys\n{textwrap.dedent(code)}{IMPORTED.format(late=LATE)}"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    *lines, found = done.stdout.splitlines()
    return lines, found


def test_the_package_is_imported_without_what_it_needs_later():
    assert imported_by("import losiko_torch")[1] == ""
    # Something needs torch: the list that is looked through is no empty one.
    assert "torch" in imported_by("from losiko_torch import SOAP")[1].split(",")


@pytest.mark.parametrize("command", ["", *faces.COMMANDS])
def test_help_imports_nothing_that_takes_long(command):
    code = """
    from losiko_torch.cli import main
    try:
        main([*sys.argv[1:], "--help"])
    except SystemExit as end:
        assert not end.code, end.code
    """
    lines, found = imported_by(code, *([command] if command else []))
    assert any("Usage" in line for line in lines)
    assert found == ""


def test_programs_beside_the_help_draw_markdown():
    code = """
    from losiko_torch.cli.quick_help import import_help
    import_help()
    assert "rich.markdown" not in sys.modules
    import typer
    from typer.testing import CliRunner
    app = typer.Typer(rich_markup_mode="markdown")
    app.command(help="Some **bold** words.")(lambda: None)
    print(CliRunner().invoke(app, ["--help"]).output)
    """
    lines, found = imported_by(code)
    assert any("Some bold words." in line for line in lines)
    assert "rich.markdown" in found.split(",")


def test_errors_of_usage_come_at_once():
    code = """
    from losiko_torch.cli import main
    try:
        main(["relax", "in.xyz", "--max-stepz", "3"])
    except SystemExit as end:
        assert end.code == 2, end.code
    """
    assert imported_by(code)[1] == ""


def test_completion_imports_nothing_that_takes_long(tmp_path):
    code = """
    import os
    os.environ |= {"_LOSIKO_COMPLETE": "complete_bash", "COMP_WORDS": "losiko relax --max",
                   "COMP_CWORD": "2", "_TYPER_COMPLETE_ARGS": "losiko relax --max"}
    from losiko_torch.cli import main
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
    """
    lines, found = imported_by(code)
    assert {"--max-steps", "--max-error"} <= set(lines)
    assert found == ""


def test_completion_can_be_installed(tmp_path):
    # Else the shell is found among the processes above this one, where there may be none.
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    environment |= {"HOME": str(tmp_path), "SHELL": "/bin/bash"}
    code = "from losiko_torch.cli import main; main(['--install-completion', 'bash'])"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any("_LOSIKO_COMPLETE" in text for text in written)


# --- faces of the commands


def test_faces_are_those_of_the_commands():
    kept = Path(inspect.getfile(faces)).with_name(faces.FACES).read_text("utf-8")
    assert kept == faces.written(), "run python -m losiko_torch.cli.faces"


@pytest.mark.parametrize("name", faces.COMMANDS)
def test_a_face_makes_the_options_of_its_command(name):
    """Click's own record of every option is the same for the face and for the command."""
    place = faces.COMMANDS[name]
    alone = typer.Typer(add_completion=False)
    alone.command(name)(faces.command_of(place))
    command = typer.main.get_command(alone)
    face = typer.main.get_command(app).commands[name]
    facts = ("name", "opts", "secondary_opts", "required", "default", "multiple", "nargs", "help")
    facts += ("metavar", "show_default", "rich_help_panel", "hidden", "is_flag", "is_eager")

    def all_of(made):
        return [
            {each: getattr(parameter, each, None) for each in facts} for parameter in made.params
        ]

    assert face.params
    assert all_of(face) == all_of(command)


def test_every_command_of_the_package_has_a_face():
    assert list(faces.read_faces()) == list(faces.COMMANDS)
    assert list(typer.main.get_command(app).commands) == list(faces.COMMANDS)
    for name, place in faces.COMMANDS.items():
        assert callable(faces.command_of(place)), name


def test_a_callback_is_kept_by_its_name():
    (structures,) = [
        each for each in faces.read_faces()["score"]["parameters"] if each["name"] == "structures"
    ]
    assert structures["facts"]["callback"] == "losiko_torch.cli.pipe:read_pipe"
    assert json.loads(json.dumps(structures)) == structures


# --- names of the package


def test_names_are_where_the_package_says():
    """What type checkers see, what is imported on demand and ``__all__`` are the same names."""
    tree = ast.parse(Path(losiko_torch.__file__).read_text())
    (block,) = [
        node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    ]
    seen = {
        each.name: node.module.removeprefix("losiko_torch.")
        for node in block.body
        for each in node.names
    }
    assert seen == losiko_torch._MODULES
    assert set(seen) == set(losiko_torch.__all__)
    assert set(losiko_torch.__all__) <= set(dir(losiko_torch))


def test_modules_are_attributes_and_other_names_are_not():
    code = """
    import losiko_torch
    print(losiko_torch.version.__version__ == losiko_torch.__version__)
    print(hasattr(losiko_torch, "Sope"), hasattr(losiko_torch, "__path__"))
    from losiko_torch import *
    print(SOAP.__name__, LBFGS.__name__, within.__name__)
    """
    lines, _ = imported_by(code)
    assert lines == ["True", "False True", "SOAP LBFGS within"]
    with pytest.raises(ImportError, match="cannot import name 'Sope'"):
        exec("from losiko_torch import Sope")
