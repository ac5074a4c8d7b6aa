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
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Unpack

import torch

from losiko_torch.batching.shards import RelaxedShard, by_number
from losiko_torch.checks import whole
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.errors import InputError
from losiko_torch.io.stream import Files, structures_of
from losiko_torch.io.trajectories import check_trajectory, trajectories
from losiko_torch.keywords import names_unknown
from losiko_torch.loss.targets.interface import Target
from losiko_torch.loss.terms.interface import Term
from losiko_torch.optimizers.interface import DirectSearch, Optimizer
from losiko_torch.relaxation.execute import Workers, execute
from losiko_torch.relaxation.matches import with_matches
from losiko_torch.relaxation.relaxer import Relaxer
from losiko_torch.relaxation.schedule import Stage
from losiko_torch.relaxation.settings import RelaxOptions, Settings
from losiko_torch.relaxation.watch import Callback, Watching
from losiko_torch.results import Result, Results, without_frames
from losiko_torch.systems.pymatgen import AnyStructure


@names_unknown
def relax(
    structures: AnyStructure | Files | Iterable[AnyStructure],
    database: EnvironmentDatabase | str | None = None,
    *,
    optimizer: str | Optimizer | DirectSearch = "lbfgs",
    targets: str | Target | None = None,
    n_neighbors: int | None = None,
    reg: float | None = None,
    degree: float = 1.0,
    weights: Mapping[str, float] | None = None,
    terms: Sequence[Term] = (),
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
    n_conformers: int = 10,
    start_noise: float = 0.1,
    escape: bool = True,
    max_error: float = 0.3,
    seed: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    batch_atoms: int | None = None,
    workers: int | None = None,
    ray_address: str | None = None,
    progress: Callable[[int], None] | None = None,
    callback: Callback | None = None,
    history: bool = False,
    trajectory: str | Path | None = None,
    trajectory_interval: int = 1,
) -> Results:
    """Move atoms until their environments look like those of the database.

    Args:
        structures: One ``ase.Atoms`` or many; they are not changed. ``FixAtoms``, ``FixCartesian``
            and, where the cell allows it, ``FixScaled`` are honoured. pymatgen's ``Structure`` and
            ``Molecule`` and RDKit's ``Mol`` count as such; results hold ``ase.Atoms``. Or the name
            of a file or folder, or several, of what ``read_structures`` reads.
        database: References, or the name of a built-in database. None takes "organic": molecules,
            ions and complexes of H, B, C, N, O, F, Si, P, S, Cl, Br and I.
        optimizer: "lbfgs", "fire", "adam" or "gradient-descent", all batched; or "nelder-mead",
            SciPy's, one structure at a time, a yardstick. Or an object such as
            ``LBFGS(max_step=0.1)``, one of your own too (see
            ``losiko_torch.optimizers.interface``).
        targets: "learned", "locally-linear" or "nearest", or an object such as
            ``LocallyLinear(64, 1e-3)``, one of your own too (see
            ``losiko_torch.loss.targets.interface``). None means "learned" where the database
            carries learned targets, else "locally-linear".
        n_neighbors, reg: References an atom's target combines (64; 32 with a database of crystals)
            and its ridge (1e-3; 0.3), where the target is given by name.
        degree: Exponent of the similarity kernel (see ``losiko_torch.loss.kernel``); 1 is the
            squared distance itself.
        weights: Factors of the distances of an element's atoms in the loss, for example
            {"H": 0.5}; 1 for elements not named. A structure's own array ``losiko_weight``, one
            number an atom, multiplies too. ``fmax`` is that of the weighted loss.
        terms: Terms added to the loss, such as ``Density(2.8)``, ``Repulsion()``, ``Tether(0.1)``,
            ``Property(module, target)``, or your own (see ``losiko_torch.loss.terms.interface``).
            ``fmax`` is that of the whole loss; ``Result.terms`` holds the value of each.
        max_steps: Evaluations of the loss granted to each structure: 200; 20,000 for Nelder-Mead.
        fmax: Largest gradient on any atom at which a structure has converged. With learned targets
            it is about a distance in Angstrom from where the atom should be (0.005); with others
            1/Angstrom (0.02, less where SOAP's sigma is below 0.3; 0.003 with a database of
            crystals). See ``losiko_torch.database.defaults``.
        movable: Atoms that may move, constraints permitting. None means all. A mask (n,) or (n, 3)
            for every structure, a list of such arrays, one for each, a function from ``Atoms`` to a
            mask, such as ``within(5.0, of=[0, 7])`` or ``near_plane(5.0, "z", 12.5)``, the text of
            one, such as "within 5 of z=12.5", or the name of a per-atom array.
        cell: Whether to relax the cells of periodic structures too, along their periodic
            directions; ``fmax`` then holds for the strain as well (see ``relaxation.coordinates``),
            and fixed atoms keep their place within the cell.
        strain_mask, hydrostatic_strain, constant_volume: Strains that a cell may take, as in
            ASE's cell filters (see ``relaxation.strain``).
        symprec: Tolerance (Angstrom) within which relaxed crystals are made symmetric, see
            ``losiko_torch.relaxation.symmetry``. None does so with cells of at most 64 atoms within
            0.4, where the loss falls. A number does so with all whose loss it does not double; 0.4
            is what the benchmarks use. It takes ``cell``, and leaves structures alone of which a
            part is fixed, or that are not periodic in three directions.
        schedule: Stages gone through first, see ``relaxation.schedule.Stage``.
        noise: The paper's annealing, (s0^2 in Angstrom^2, alpha), or with a third number, after
            how many steps noise is added again (1): a stage with the noise of
            ``annealed`` and these ``targets`` just before the last.
        n_starts: Copies of each structure relaxed, all but the first with ``start_noise`` on every
            movable coordinate; the one of lowest loss is returned, all are in its ``starts``.
        n_conformers: Conformers relaxed, at most, of each molecule that comes as SMILES or by RDKit
            without a geometry; ETKDG makes them from the ``seed``. The best is returned: reliable
            ones first, then by ``expected_rmsd``, then by loss; all are in its ``starts``.
        start_noise: Standard deviation, Angstrom.
        escape: Whether a molecule that ends on a saddle, where the symmetry of its start keeps it,
            is led away from there (see ``relaxation.escape``), within ``max_steps`` in all. Else it
            stays, and is doubted.
        max_error: Error to expect of an atom (Angstrom, with learned targets) beyond which a
            structure is doubted.
        seed: Number that all random numbers follow from, 0 or larger. The same seed gives a
            structure the same numbers, whatever other structures it is relaxed with.
        device: Place of the computation. None means where the database is.
        dtype: torch.float32 (default) or torch.float64, or their names.
        batch_atoms: Atoms worked on at once. None means as many as memory allows. Where memory runs
            out all the same, the number is halved.
        workers: Processes that relax, through Ray (extra [ray]), each on a GPU or on its share of
            the processor. None means this one alone. The results are the same.
        ray_address: Address of a Ray cluster to use, "auto" for the one that this machine is part
            of. None starts Ray here for as long as it takes.
        progress: Function that is called with the number of structures that have just finished.
        callback: Function that is called with each evaluation of each structure, a ``Step`` of
            ``losiko_torch.relaxation.watch``: ``number``, ``name``, ``step``, ``loss``, ``fmax``
            and, on demand, ``positions``, ``cell`` and ``atoms``. An exception that it raises ends
            that structure, which fails with the exception as its reason. It takes no ``workers``.
        history: Whether to keep the losses of all evaluations, ``Result.history``.
        trajectory: File for the frames of all structures, ".traj" of ASE or extended xyz by its
            suffix; a name without a suffix is a folder with a file for each structure (see
            ``losiko_torch.io.trajectories``). Nothing is overwritten.
        trajectory_interval: Evaluations from one frame to the next; the relaxed structure is the
            last one.

    Returns:
        One ``Result`` for each structure, in input order, in a list (``Results``). A structure that
        cannot be relaxed comes back unmoved with the reason "failed: <why>"; the others are not
        affected.

    Raises:
        InputError: For arguments that make no sense.
    """
    settings = Settings(
        targets=targets,
        n_neighbors=n_neighbors,
        reg=reg,
        degree=degree,
        weights=weights,
        terms=terms,
        device=device,
        dtype=dtype,
        batch_atoms=batch_atoms,
        optimizer=optimizer,
        max_steps=max_steps,
        fmax=fmax,
        movable=movable,
        cell=cell,
        strain_mask=strain_mask,
        hydrostatic_strain=hydrostatic_strain,
        constant_volume=constant_volume,
        symprec=symprec,
        schedule=schedule,
        noise=noise,
        n_starts=n_starts,
        n_conformers=n_conformers,
        start_noise=start_noise,
        escape=escape,
        max_error=max_error,
        seed=seed,
    )
    given, by = structures_of(structures), Workers(workers, ray_address)
    watching = _watching(by, callback, history, trajectory, trajectory_interval)
    relaxer = replace(Relaxer.make(given, database, settings), watching=watching)
    results = Results()
    with _written(trajectory) as write:
        for shard in write(execute(relaxer, given, by, progress)):
            some = (without_frames(each, history) for each in shard.results)
            results += (with_matches(each, relaxer.evaluator) for each in some)
    return Results(sorted(results, key=attrgetter("number")))


