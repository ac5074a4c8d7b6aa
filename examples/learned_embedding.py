"""Train an embedding of one's own, make a database with it, and relax molecules.

    python examples/learned_embedding.py

Without any labels: clean molecules of ASE's g2 set are distorted, and a small network on symmetry
functions learns to tell how far each atom's surroundings are from their clean form. What it
computes on the way, its last hidden layer, is the embedding. Molecules that neither the training
nor the database has seen are then distorted and relaxed; so they are with the symmetry functions
alone, to tell what the network adds.
"""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from ase.collections import g2
from torch import nn

from losiko_torch import ACSF, Batch, EnvironmentDatabase, relax
from losiko_torch.systems.geometry import bond_errors, rmsd

ELEMENTS = ["H", "C", "N", "O"]
RADIAL = [[eta, shift] for eta, shift in zip([8.0] * 12, np.linspace(0.8, 3.0, 12), strict=True)]
ANGULAR = [[0.05, zeta, sign] for zeta in (1, 2, 4, 16) for sign in (-1, 1)]
NOISE = 0.1


class Embedding(nn.Module):
    """Scaled symmetry functions of an atom, and its element, through two hidden layers."""

    def __init__(self, width: int = 64):
        super().__init__()
        self.functions = ACSF(r_cut=4.0, g2_params=RADIAL, g4_params=ANGULAR, species=ELEMENTS)
        # Optional attributes of a descriptor: elements, reach, periodic or not.
        self.species, self.cutoff, self.periodic = ELEMENTS, self.functions.cutoff, False
        size = self.functions.get_number_of_features()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("numbers", torch.tensor(self.functions.species))
        self.layers = nn.Sequential(
            nn.Linear(size + len(ELEMENTS), 2 * width),
            nn.SiLU(),
            nn.Linear(2 * width, width),
            nn.Tanh(),
        )

    def forward(self, batch: Batch) -> torch.Tensor:
        """Embeddings of all atoms, shape (n_atoms, width)."""
        functions = (self.functions(batch) - self.mean) / self.scale
        element = (batch.numbers[:, None] == self.numbers).to(functions)
        return self.layers(torch.cat([functions, element], 1))


def distorted(atoms: Atoms, rng: np.random.Generator, width: float = NOISE) -> Atoms:
    moved = atoms.copy()
    moved.positions += rng.normal(0, width, moved.positions.shape)
    return moved


def trained(structures: list[Atoms], rounds: int, seed: int = 0) -> Embedding:
    """Train an embedding from which a linear map predicts how distorted an environment is."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Embedding()
    clean = model.functions(Batch.from_atoms(structures, torch.float32))
    model.mean, model.scale = clean.mean(0), clean.std(0) + 0.05
    head = nn.Linear(64, 1)
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    for step in range(rounds):
        widths = rng.uniform(0, 2 * NOISE, len(structures))
        noisy = [distorted(a, rng, w) for a, w in zip(structures, widths, strict=True)]
        batch = Batch.from_atoms(noisy, torch.float32)
        # Squared difference of symmetry functions between the clean and the distorted atom.
        with torch.no_grad():
            apart = ((model.functions(batch) - clean) / model.scale).square().mean(1)
        loss = (head(model(batch)).squeeze(1) - apart.add(1e-3).log()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % max(rounds // 5, 1) == 0 or step == rounds - 1:
            print(f"  round {step:4d}: error of log(distortion) {loss.item() ** 0.5:.3f}")
    return model


def main(rounds: int = 400, n_tests: int | None = None) -> dict[str, np.ndarray]:
    """Mean RMSD and bond error (A) of the starts, and relaxed with each of the descriptors."""
    names = [n for n in g2.names if set(g2[n].symbols) <= set(ELEMENTS) and len(g2[n]) > 2]
    known = [molecule(name) for k, name in enumerate(names) if k % 6]
    unseen = [molecule(name) for name in names[::6]][:n_tests]
    print(f"training on {len(known)} molecules ...")
    model = trained(known, rounds)
    rng = np.random.default_rng(1)
    # An atom's references are the atoms of clean molecules, the same for both descriptors.
    starts = [distorted(atoms, rng) for atoms in unseen]
    errors = {"start": starts}
    for name, descriptor in (("symmetry functions", model.functions), ("embedding", model)):
        database = EnvironmentDatabase.build(known, descriptor)
        print(database)
        errors[name] = [result.atoms for result in relax(starts, database, n_neighbors=16)]
    means = {}
    print(f"{len(unseen)} unseen molecules: mean RMSD (A), mean bond error (A)")
    for name, structures in errors.items():
        pairs = zip(structures, unseen, strict=True)
        means[name] = np.mean([(rmsd(a, b), bond_errors(a, b).mean()) for a, b in pairs], axis=0)
        print(f"  {name:18s} {means[name][0]:.3f}  {means[name][1]:.3f}")
    return means


if __name__ == "__main__":
    main()
