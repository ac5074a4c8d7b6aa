"""Distance beyond which an atom is unlike all references, measured on references left out.

Good environments that a database does not hold are as far from it as its own are from those of all
other structures. An atom much farther than nearly all of these resembles nothing that is known.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from losiko_torch.database.element import Environments

#: References of an element that are looked at, and nearest others of each.
SAMPLE, NEAREST = 1000, 32
#: References below which nothing can be said of an element.
FEWEST = 50
#: Share of the references that are nearer than the distance measured, and how many times as far is
#: unlike: relaxed structures are a little off, and not those of the database.
SHARE, MARGIN = 0.99, 2.0


@torch.no_grad()
def unlike_of(environments: Mapping[int, Environments]) -> dict[int, float]:
    """Return the squared distance |p - z|^2 beyond which an atom is unlike, by atomic number.

    Elements of too few references, or of too few structures, have none.
    """
    found = {}
    for number, part in environments.items():
        if part.usable < FEWEST:
            continue
        distances = left_out_distances(part)
        if len(distances) >= FEWEST:
            found[number] = round(MARGIN * float(torch.quantile(distances, SHARE)), 5)
    return found


def left_out_distances(part: Environments) -> torch.Tensor:
    """Return squared distances of references from the nearest one of another structure, (n,)."""
    usable = torch.arange(len(part), device=part.vectors.device)
    if part.weight is not None:
        usable = usable[part.weight > 0]
    rows = usable[:: max(1, len(usable) // SAMPLE)][:SAMPLE]
    vectors = part.vectors_in(torch.float32)[rows]
    count = min(NEAREST, part.usable)
    distances, indices = part.nearest(vectors, vectors.new_zeros(len(vectors)), count)
    others = part.structure[indices] != part.structure[rows][:, None]
    distances = distances.masked_fill(~others, torch.inf).amin(1)
    return distances[torch.isfinite(distances)].float()
