"""Relaxing structures: one or thousands, each with its own fate.

>>> from ase.build import molecule
>>> from losiko_torch import SOAP, EnvironmentDatabase, relax
>>> soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=6, l_max=4, sigma=0.3)
>>> database = EnvironmentDatabase.build([molecule("H2O")], soap)
>>> distorted = molecule("H2O")
>>> distorted.rattle(0.1, seed=1)
>>> result = relax(distorted, database, targets="nearest")[0]
>>> result.reason, result.loss < 1e-4 < result.start_loss
('converged', True)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import signature
from itertools import chain
from typing import Any

import torch

from losiko_torch.batching.shards import by_number
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.io.stream import Files, structures_of
from losiko_torch.relaxation.relaxer import Relaxer
from losiko_torch.relaxation.schedule import Stage
from losiko_torch.relaxation.settings import START_NOISE
from losiko_torch.results import Result
from losiko_torch.systems.pymatgen import AnyStructure


def relax(
    structures: AnyStructure | Files | Iterable[AnyStructure],
    database: EnvironmentDatabase | None = None,
    *,
    optimizer: str = "lbfgs",
    targets: str = "locally-linear",
    n_neighbors: int | None = None,
    reg: float | None = None,
    degree: float = 1.0,
    weights: Mapping[str, float] | None = None,
    max_steps: int | None = None,
    fmax: float | None = None,
    movable: Any = None,
    cell: bool = False,
    strain_mask: Sequence | None = None,
    hydrostatic_strain: bool = False,
    constant_volume: bool = False,
    symprec: float | None = None,
    schedule: Sequence[Stage] = (),
    noise: Sequence[float] | None = None,
    n_starts: int = 1,
    start_noise: float = START_NOISE,
    seed: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    batch_atoms: int | None = None,
    workers: int | None = None,
    ray_address: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Result]:
    """Move atoms until their environments look like those of the database.

    Args:
        structures: One ``ase.Atoms`` or many; they are not changed. ``FixAtoms`` and
            ``FixCartesian`` are honoured. pymatgen's ``Structure`` and ``Molecule`` count as such;
            results hold ``ase.Atoms``. Or the name of a file or folder, or several, of what
            ``read_structures`` reads.
        database: References; None takes the embedded one (organic molecules of H, C, N, O, F, S
            and Cl).
        optimizer: "lbfgs", "fire", "adam" or "gradient-descent", all batched; or "nelder-mead",
            SciPy's, one structure at a time, a yardstick.
        targets: "locally-linear" or "nearest" (see ``losiko_torch.loss.targets``).
        n_neighbors, reg: References an atom's target combines (64; 32 with a database of crystals)
            and its ridge (1e-3; 0.3).
        degree: Exponent of the similarity kernel (see ``losiko_torch.loss.settings``); 1 is the
            squared distance itself.
        weights: What the terms of an element's atoms in the loss are multiplied by, for example
            {"H": 0.5}; 1 for elements not named. A structure's own array ``losiko_weight``, one
            number an atom, multiplies too. ``fmax`` is that of the weighted loss.
        max_steps: Evaluations of the loss granted to each structure: 200; 20,000 for Nelder-Mead.
        fmax: Largest gradient on any atom at which a structure has converged, 1/Angstrom (0.02,
            less where SOAP's sigma is below 0.3; 0.003 with a database of crystals). See
            ``losiko_torch.database.defaults``.
        movable: Which atoms may move, constraints permitting; None: all. A mask (n,) or (n, 3) for
            every structure, a list of such arrays, one for each, a function from ``Atoms`` to a
            mask, such as ``within(5.0, of=[0, 7])`` or ``near_plane(5.0, "z", 12.5)``, the text of
            one, such as "within 5 of z=12.5", or the name of a per-atom array.
        cell: Whether to relax the cells of periodic structures too, along their periodic
            directions; ``fmax`` then holds for the strain as well (see ``coordinates``), and fixed
            atoms keep their place within the cell.
        strain_mask, hydrostatic_strain, constant_volume: Which strains a cell may take, as in
            ASE's cell filters (see ``coordinates.StrainFilter``).
        symprec: Tolerance (Angstrom) within which relaxed crystals are made symmetric, see
            ``losiko_torch.relaxation.symmetry``; None: they are left as they are. 0.4 is what the
            benchmarks use. It takes ``cell``, and leaves structures alone of which a part is fixed,
            that are not periodic in three directions, or whose loss it would double.
        schedule: Stages gone through first, see ``schedule.Stage``.
        noise: The paper's annealing, (s0^2 in Angstrom^2, alpha), or with a third number, after
            how many steps noise is added again (1): a stage with the noise of
            ``schedule.annealed`` and these ``targets`` just before the last.
        n_starts: Copies of each structure relaxed, all but the first with ``start_noise`` on every
            movable coordinate; the one of lowest loss is returned, all are in its ``starts``.
        start_noise: Standard deviation, Angstrom.
        seed: What all random numbers follow from, 0 or larger. The same seed gives a structure the
            same numbers, whatever other structures it is relaxed with.
        device: Where to compute; None: where the database is.
        dtype: torch.float32 (default) or torch.float64, or their names.
        batch_atoms: Atoms worked on at once; None: as many as memory allows. Where memory runs out
            all the same, half as many are from then on.
        workers: Processes that relax, through Ray (extra [ray]), each on a GPU or on its share of
            the processor; None: this one alone. The results are the same.
        ray_address: Of a Ray cluster to use, "auto" for the one that this machine is part of; None:
            Ray is started here for as long as it takes.
        progress: Called with the number of structures that have just finished.

    Returns:
        One ``Result`` for each structure, in input order. A structure that cannot be relaxed comes
        back unmoved with the reason "failed: <why>"; the others are not affected.

    Raises:
        InputError: For arguments that make no sense.
    """
    return list(_stream(**locals(), in_order=True))


def relax_iter(
    structures: AnyStructure | Files | Iterable[AnyStructure],
    database: EnvironmentDatabase | None = None,
    in_order: bool = True,
    **options: Any,
) -> Iterator[Result]:
    """``relax`` for more structures than lie in memory at once; ``options`` are its own.

    Args:
        structures: As for ``relax``. Files are read ahead while others relax; other iterables are
            read in this thread.
        database: As for ``relax``.
        in_order: Whether results come in input order; else as they are made, which with several
            ``workers`` is sooner. ``Result.number`` tells which is which.
        options: As for ``relax``.

    Results come some batches at a time, and ``structures`` are read no faster than that: should
    reading them fail, those read since the last results are lost. What cannot be read of a file
    fails like a structure that cannot be relaxed.

    Raises:
        InputError: At once, for arguments that make no sense.
    """
    arguments = signature(relax).bind(structures, database, **options)
    arguments.apply_defaults()
    return _stream(**arguments.arguments, in_order=in_order)


def _stream(
    structures: AnyStructure | Files | Iterable[AnyStructure],
    database: EnvironmentDatabase | None,
    progress: Callable[[int], None] | None,
    workers: int | None,
    ray_address: str | None,
    in_order: bool,
    **options: Any,
) -> Iterator[Result]:
    given = structures_of(structures)
    relaxer = Relaxer.make(given, database, **options)
    relaxed = relaxer.run(given, workers, ray_address, progress)
    ordered = by_number(relaxed) if in_order else relaxed
    return chain.from_iterable(shard.results for shard in ordered)
