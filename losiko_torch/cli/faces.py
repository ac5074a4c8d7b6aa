"""Faces of the commands: their options and help as data, which are read without their machinery.

A command's options come from the records of settings, from terms, optimizers and targets, and from
the constants of what it calls, all of which import torch. A face says the same in JSON, so that
help, completion and errors of usage come at once. The command itself is imported when it runs.

``python -m losiko_torch.cli.faces`` writes the faces anew; a test tells when that is due.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

#: Commands in the order of the help, and the modules and functions that do their work.
COMMANDS = {
    "relax": "losiko_torch.cli.relax:relax",
    "report": "losiko_torch.cli.report:report",
    "view": "losiko_torch.cli.view:view",
    "score": "losiko_torch.cli.score:score",
    "compare": "losiko_torch.cli.compare:compare",
    "map": "losiko_torch.cli.map:map_",
    "fetch": "losiko_torch.cli.fetch:fetch",
    "build": "losiko_torch.cli.build:build",
    "fit": "losiko_torch.cli.fit:fit",
    "curate": "losiko_torch.cli.curate:curate",
    "info": "losiko_torch.cli.info:info",
}
#: Groups of entry points by which other packages add options to a command, or values of them.
OPEN = {
    "relax": (
        "losiko_torch.optimizers",
        "losiko_torch.loss.targets",
        "losiko_torch.loss.terms",
        "losiko_torch.io.formats",
    ),
    "score": ("losiko_torch.loss.targets", "losiko_torch.loss.terms"),
}
#: File of the faces, in this package.
FACES = "faces.json"


def _name_of(kind: Any) -> str:
    """Return the name of a type: "list[pathlib.Path] | None", in every Python."""
    return inspect.formatannotation(kind).replace("pathlib._local.", "pathlib.")


_KINDS: tuple[Any, ...] = (str, int, float, bool, Path, list[str], list[Path])
_TYPES: dict[str, Any] = {_name_of(each): each for kind in _KINDS for each in (kind, kind | None)}
_INFOS: dict[str, Callable[..., Any]] = {"option": typer.Option, "argument": typer.Argument}


def read_faces() -> dict[str, dict[str, Any]]:
    """Return the faces of all commands, by name."""
    return json.loads(files(__package__).joinpath(FACES).read_text("utf-8"))


def others_add_to(name: str) -> bool:
    """Return whether an installed package adds to the options of a command."""
    # Found in the files of all installed packages, which takes as long as all else of a help.
    from importlib.metadata import entry_points

    return any(entry_points(group=group) for group in OPEN.get(name, ()))


def command_of(place: str) -> Callable[..., Any]:
    """Import a function, given as "module:name"."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def face_of(command: Callable[..., Any]) -> dict[str, Any]:
    """Return the face of a command, ready for JSON."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    # Typer keeps the line ends of a docstring: a paragraph is made one line.
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return {"help": text, "parameters": [_entry(each) for each in parameters]}


def command_with(face: dict[str, Any], place: str) -> Callable[..., Any]:
    """Return a function with the signature of a face, which imports the command and calls it."""

    def called(**values: Any) -> Any:
        return command_of(place)(**values)

    every = [_parameter(entry) for entry in face["parameters"]]
    called.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in every}
    return called


def _entry(parameter: inspect.Parameter) -> dict[str, Any]:
    """Return a parameter of a command as data."""
    kind, info = get_args(parameter.annotation)
    plain: ParameterInfo = typer.Argument() if isinstance(info, ArgumentInfo) else typer.Option()
    unlike = {
        name: value for name, value in vars(info).items() if value != getattr(plain, name, None)
    }
    # Typer takes the first name of an annotated option for a default.
    names = [*([info.default] if "default" in unlike else []), *(info.param_decls or ())]
    facts = {name: unlike[name] for name in unlike if name not in ("default", "param_decls")}
    if "callback" in facts:
        facts["callback"] = f"{facts['callback'].__module__}:{facts['callback'].__name__}"
    entry = {
        "name": parameter.name,
        "type": _name_of(kind),
        "is": "option" if isinstance(info, OptionInfo) else "argument",
        "names": names,
        "facts": facts,
    }
    if parameter.default is not parameter.empty:
        entry["default"] = parameter.default
    return entry


def _parameter(entry: dict[str, Any]) -> inspect.Parameter:
    """Return a parameter from its data."""
    facts = dict(entry["facts"])
    if "callback" in facts:
        facts["callback"] = command_of(facts["callback"])
    info = _INFOS[entry["is"]](*entry["names"], **facts)
    return inspect.Parameter(
        entry["name"],
        inspect.Parameter.KEYWORD_ONLY,
        default=entry.get("default", inspect.Parameter.empty),
        annotation=Annotated[_TYPES[entry["type"]], info],
    )


def written() -> str:
    """Return the text of the file of faces, as the commands are."""
    faces = {name: face_of(command_of(place)) for name, place in COMMANDS.items()}
    return json.dumps(faces, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    with Path(str(files(__package__).joinpath(FACES))).open("w", encoding="utf-8") as file:
        file.write(written())
