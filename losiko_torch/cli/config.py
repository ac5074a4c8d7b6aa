"""Options of a command in a file of TOML: read by ``--config``, written by ``--save-config``.

Keys are the names of the options without dashes in front, "max_steps" for ``--max-steps``, values
those of the command line; numbers, lists and tables may stand for texts such as "0.2,0.05" and
"H=0.5". What the command line says wins.
"""

from __future__ import annotations

import inspect
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from losiko_torch.cli.pipe import is_piped
from losiko_torch.errors import InputError
from losiko_torch.io.atomic import check_output, replacing
from losiko_torch.keywords import nearest_name
from losiko_torch.options import WHAT

#: Parameter of a command for the file that is to be saved.
SAVED = "saved"
#: Options that no file holds: to overwrite what is there is decided each time.
NEVER = ("force",)
#: Words for the types of values.
WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "the name of a file, in quotes",
    list: "a list of texts",
}

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="RUN.toml",
        show_default=False,
        help="Options from a file, as --save-config writes it; the command line wins.",
        rich_help_panel=WHAT,
    ),
]
SaveConfig = Annotated[
    Path | None,
    typer.Option(
        "--save-config",
        metavar="RUN.toml",
        show_default=False,
        help="Write all options to a file; without STRUCTURES nothing else is done.",
        rich_help_panel=WHAT,
    ),
]


@dataclass(frozen=True)
class SavedConfig:
    """File of options that is to be written.

    Attributes:
        path: The file.
        text: What it is to hold.
    """

    path: Path
    text: str

    def check(self, overwrite: bool) -> None:
        """Raise ``InputError`` if the file cannot be written."""
        check_output(self.path, overwrite=overwrite)

    def write(self, overwrite: bool) -> None:
        """Write the file."""
        with replacing(self.path, overwrite) as file:
            file.write(self.text)


def with_config(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command so that its options can come from a file and be written to one.

    The command is called with ``saved``, a ``SavedConfig`` or None.
    """
    own = dict(inspect.signature(command, eval_str=True).parameters)
    own.pop(SAVED)

    @wraps(command)
    def called(**values: Any) -> Any:
        config, save = values.pop("config", None), values.pop("save_config", None)
        if config is not None:
            told = read_config(config, own)
            values |= {name: each for name, each in told.items() if not _is_given(values[name])}
        saved = None if save is None else SavedConfig(save, config_text(values, own))
        return command(**values, saved=saved)

    added = {"config": Config, "save_config": SaveConfig}
    keyword = inspect.Parameter.KEYWORD_ONLY
    both = [
        *own.values(),
        *(inspect.Parameter(k, keyword, default=None, annotation=v) for k, v in added.items()),
    ]
    called.__signature__ = inspect.Signature(both)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in both}
    return called


def read_config(path: Path, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Return the values in a file, by the names of a command's parameters.

    Raises:
        InputError: For a file that cannot be read, an option that there is none of, or a value of
            the wrong type.
    """
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # TOML's errors and those of the encoding are such
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read as TOML ({reason})") from None
    names = {key_of(each): name for name, each in parameters.items()}
    values = {}
    for key, value in read.items():
        if key in NEVER:
            raise InputError(f"{path}: '{key}' is for the command line alone: leave it out here")
        if key not in names:
            like = nearest_name(key, names)
            hint = f"did you mean '{like}'?" if like else "'losiko relax --help' lists all"
            raise InputError(f"{path}: there is no option '{key}': {hint}")
        values[names[key]] = _parsed(path, key, parameters[names[key]], value)
    return values


def config_text(values: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]) -> str:
    """Return the text of a file with these values; other options stand there as comments."""
    return "\n".join(_lines(values, parameters)) + "\n"


def key_of(parameter: inspect.Parameter) -> str:
    """Return the key of an option in a file: "no_escape" for ``--no-escape``."""
    info = get_args(parameter.annotation)[1]
    flags = [each for each in (info.default, *(info.param_decls or ())) if isinstance(each, str)]
    long = [each.removeprefix("--") for each in flags if each.startswith("--")]
    return (long[0] if long else parameter.name).replace("-", "_")


def _lines(values: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]) -> Iterator[str]:
    yield "# Options of 'losiko relax --config'. What is not given is a comment."
    for name, parameter in parameters.items():
        key, value = key_of(parameter), values.get(name)
        if key in NEVER:
            continue
        if isinstance(value, list):
            # What came by a pipe is gone when the file is read.
            value = [each for each in value if not is_piped(each)]
        info = get_args(parameter.annotation)[1]
        yield ""
        yield f"# {' '.join(str(info.help or '').split())}"
        if _is_given(value):
            yield f"{key} = {_toml(value)}"
        else:
            example = " ".join((info.metavar or "").split()).replace('"', "")
            yield f"# {key} = " + ("true" if _kind(parameter) is bool else f'"{example}"')


def _toml(value: Any) -> str:
    """Return a value as TOML, whose texts are JSON's but for one character."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _kind(parameter: inspect.Parameter) -> Any:
    """Return the type of an option: bool, int, float, str, Path, or list."""
    kind = get_args(parameter.annotation)[0]
    for each in get_args(kind) or (kind,):
        if each in (bool, int, float, str, Path):
            return each if getattr(kind, "__origin__", None) is not list else list
    return list


def _parsed(path: Path, key: str, parameter: inspect.Parameter, value: Any) -> Any:
    """Return a value as the command line would give it."""
    kind = _kind(parameter)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and number and isinstance(value, int):
        return _in_range(path, key, parameter, value)
    if kind is float and number:
        return _in_range(path, key, parameter, float(value))
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is list and (isinstance(value, str) or _is_list_of(value, str)):
        return [value] if isinstance(value, str) else value
    if kind is str:
        if isinstance(value, str):
            return value
        if number:
            return str(value)
        if _is_list_of(value, (str, int, float)):
            return ",".join(map(str, value))
        if isinstance(value, dict) and _is_list_of(list(value.values()), (int, float)):
            return ",".join(f"{name}={each}" for name, each in value.items())
    raise InputError(f"{path}: {key} must be {WORDS[kind]}, not {_shown(value)}")


def _in_range(path: Path, key: str, parameter: inspect.Parameter, value: Any) -> Any:
    least = get_args(parameter.annotation)[1].min
    if least is not None and value < least:
        raise InputError(f"{path}: {key} must be {least} or more, not {value}")
    return value


def _is_list_of(value: Any, kinds: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(each, kinds) and not isinstance(each, bool) for each in value)


def _shown(value: Any) -> str:
    return "true" if value is True else "false" if value is False else repr(value)


def _is_given(value: Any) -> bool:
    return value is not None and value is not False and value != []
