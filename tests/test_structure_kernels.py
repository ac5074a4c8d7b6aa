"""Kernels between structures: DScribe's numbers, laws, gradients and errors.

Errors against DScribe are absolute, of similarities up to 1: 1e-8 is promised.
"""

import dscribe.kernels
import numpy as np
import pytest
import sparse
import torch
from ase.build import molecule
from ase.collections import g2

from losiko_torch import SOAP, AverageKernel, Batch, REMatchKernel
from losiko_torch.errors import InputError, StructureError
from losiko_torch.similarity import blocks as blocks_module
from losiko_torch.similarity import kernels as kernels_module

PARITY = 1e-8
SPECIES = ["H", "C", "N", "O"]
#: Sizes that differ and sizes that repeat, one atom alone among them.
NAMES = ["H2O", "CH4", "CO2", "NH3", "C2H6", "HCN", "O", "CH3OH", "H2CO", "C6H6"]
METRICS = [
    {"metric": "linear"},
    {"metric": "cosine"},
    {"metric": "rbf"},
    {"metric": "rbf", "gamma": 0.3},
    {"metric": "laplacian", "gamma": 0.05},
    {"metric": "polynomial"},
    {"metric": "poly", "gamma": 0.02, "degree": 2, "coef0": 0.5},
    {"metric": "sigmoid", "gamma": 0.01, "coef0": 0.1},
]


def described(names, scale=0.05, **options):
    soap = SOAP(species=SPECIES, r_cut=3.0, n_max=3, l_max=2, sigma=0.4, **options)
    return [soap.create(molecule(name)) * scale for name in names]


def bumps(one, two, width=1.0):
    return float(np.exp(-np.sum((one - two) ** 2) / width))


@pytest.fixture(scope="module")
def features():
    return described(NAMES)


@pytest.mark.parametrize("options", METRICS, ids=str)
@pytest.mark.parametrize("normalize", [True, False])
def test_average_equals_dscribes(options, normalize, features):
    ours = AverageKernel(**options, normalize_kernel=normalize)
    theirs = dscribe.kernels.AverageKernel(**options, normalize_kernel=normalize)
    assert abs(ours.create(features) - theirs.create(features)).max() < PARITY
    pairs = features[:4], features[3:]
    assert abs(ours.create(*pairs) - theirs.create(*pairs)).max() < PARITY


@pytest.mark.parametrize("options", METRICS, ids=str)
@pytest.mark.parametrize("alpha", [0.05, 0.3, 2.0])
def test_rematch_equals_dscribes(options, alpha, features):
    ours = REMatchKernel(alpha=alpha, **options)
    theirs = dscribe.kernels.REMatchKernel(alpha=alpha, **options)
    if options["metric"] in ("linear", "polynomial", "poly"):
        # Larger similarities than 1 would overflow in DScribe.
        features = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in features]
    assert abs(ours.create(features) - theirs.create(features)).max() < PARITY
    pairs = features[:4], features[3:]
    assert abs(ours.create(*pairs) - theirs.create(*pairs)).max() < PARITY


@pytest.mark.parametrize("threshold", [1e-2, 1e-4, 1e-12])
def test_rematch_stops_where_dscribe_does(threshold, features):
    """A threshold that is not small shows in the result, so the iterations must be the same."""
    for normalize in (True, False):
        options = {"metric": "cosine", "alpha": 0.2, "normalize_kernel": normalize}
        ours = REMatchKernel(threshold=threshold, **options).create(features)
        theirs = dscribe.kernels.REMatchKernel(threshold=threshold, **options).create(features)
        assert abs(ours - theirs).max() < PARITY


@pytest.mark.parametrize("metric", ["chi2", "additive_chi2"])
def test_metrics_of_what_is_not_negative(metric, features):
    options = {"metric": metric, "normalize_kernel": metric == "chi2"}
    positive = [abs(each) for each in features]
    theirs = dscribe.kernels.AverageKernel(**options, gamma=0.1).create(positive)
    assert abs(AverageKernel(**options, gamma=0.1).create(positive) - theirs).max() < PARITY
    assert AverageKernel("chi2").create(positive) == pytest.approx(
        AverageKernel("chi2", gamma=1.0).create(positive)
    )
    with pytest.raises(StructureError, match="structure 1 of x has negative features"):
        AverageKernel(metric).create([positive[0], -positive[0]])


