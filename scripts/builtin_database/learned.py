"""Make losiko_torch/data/organic_learned.safetensors: learned targets of the built-in molecules.

    OMP_NUM_THREADS=1 python scripts/builtin_database/learned.py --work WORK_FOLDER

The same command goes on after an interruption. Only the geometries are used. Networks are rounded
to half precision, which changes the error on the structures held out by less than it prints.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from losiko_torch import SOAP, EnvironmentDatabase
from losiko_torch.database.builtin import ELEMENTS, PARAMETERS, builtin_structures
from losiko_torch.learned.stored import write

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for what can be resumed")
    parser.add_argument("--steps", type=int, help="steps of the fit")
    parser.add_argument(
        "--out", type=Path, default=REPOSITORY / "losiko_torch/data/organic_learned.safetensors"
    )
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()

    def tell(step: int, steps: int, error: float) -> None:
        if step % 500 == 0:
            minutes = (time.perf_counter() - began) / 60
            print(f"{step:,} of {steps:,} steps, error {error:.3f}, {minutes:.1f} min", flush=True)

    soap = SOAP(species=ELEMENTS, **PARAMETERS)
    database = EnvironmentDatabase.build(builtin_structures(), soap)
    checkpoint = arguments.work / "organic.fit"
    fitted = database.fit(seed=0, steps=arguments.steps, checkpoint=checkpoint, progress=tell)
    assert fitted.learned is not None
    write(fitted.learned, arguments.out)
    print(f"{arguments.out}: {fitted.learned.info}")


if __name__ == "__main__":
    main()
