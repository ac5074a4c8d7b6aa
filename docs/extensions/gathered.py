"""Pages that are made of what stands elsewhere: the notebooks, and the help of the commands.

They are written into docs/gathered/, which is not kept.
"""

import re
from pathlib import Path
from typing import Any

import typer.main

ROOT = Path(__file__).parents[2]


def notebooks() -> dict[str, str]:
    """Return the text of each notebook by its file's name."""
    return {path.name: path.read_text("utf-8") for path in ROOT.glob("notebooks/*.ipynb")}


def option_of(parameter: Any, context: Any) -> str:
    """Return an option or argument as an entry of a definition list."""
    if parameter.param_type_name == "argument":
        name, text = parameter.metavar or parameter.name.upper(), parameter.help or ""
    else:
        name, text = parameter.get_help_record(context)
    return f"`{name.strip()}`\n: {plain(text)}\n"


def unstyled(text: str) -> str:
    """Return a help text without the terminal's styles."""
    return re.sub(r"\[/?(bold|dim|italic)\]", "", text)


def plain(text: str) -> str:
    """Return a help text as Markdown in which no mark means anything but itself."""
    text = re.sub(r"([*|<$_`])", r"\\\1", " ".join(unstyled(text).split()))
    return re.sub(r"\[default: \(?(.*?)\)?\]$", r"Default: \1.", text)


def command_line() -> str:
    """Return the page of the commands, made of the program itself."""
    from losiko_torch.cli.app import app

    program = typer.main.get_command(app)
    context = typer.Context(program, info_name="losiko")
    pages = [f"# Command line\n\n{paragraphs(program.help)}\n\n{plain(program.epilog)}\n"]
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        within = typer.Context(command, info_name=f"losiko {name}", parent=context)
        pages.append(f"## losiko {name}\n\n{paragraphs(command.help)}\n")
        panels: dict[str, list[str]] = {}
        for parameter in command.get_params(within):
            if getattr(parameter, "hidden", False):
                continue
            kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panel = getattr(parameter, "rich_help_panel", None) or kind
            panels.setdefault(panel, []).append(option_of(parameter, within))
        for panel, entries in panels.items():
            pages.append(f"**{panel}**\n\n" + "\n".join(entries))
    return "\n".join(pages)


def paragraphs(text: str) -> str:
    """Return the paragraphs of a help as Markdown, its examples as blocks."""
    found: list[str] = []
    for paragraph in text.split("\n\n"):
        if not paragraph.startswith("Example: "):
            found.append(plain(paragraph))
            continue
        line = paragraph.removeprefix("Example: ")
        command = re.match(r"\[bold\](.*?)\[/bold\],?\s*(.*)", line)
        if command is not None:
            line = command[1] + (f"  # {command[2]}" if command[2] else "")
        if found and found[-1].endswith("\n```"):
            found[-1] = found[-1].removesuffix("```") + f"{line}\n```"
        else:
            found.append(f"```bash\n{line}\n```")
    return "\n\n".join(found)


def write(app: Any) -> None:
    """Write the pages where they are not there yet or differ."""
    folder = Path(app.srcdir) / "gathered"
    folder.mkdir(exist_ok=True)
    pages = {**notebooks(), "command_line.md": command_line()}
    for path in folder.iterdir():
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for files."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