@pytest.mark.parametrize("kernel", ["AverageKernel", "REMatchKernel"])
def test_a_function_as_metric(kernel, features):
    """With NumPy's arrays it sees rows of them, as in DScribe, with tensors rows that remember."""
    options = {"metric": bumps, "kernel_params": {"width": 3.0}}
    ours = getattr(kernels_module, kernel)(**options).create(features[:4])
    assert abs(ours - getattr(dscribe.kernels, kernel)(**options).create(features[:4])).max() < 1e-8

    def like_bumps(one, two):
        return torch.exp(-(one - two).square().sum() / 3.0)

    tensors = [torch.tensor(each, requires_grad=True) for each in features[:4]]
    again = getattr(kernels_module, kernel)(metric=like_bumps).create(tensors)
    assert abs(again.detach().numpy() - ours).max() < 1e-12
    again.sum().backward()
    assert all(each.grad.any() for each in tensors)


def test_sparse_features_and_stacked_ones(features):
    kernel = REMatchKernel(metric="cosine")
    dense = kernel.create(features)
    assert np.array_equal(kernel.create([sparse.COO.from_numpy(f) for f in features]), dense)
    alike = np.stack(described(["H2O", "CO2"]))
    assert np.array_equal(kernel.create(alike), kernel.create(list(alike)))


@pytest.mark.parametrize("kernel", [AverageKernel("rbf"), REMatchKernel(metric="rbf")])
def test_blocks_do_not_matter(kernel, features, monkeypatch):
    whole = kernel.create(features), kernel.create(features[:3], features)
    monkeypatch.setattr(blocks_module, "SIMILARITIES_AT_ONCE", 1)
    monkeypatch.setattr("losiko_torch.similarity.metrics.DIFFERENCES_AT_ONCE", 1)
    parts = kernel.create(features), kernel.create(features[:3], features)
    for one, two in zip(whole, parts, strict=True):
        assert abs(one - two).max() < 1e-13


@pytest.mark.parametrize("kernel", [AverageKernel("cosine"), REMatchKernel(metric="cosine")])
def test_laws(kernel, features):
    """Symmetric, 1 with itself, positive semidefinite, blind to the order of atoms."""
    whole = kernel.create(features)
    assert abs(whole - whole.T).max() < 1e-6
    assert abs(whole.diagonal() - 1).max() < 1e-12
    assert np.linalg.eigvalsh((whole + whole.T) / 2).min() > -1e-3
    turned = [each[::-1].copy() for each in features]
    assert abs(kernel.create(turned) - whole).max() < 1e-12
    order = np.random.default_rng(0).permutation(len(features))
    moved = kernel.create([features[k] for k in order])
    assert abs(moved - whole[np.ix_(order, order)]).max() < 1e-3


def test_limits_of_alpha(features):
    """From the best match of atoms to the average."""
    raw = {"metric": "cosine", "normalize_kernel": False}
    average = AverageKernel(**raw).create(features)
    assert abs(REMatchKernel(alpha=1e12, **raw).create(features) - average).max() < 1e-10
    # Each atom of a structure matches itself.
    sharp = REMatchKernel(alpha=1e-3, **raw).create(features[:4])
    assert abs(sharp.diagonal() - 1).max() < 1e-3


def test_similarities_that_overflow_elsewhere():
    """Products of SOAP's features reach thousands, whose exponential makes DScribe's NaN."""
    features = described(["H2O", "NH3"])
    features = [each * 40 / max(abs(f).max() for f in features) for each in features]
    ours = REMatchKernel(alpha=1.0).create(features)
    assert np.isfinite(ours).all()
    with np.errstate(all="ignore"):
        assert np.isnan(dscribe.kernels.REMatchKernel(alpha=1.0).create(features)).any()
    # The kernel is the same for features and alpha in other units.
    small = [each / 1e3 for each in features]
    assert abs(REMatchKernel(alpha=1e-6).create(small) - ours).max() < 1e-9


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(
    "metric", ["linear", "cosine", "rbf", "laplacian", "polynomial", "sigmoid", "chi2"]
)
@pytest.mark.parametrize("kernel", [AverageKernel, REMatchKernel])
def test_gradients(kernel, metric, normalize):
    rng = np.random.default_rng(1)
    sizes = (2, 3, 2)
    x = [torch.tensor(rng.uniform(0.1, 1, (n, 4)), requires_grad=True) for n in sizes]
    options = {"alpha": 1.0} if kernel is REMatchKernel else {}
    own = kernel(**options, metric=metric, normalize_kernel=normalize)
    assert torch.autograd.gradcheck(lambda *each: own.create(each), x)
    assert torch.autograd.gradcheck(lambda *each: own.create(each[:1], each[1:]), x)


