"""Pages that are made of what stands elsewhere: the notebooks, and the help of the commands.

They are written into docs/gathered/, which is not kept.
"""

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
        record = parameter.get_help_record(context)
        name, text = record or (parameter.make_metavar(context), "")
        return f"`{name.strip()}`\n: {plain(text)}\n"
    name, text = parameter.get_help_record(context)
    return f"`{name.strip()}`\n: {plain(text)}\n"


def plain(text: str) -> str:
    """Return a help text as Markdown: no marks of the terminal, and brackets stay brackets."""
    for style in ("bold", "dim", "italic"):
        text = text.replace(f"[{style}]", "").replace(f"[/{style}]", "")
    for mark in ("*", "|", "<", "$", "_"):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def command_line() -> str:
    """Return the page of the commands, made of the program itself."""
    from losiko_torch.cli.app import app

    program = typer.main.get_command(app)
    context = typer.Context(program, info_name="losiko")
    pages = [f"# Command line\n\n{plain_paragraphs(program.help)}\n\n{plain(program.epilog)}\n"]
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        within = typer.Context(command, info_name=f"losiko {name}", parent=context)
        pages.append(f"## losiko {name}\n\n{plain_paragraphs(command.help)}\n")
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


def plain_paragraphs(text: str) -> str:
    """Return paragraphs of a help; lines that begin with "losiko" or "$" are examples."""
    return "\n\n".join(plain(paragraph) for paragraph in text.split("\n\n"))


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
