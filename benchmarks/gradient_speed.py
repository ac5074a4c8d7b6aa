"""Loss and gradient against DScribe and featomic-torch, on one core in one run.

    python benchmarks/gradient_speed.py [--settings molecules diamond] [--rounds 7]

`molecules`: the paper's QM9 setting (r_cut 4, n 6, l 6, sigma 0.5; five elements, 3,255 features),
a batch of 64 molecules, gradients with respect to positions. `diamond`: a cubic cell of 512 carbon
atoms rattled by 0.05 A (r_cut 2.3, n 8, l 6, sigma 0.25; ours with smooth_width 0.5, 252 features),
gradients with respect to positions and cell.

References are fixed, so that no search is timed, and so is the making of each package's systems.
Every candidate finds its neighbours itself. featomic-torch (float64 only) takes the same
number of radial functions and degrees and the same Gaussians up to the same distance, r_cut plus
what DScribe and we pad it with, over which it spreads its radial functions (with a smooth cutoff
where ours has one). Its loss is sum_i |p_i/|p_i| - t_i|^2 for given t_i over the dense features,
differentiated through autograd, all systems in one call. featomic, and our loss and gradient, work
on the elements present (four of five); DScribe and our values on all five.

Printed for each setting is a table of atoms/s (medians over the rounds) and of ratios to other
candidates in the same rounds (medians too), since the machine's speed drifts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import common
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from dscribe.descriptors import SOAP as DScribeSOAP

from losiko_torch import SOAP, Batch, EnvironmentDatabase
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.targets.locally_linear import LocallyLinear
from losiko_torch.loss.targets.nearest import Nearest

try:
    from featomic.torch import SoapPowerSpectrum, systems_to_torch
except ImportError:
    SoapPowerSpectrum = systems_to_torch = None

DIAMOND = {"r_cut": 2.3, "n_max": 8, "l_max": 6, "sigma": 0.25}
SMOOTH_WIDTH = 0.5
CREATE, DERIVATIVES = "DScribe `create`", "DScribe `derivatives` (analytical, attach=True)"
FEATOMIC = "featomic-torch, loss and gradient, float64"

#: Calls by name, each with the number of atoms that it computes.
Candidates = dict[str, tuple[Callable[[], object], int]]


@dataclass(frozen=True)
class Setting:
    """Structures, DScribe's and our descriptor of them, and the database for our loss."""

    structures: list[Atoms]
    reference: DScribeSOAP
    soap: SOAP
    database: EnvironmentDatabase

    @property
    def periodic(self) -> bool:
        return self.soap.periodic

    @property
    def n_atoms(self) -> int:
        return sum(map(len, self.structures))


def molecules() -> Setting:
    qm9 = common.QM9()
    parameters = {"species": ["H", "C", "N", "O", "F"], **common.PAPER}
    soap = SOAP(**parameters)
    database = EnvironmentDatabase.build(map(qm9.molecule, qm9.database_molecules), soap)
    return Setting(qm9.reporting(64), DScribeSOAP(**parameters), soap, database)


def diamond() -> Setting:
    parameters = {"species": ["C"], "periodic": True, **DIAMOND}
    soap = SOAP(**parameters, smooth_width=SMOOTH_WIDTH)
    references = common.with_noise([bulk("C", cubic=True) * (2, 2, 2)] * 8, 0.03, seed=1)
    structures = common.with_noise([bulk("C", cubic=True) * (4, 4, 4)], 0.05)
    database = EnvironmentDatabase.build(references, soap)
    return Setting(structures, DScribeSOAP(**parameters), soap, database)


SETTINGS: dict[str, Callable[[], Setting]] = {"molecules": molecules, "diamond": diamond}


def dscribe(setting: Setting) -> Candidates:
    few = setting.structures[:4]
    candidates: Candidates = {
        CREATE: (lambda: setting.reference.create(setting.structures), setting.n_atoms)
    }

    def analytical() -> None:
        for atoms in few:
            setting.reference.derivatives(atoms, attach=True, method="analytical")

    if not setting.periodic:  # DScribe has no derivatives of periodic structures.
        candidates[DERIVATIVES] = (analytical, sum(map(len, few)))
    return candidates