def test_gradient_by_positions_through_the_descriptor():
    soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=2, l_max=1, sigma=0.5)
    batch = Batch.from_atoms([molecule("H2O"), molecule("H2O2")])

    def similarity(positions):
        features = soap(batch.with_positions(positions)).split(batch.counts.tolist())
        return REMatchKernel(metric="cosine", alpha=0.2).create(features)[0, 1]

    assert torch.autograd.gradcheck(similarity, batch.positions.clone().requires_grad_())


def test_tensors_keep_their_precision_and_mix_with_arrays(features):
    kernel = AverageKernel("rbf")
    single = kernel.create([torch.tensor(each, dtype=torch.float32) for each in features])
    assert single.dtype == torch.float32
    assert abs(single.numpy() - kernel.create(features)).max() < 1e-5
    mixed = kernel.create(features[:2], [torch.tensor(each) for each in features])
    assert isinstance(mixed, torch.Tensor)
    assert np.array_equal(mixed.numpy(), kernel.create(features[:2], features))


def test_atoms_of_two_structures(features):
    x, y = features[0], features[4]
    for ours, theirs in (
        (AverageKernel("rbf"), dscribe.kernels.AverageKernel("rbf")),
        (REMatchKernel(0.3), dscribe.kernels.REMatchKernel(0.3)),
    ):
        assert abs(ours.get_pairwise_matrix(x, y) - theirs.get_pairwise_matrix(x, y)).max() < 1e-10
        assert ours.get_pairwise_matrix(x).shape == (3, 3)
        local = np.random.default_rng(0).uniform(0, 1, (3, 5))
        found = ours.get_global_similarity(local)
        assert isinstance(found, float)
        assert found == pytest.approx(theirs.get_global_similarity(local), abs=PARITY)
    assert isinstance(AverageKernel("rbf").get_pairwise_matrix(torch.tensor(x)), torch.Tensor)


def test_many_molecules_of_many_sizes():
    names = [n for n in g2.names if set(molecule(n).symbols) <= set(SPECIES)][:40]
    features = described(names)
    options = {"metric": "cosine", "alpha": 0.3}
    theirs = dscribe.kernels.REMatchKernel(**options).create(features)
    assert abs(REMatchKernel(**options).create(features) - theirs).max() < PARITY


BAD = [
    ({"metric": "liner"}, "there is no metric 'liner': did you mean 'linear'"),
    ({"metric": 3}, "there is no metric 3: there are linear, "),
    ({"metric": "rbf", "gamma": "wide"}, "gamma must be a finite number, not 'wide'"),
    ({"metric": "poly", "degree": None}, "degree must be a finite number"),
    ({"metric": "rbf", "gama": 1}, "has no option 'gama': did you mean 'gamma'"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=str)
@pytest.mark.parametrize("kernel", [AverageKernel, REMatchKernel])
def test_bad_parameters(kernel, options, message):
    with pytest.raises(InputError, match=message):
        kernel(**options)


def test_bad_features(features):
    kernel = AverageKernel("linear")
    good = features[0]
    for x, message in (
        ([], "x has no structures"),
        (3, "x must be a list of the features of structures"),
        ([good, good[0]], r"structure 1 of x needs features of shape \(n_atoms, n_features\)"),
        ([good, good[:0]], "structure 1 of x needs features of shape"),
        ([good, good[:, :5]], "the structures of x have 5 and "),
        ([good, good * np.nan], "structure 1 of x has features that are not finite"),
        ([good, [["a"]]], "structure 1 of x has features that are no numbers"),
        ([good, good * 0], "structure 1 of x has the similarity 0 with itself"),
    ):
        with pytest.raises((InputError, StructureError), match=message):
            kernel.create(x)
    with pytest.raises(InputError, match=r"the structures of x and y have .* and 5 features"):
        kernel.create([good], [good[:, :5]])
    with pytest.raises(StructureError, match="structure 0 of y has the similarity 0"):
        kernel.create([good], [good * 0])
    for name in ("alpha", "threshold"):
        with pytest.raises(InputError, match=f"{name} must be positive, not 0"):
            REMatchKernel(**{name: 0})


def test_what_never_converges_is_said(features, monkeypatch):
    monkeypatch.setattr(kernels_module, "MOST_ITERATIONS", 5)
    with pytest.raises(InputError, match="REMatch did not converge to 1e-20 in 5 iterations"):
        REMatchKernel(metric="cosine", alpha=0.01, threshold=1e-20).create(features)
