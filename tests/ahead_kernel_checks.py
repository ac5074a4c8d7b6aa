"""What is launched was compiled ahead; ``test_kernels`` runs this in a process of its own.

Nothing is compiled and nothing is launched: noted are the keys by which Triton knows the variants
of a kernel, for an H100. Processors work out what kernels would.
"""

from functools import cache, partial
from itertools import product
from types import SimpleNamespace

import pretended_gpu
import pytest
import small_database
import stand_ins
import torch
from ase.build import molecule
from ase.collections import g2
from losiko_kernels import cpu, gpu
from triton.runtime.jit import JITFunction

from losiko_torch import EnvironmentDatabase, accelerators, relax
from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.known_problems import problems_for
from losiko_torch.loss.targets import locally_linear
from losiko_torch.relaxation import relaxer, stages
from losiko_torch.relaxation.ahead import relaxation_calls
from losiko_torch.systems import neighbors, pieces, sums, verlet_list

#: Kernels that every relaxation launches.
ALWAYS = {
    *("geometry_kernel", "expand_kernel", "backward_kernel", "atoms_kernel"),
    *("unit_kernel", "measure_kernel", "lbfgs_kernel"),
}
#: Those of each kind of target besides.
OF_TARGETS = {
    "learned": {"unit_backward_kernel", "inner_kernel", "conclude_kernel"},
    "locally-linear": {"unit_backward_kernel", "apart_kernel", "solve_kernel", "gradient_kernel"},
    "nearest": {"distance_kernel", "apart_kernel"},
}
MIXED = {"mix_kernel"}


@cache
def database(kind):
    """Return a small database with mixed channels or not; None stands for the built-in one."""
    if kind == "built-in":
        return None
    descriptor = small_database.soap()
    if kind == "mixed":
        noise = torch.randn((4, 5, 4, 6, 10), generator=torch.Generator().manual_seed(0))
        descriptor = MixedSoap(descriptor, descriptor.species, noise)
    return EnvironmentDatabase.build([g2[name] for name in small_database.NAMES], descriptor)


def nearest_of(queries, references, indices, k):
    apart = (references[indices].double() - queries[:, None].double()).square().sum(2)
    distances, order = apart.sort(dim=1, stable=True)
    return distances[:, :k], indices.gather(1, order[:, :k])


def beside(launching, working):
    """Return a function that launches what one does, and returns what the other does."""

    def both(*given, **named):
        launching(*given, **named)
        return working(*given, **named)

    return both


@pytest.fixture
def noted(monkeypatch):
    """Note the keys of all that is to be compiled, by the name of the kernel."""
    found = set()
    pretended_gpu.pretend()

    def note(kernel, key, *_):
        found.add((kernel.fn.__name__, key))

    monkeypatch.setattr(JITFunction, "_do_compile", note)
    return found


@pytest.fixture
def on_a_gpu(monkeypatch):
    """Let relaxations on the processor go the way of a GPU."""
    work = {name: getattr(cpu, name, None) for name in gpu.__all__}
    work |= {name: getattr(stand_ins, name) for name in stand_ins.NAMES}
    work["nearest_of"] = nearest_of
    del work["ahead"]
    kernels = SimpleNamespace(**{k: beside(getattr(gpu, k), own) for k, own in work.items()})
    monkeypatch.setattr(accelerators, "_kernels", lambda device: kernels)
    monkeypatch.setattr(accelerators, "_loaded", {"cpu"})
    stand_ins.let_go_by(monkeypatch, kernels)
    for module in (stages, verlet_list, locally_linear):
        monkeypatch.setattr(module, "avoids_waits", lambda device: True)
    for module in (neighbors, sums):
        monkeypatch.setattr(module, "adds_in_any_order", lambda device: True)


def crowd():
    """Return molecules of five sizes, more than fit at once, whose pieces begin anywhere."""
    names = ["H2O", "CH3OH", "CH3CONH2", "C5H5N", "C6H6", "CH3CH2NH2"]
    made = [molecule(name) for name in names for _ in range(3)]
    for k, atoms in enumerate(made):
        atoms.rattle(0.1, seed=k)
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("targets", "kind"),
    [("learned", "built-in"), *product(["locally-linear", "nearest"], ["mixed", "plain"])],
)
def test_nothing_is_launched_that_was_not_compiled(
    noted, on_a_gpu, monkeypatch, targets, kind, dtype
):
    ahead = set()

    def compiled(*given):
        launched = noted.copy()
        for call in relaxation_calls(*given, gpu.ahead):
            call()
        ahead.update(noted - launched)
        noted.intersection_update(launched)

    monkeypatch.setattr(relaxer, "compile_ahead", compiled)
    monkeypatch.setattr(pieces, "ON_PROCESSOR", 11)
    options = {"targets": targets, "dtype": dtype, "max_steps": 16, "batch_atoms": 60}
    references = database(kind)
    noted.clear()
    relax(crowd(), references, **options)
    mixed = set() if kind == "plain" else MIXED
    assert {name for name, _ in noted} == ALWAYS | OF_TARGETS[targets] | mixed
    assert noted <= ahead, noted - ahead


def test_known_problems_are_compiled_ahead(noted):
    for problem in problems_for(gpu):
        problem("meta")
    ahead = noted.copy()
    noted.clear()
    for problem in problems_for(gpu):
        problem("cpu")
    assert len({name for name, _ in noted}) == 12
    assert noted == ahead


def test_what_fails_ahead_stops_nothing(noted):
    called = []
    gpu.ahead.compile_ahead([partial(torch.zeros, "no size"), lambda: called.append(1)])
    assert called == [1]


def test_an_older_triton_compiles_where_kernels_are_launched(noted, monkeypatch):
    monkeypatch.setattr(gpu.ahead, "ASYNC", None)
    called = []
    gpu.ahead.compile_ahead([lambda: called.append(1)])
    assert called == []