@names_unknown
def relax_iter(
    structures: AnyStructure | Files | Iterable[AnyStructure],
    database: EnvironmentDatabase | str | None = None,
    in_order: bool = True,
    *,
    workers: int | None = None,
    ray_address: str | None = None,
    progress: Callable[[int], None] | None = None,
    callback: Callback | None = None,
    history: bool = False,
    trajectory: str | Path | None = None,
    trajectory_interval: int = 1,
    **options: Unpack[RelaxOptions],
) -> Iterator[Result]:
    """Relax more structures than lie in memory at once, and yield the results.

    Args:
        structures: As for ``relax``. Files are read ahead while others relax; other iterables are
            read in this thread.
        database: As for ``relax``.
        in_order: Whether results come in input order; else as they are made, which with several
            ``workers`` is sooner. ``Result.number`` tells the place of each.
        workers, ray_address, progress, callback, history, trajectory, trajectory_interval: As for
            ``relax``. A file of a trajectory is there once the last result is.
        options: All other options of ``relax``.

    Results come some batches at a time, and ``structures`` are read no faster than that: should
    reading them fail, those read since the last results are lost. A part of a file that cannot be
    read fails like a structure that cannot be relaxed.

    Raises:
        InputError: At once, for arguments that make no sense.
    """
    settings, by = Settings(**options), Workers(workers, ray_address)
    watching = _watching(by, callback, history, trajectory, trajectory_interval)
    given = structures_of(structures)
    relaxer = replace(Relaxer.make(given, database, settings), watching=watching)
    relaxed = execute(relaxer, given, by, progress)

    def results() -> Iterator[Result]:
        with _written(trajectory) as write:
            for shard in write(by_number(relaxed) if in_order else relaxed):
                for each in shard.results:
                    yield with_matches(without_frames(each, history), relaxer.evaluator)

    return results()


def _watching(
    by: Workers,
    callback: Callback | None,
    history: bool,
    trajectory: str | Path | None,
    interval: int,
) -> Watching:
    """Return the wishes about the steps; raise ``InputError`` for those that make no sense."""
    interval = whole("trajectory_interval", interval)
    if callback is not None and (by.count is not None or by.ray_address is not None):
        raise InputError("a callback is called in this process: it goes with no workers")
    if trajectory is not None:
        check_trajectory(trajectory)
    return Watching(callback, None if trajectory is None else interval, history)


@contextmanager
def _written(
    trajectory: str | Path | None,
) -> Iterator[Callable[[Iterable[RelaxedShard]], Iterable[RelaxedShard]]]:
    """Yield a function that writes the frames of shards, in input order, as they pass."""
    if trajectory is None:
        yield lambda shards: shards
        return
    with trajectories(trajectory) as add:

        def written(shards: Iterable[RelaxedShard]) -> Iterator[RelaxedShard]:
            for shard in by_number(shards):
                add(shard.results)
                yield shard

        yield written