def ours(setting: Setting) -> Candidates:
    candidates: Candidates = {}
    defaults = setting.database.defaults
    linear = LocallyLinear(defaults.n_neighbors, defaults.reg)
    for dtype in (torch.float32, torch.float64):
        batch = Batch.from_atoms(setting.structures, dtype)
        name = str(dtype).removeprefix("torch.")
        values = torch.no_grad()(lambda b=batch: setting.soap(b))
        candidates[f"SOAP values, {name}"] = (values, setting.n_atoms)
        for label, target in (
            ("nearest", Nearest()),
            (f"locally-linear, {linear.n_neighbors} references", linear),
        ):
            objective = Objective(setting.database, target).restricted(batch.numbers)
            matching = objective.search_at(batch).matching
            candidates[f"loss and gradient, {name}, {label}"] = (
                lambda o=objective, b=batch, m=matching: o.evaluate(b, m),
                setting.n_atoms,
            )
    return candidates


def featomic_calculator(soap: SOAP) -> SoapPowerSpectrum:
    """Power spectra of as many functions, of the same Gaussians up to the same distance."""
    radial = {"type": "Gto", "max_radial": soap.n_max - 1}
    width = soap.smooth_width
    return SoapPowerSpectrum(
        cutoff={
            "radius": soap.cutoff,
            "smoothing": {"type": "ShiftedCosine", "width": width} if width else {"type": "Step"},
        },
        density={"type": "Gaussian", "width": soap.sigma},
        basis={"type": "TensorProduct", "max_angular": soap.l_max, "radial": radial},
    )


def dense_features(sparse) -> torch.Tensor:
    """Features of all atoms, with zeros for elements that are not there."""
    by_atom = sparse.keys_to_samples("center_type")
    return by_atom.keys_to_properties(["neighbor_1_type", "neighbor_2_type"]).block(0).values


def featomic(setting: Setting) -> Candidates:
    if SoapPowerSpectrum is None:
        return {}
    calculator = featomic_calculator(setting.soap)
    fixed = systems_to_torch(setting.structures)
    moving = systems_to_torch(
        setting.structures, positions_requires_grad=True, cell_requires_grad=setting.periodic
    )
    variables = [system.positions for system in moving]
    if setting.periodic:
        variables += [system.cell for system in moving]

    def unit(systems: list) -> torch.Tensor:
        dense = dense_features(calculator(systems))
        return dense / dense.norm(dim=1, keepdim=True)

    # Any unit vectors do: each atom's target is the descriptor of another atom.
    targets = unit(fixed).roll(1, 0)

    def gradient() -> None:
        torch.autograd.grad((unit(moving) - targets).square().sum(), variables)

    return {
        "featomic-torch, values, float64": (lambda: calculator(fixed), setting.n_atoms),
        FEATOMIC: (gradient, setting.n_atoms),
    }


def table(setting: Setting, rounds: int) -> str:
    candidates = dscribe(setting) | featomic(setting) | ours(setting)
    took = common.in_rounds({name: work for name, (work, _) in candidates.items()}, rounds)
    rates = {name: atoms / took[name] for name, (_, atoms) in candidates.items()}
    against = {CREATE: "`create`", DERIVATIVES: "`derivatives`", FEATOMIC: "featomic-torch"}
    shown = {name: label for name, label in against.items() if name in rates}
    lines = [
        f"| | atoms/s | {' | '.join(f'/ {label}' for label in shown.values())} |",
        "|---" * (2 + len(shown)) + "|",
    ]
    for name, rate in rates.items():
        ratios = [f"{np.median(rate / rates[other]):.3g}" for other in shown]
        lines.append(f"| {name} | {np.median(rate):,.0f} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    common.one_core()
    if SoapPowerSpectrum is None:
        print("featomic-torch is not installed: its rows are left out")
    for name in arguments.settings:
        setting = SETTINGS[name]()
        print(f"\n{name}: {setting.n_atoms} atoms in {len(setting.structures)} structures")
        print(f"{setting.database}\n\n{table(setting, arguments.rounds)}", flush=True)


if __name__ == "__main__":
    main()
