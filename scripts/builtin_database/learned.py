"""Make what a built-in database ships beside its structures: networks, and facts about them.

    OMP_NUM_THREADS=1 python scripts/builtin_database/learned.py --work WORK_FOLDER

This makes those of ``organic``; ``qm9.py`` those of ``qm9``. ``NAME_learned.safetensors`` holds
learned targets fitted to structures (to those of ``organic.npz`` here), and
``NAME_known.safetensors`` the descriptor of the references, a SOAP whose channels are mixed, and
distances. Only the geometries are used. The same command goes on after an interruption. Networks
are rounded to half precision, which changes the error on the structures held out by less than it
prints.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from losiko_torch import SOAP, EnvironmentDatabase
from losiko_torch.database.building.survey import distances_of
from losiko_torch.database.builtin import builtin_metadata, builtin_structures
from losiko_torch.database.known import rounded, write_known
from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.learned.begin import samples
from losiko_torch.learned.components import mixed_soap
from losiko_torch.learned.copies import Geometry
from losiko_torch.learned.expected_error import calibration
from losiko_torch.learned.fit import FitOptions, fit_model, split
from losiko_torch.learned.fitting import HeldOut
from losiko_torch.learned.model import LearnedModel
from losiko_torch.learned.stored import read, write

DATA = Path(__file__).resolve().parents[2] / "losiko_torch" / "data"
#: SOAP of the references, and the channels that stay of it (lengths in Angstrom).
REFERENCES, CHANNELS = {"r_cut": 3.0, "n_max": 8, "l_max": 6, "sigma": 0.3}, 24
#: SOAP of the networks, before its channels are mixed.
NETWORKS = {"r_cut": 4.0, "n_max": 6, "l_max": 4, "sigma": 0.3, "smooth_width": 0.5}


def seen_by_references(species: list[str], geometries: list[Geometry]) -> MixedSoap:
    """Return the descriptor of the references."""
    batches = list(samples(geometries, np.random.default_rng(0), torch.empty(0)))
    return rounded(mixed_soap(SOAP(species=species, **REFERENCES), batches, CHANNELS))


def describe(
    name: str, species: list[str], structures: list[Atoms], fitted: list[Atoms] | None = None
) -> None:
    """Describe all references once, for what is known of them together.

    Distances and bonds that occur are those of the ``fitted`` structures, where these are others.
    """
    geometries = list(map(Geometry.of, structures))
    began = time.perf_counter()
    database = EnvironmentDatabase.build(structures, seen_by_references(species, geometries))
    if fitted is not None:
        closest, survey = distances_of(fitted)
        survey = replace(survey, unlike=database.survey.unlike)
        database = replace(database, closest=closest, survey=survey)
    minutes = (time.perf_counter() - began) / 60
    path = DATA / f"{name}_known.safetensors"
    write_known(database, path)
    print(f"{path}: {database}, described in {minutes:.1f} min", flush=True)


def rare_sizes_repeated(geometries: list[Geometry]) -> list[Geometry]:
    """Return structures, those of rare sizes many times: QM9 has only three of one heavy atom.

    How many times is the root of how much more frequent the most frequent number of heavy atoms is.
    """
    heavy = [int((each.numbers > 1).sum()) for each in geometries]
    counts = Counter(heavy)
    most = max(counts.values())
    times = {size: round((most / count) ** 0.5) for size, count in counts.items()}
    pairs = zip(geometries, heavy, strict=True)
    return [each for each, size in pairs for _ in range(times[size])]


def fit(
    soap: SOAP,
    structures: list[Atoms],
    options: FitOptions,
    start: Path | None = None,
) -> LearnedModel:
    """Return learned targets fitted to structures, begun with those of a file if one is given."""
    return _fitted(soap, geometries_of(structures), options, start)


def fit_further(
    soap: SOAP, structures: list[Atoms], options: FitOptions, start: Path, held_out_of: int
) -> LearnedModel:
    """Return learned targets fitted further, structures of rare sizes repeated.

    Held out are, as in the fit before, those that the seed ``held_out_of`` chooses; they tell the
    error and calibrate.
    """
    kept, held_out = split(geometries_of(structures), held_out_of)
    found = _fitted(soap, rare_sizes_repeated(kept), options, start)
    like = torch.empty(0)
    judges = HeldOut.of(held_out[::2], like, held_out_of)
    info = {
        **found.info,
        "structures": len(kept),
        "held_out": len(held_out),
        "error_before": judges.error(read(start, soap)),
        "error": judges.error(found),
        "calibration": calibration(found, held_out[1::2], held_out_of, like),
    }
    print(info, flush=True)
    return replace(found, info=info)


def geometries_of(structures: list[Atoms]) -> list[Geometry]:
    """Return what a fit takes of structures of two atoms and more."""
    return [Geometry.of(each) for each in structures if len(each) > 1]


def _fitted(
    soap: SOAP, geometries: list[Geometry], options: FitOptions, start: Path | None
) -> LearnedModel:
    began = time.perf_counter()

    def tell(step: int, steps: int, error: float) -> None:
        if step % 500 == 0:
            minutes = (time.perf_counter() - began) / 60
            print(f"{step:,} of {steps:,} steps, error {error:.3f}, {minutes:.1f} min", flush=True)

    begun = None if start is None else read(start, soap)
    model = fit_model(soap, geometries, options, begun, tell)
    print(model.info, flush=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for what can be resumed")
    parser.add_argument("--steps", type=int, help="steps of the fit")
    parser.add_argument("--more", type=int, default=20_000, help="steps with rare sizes repeated")
    parser.add_argument("--start", type=Path, help="networks to begin with")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    structures, species = list(builtin_structures()), builtin_metadata()["elements"]
    options = FitOptions(seed=0, steps=arguments.steps, checkpoint=arguments.work / "organic.fit")
    soap = SOAP(species=species, **NETWORKS)
    learned = DATA / "organic_learned.safetensors"
    write(fit(soap, structures, options, arguments.start), learned)
    again = FitOptions(seed=1, steps=arguments.more, checkpoint=arguments.work / "organic.again")
    write(fit_further(soap, structures, again, learned, held_out_of=0), learned)
    describe("organic", species, structures)


if __name__ == "__main__":
    main()
