"""Descriptors and databases restricted to a batch's elements give what the whole ones give."""

import numpy as np
import pytest
import torch
from ase.build import molecule

from losiko_torch import SOAP, Batch, EnvironmentDatabase
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.targets.locally_linear import LocallyLinear
from losiko_torch.loss.targets.nearest import Nearest

SPECIES = ["H", "C", "N", "O", "F"]
WEIGHTS = {"H": 1.0, "C": 2.0, "N": 0.5, "O": 1.5, "F": 1.0}
SIZE = {"r_cut": 3.0, "n_max": 4, "l_max": 3, "sigma": 0.4}


@pytest.mark.parametrize("mode", ["off", "crossover", "mu1nu1", "mu2"])
@pytest.mark.parametrize("weighting", [None, WEIGHTS])
def test_features_are_those_columns_and_the_others_vanish(mode, weighting):
    compression = {"mode": mode, "species_weighting": weighting}
    whole = SOAP(species=SPECIES, compression=compression, **SIZE)
    part, columns = whole.restricted([1, 8])
    peroxide = molecule("H2O2")
    features = whole.create(peroxide)
    assert np.allclose(part.create(peroxide), features[:, columns], rtol=0, atol=1e-13)
    assert np.abs(np.delete(features, columns, axis=1)).max(initial=0.0) == 0.0
    assert part.get_number_of_features() == len(columns)


def test_all_elements_give_the_descriptor_itself():
    whole = SOAP(species=SPECIES, **SIZE)
    assert whole.restricted([1, 6, 7, 8, 9, 92])[0] is whole


@pytest.mark.parametrize("target", [Nearest(), LocallyLinear(n_neighbors=8)])
def test_loss_and_gradient_are_equal(target):
    names = ["CH3OH", "CH4", "CH3NO2", "NH3", "CF4", "H2CO", "CH3CH2OH"]
    database = EnvironmentDatabase.build(map(molecule, names), SOAP(species=SPECIES, **SIZE))
    acid = molecule("HCOOH")
    acid.rattle(0.1, seed=3)
    batch = Batch.from_atoms([acid, molecule("CH3OH")])
    objective = Objective(database, target)
    restricted = objective.restricted(batch.numbers)
    assert restricted.database.descriptor.species == (1, 6, 8)
    full, part = (
        each.evaluate(batch, each.search_at(batch).matching) for each in (objective, restricted)
    )
    torch.testing.assert_close(part.loss, full.loss, rtol=0, atol=1e-12)
    torch.testing.assert_close(part.gradient, full.gradient, rtol=0, atol=1e-12)
