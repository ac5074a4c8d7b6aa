"""``losiko score``: how well a database covers structures, without moving them."""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
from rich.text import Text

from losiko_torch.batching.score import scored
from losiko_torch.cli import shared_options, tables
from losiko_torch.cli.console import progress, stdout
from losiko_torch.cli.inputs import (
    DatabaseFile,
    NoPbc,
    ReferenceWeights,
    Structures,
    name_of,
    open_database,
    read_inputs,
)
from losiko_torch.cli.settings_options import takes
from losiko_torch.loss.settings import LossSettings
from losiko_torch.options import options_of
from losiko_torch.report.wording import plural
from losiko_torch.results import Score
from losiko_torch.systems.names import formula_of, title_of

Worst = Annotated[
    int | None, shared_options.worst("Show this many structures, the worst covered first.")
]

COLUMNS = {
    "structure": "fold",
    "formula": "fold",
    "loss": "right",
    "mean\ndistance": "right",
    "largest\ndistance": "right",
    "worst\natom": "left",
}


@takes(LossSettings, [name for name in options_of(LossSettings) if name != "batch_atoms"])
def score(
    structures: Structures,
    settings: dict[str, Any],
    database: DatabaseFile = None,
    worst: Worst = None,
    no_pbc: NoPbc = False,
    reference_weights: ReferenceWeights = None,
) -> int:
    """Report how well a database covers structures, without moving an atom.

    For each structure: its loss, as 'losiko relax' would lower it, the mean and the largest
    distance of an atom from the database, and the atom that is covered worst, by element and index
    (counted from 0). A structure with a large distance lies outside of what the database knows;
    relaxing it there means little.

    Example: [bold]losiko score guesses.xyz --worst 5[/bold]
    """
    how = LossSettings(**settings)
    inputs = read_inputs(structures, no_pbc)
    references = open_database(database, reference_weights)
    start = time.perf_counter()
    with progress("scoring", len(inputs)) as done:
        scores = scored(inputs, references, how, done)
    seconds = time.perf_counter() - start
    _print_table(scores, worst)
    _print_summary(scores, seconds, f"against {name_of(database)}")
    return 1 if any(one.problem is not None for one in scores) else 0


def _badness(one: Score) -> tuple[float, ...]:
    """Failures first, then by the atom that is covered worst."""
    failed = one.problem is not None
    return (failed, 0.0 if failed else tables.largest(one.distances))


def _print_table(scores: list[Score], limit: int | None) -> None:
    rows, title = tables.chosen_rows([_badness(one) for one in scores], limit)
    table = tables.structure_table(title, COLUMNS)
    for k in rows:
        one = scores[k]
        failed = one.problem is not None
        table.add_row(
            Text(title_of(one.atoms, k)),
            formula_of(one.atoms),
            Text("failed", style="red") if failed else tables.as_loss(one.loss),
            tables.as_loss(np.nan if failed else float(one.distances.mean())),
            tables.as_loss(np.nan if failed else tables.largest(one.distances)),
            tables.worst_atom(one.atoms, one.distances),
        )
    stdout().print(table)


def _print_summary(scores: list[Score], seconds: float, against: str) -> None:
    judged = [one for one in scores if one.problem is None]
    failures = [
        (title_of(one.atoms, k), one.problem)
        for k, one in enumerate(scores)
        if one.problem is not None
    ]
    tables.print_failures(failures, "failed")
    line = f"{len(judged):,} of {plural(len(scores), 'structure')} judged {against}"
    if judged:
        distances = np.concatenate([one.distances for one in judged])
        line += (
            f": median loss {np.median([one.loss for one in judged]):.2e}, an atom's distance "
            f"{distances.mean():.2e} on average and {distances.max():.2e} at most"
        )
    stdout().print(Text(f"{line}; {seconds:.1f} s", style="bold"))
