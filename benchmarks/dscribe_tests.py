"""DScribe's own tests of SOAP, ACSF and kernels, run against the classes here.

    python benchmarks/dscribe_tests.py PATH [--theirs]

PATH is a checkout of DScribe's repository at v2.1.2 (the archive on PyPI leaves out
`tests/conftest.py` and the coefficients that some tests load). Its `tests/test_soap.py`,
`test_acsf.py` and `test_kernels.py` are run as they stand; `SOAP`, `ACSF`, `AverageKernel` and
`REMatchKernel` of the installed DScribe are replaced by ours, which count as its local descriptors.
With --theirs nothing is replaced: what fails then is missing from PATH or from the machine.

It prints how many tests of each file pass, and the name of each that fails with the reason, read
from its error.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from pathlib import Path

import common  # noqa: F401  (restricts all libraries to one core)
import dscribe.descriptors
import dscribe.kernels
import pytest
from dscribe.descriptors.descriptorlocal import DescriptorLocal

from losiko_torch import ACSF, SOAP, AverageKernel, REMatchKernel

FILES = ("test_soap.py", "test_acsf.py", "test_kernels.py")
#: What an error says, and the reason that it stands for.
REASONS = (
    (r"AttributeError: .* has no attribute '(_\w+)'", r"reads the private attribute `\1`"),
    (r"FileNotFoundError: .*?([\w.-]+\.npy)", r"PATH lacks `\1`"),
    (r"(?:np\.)?array_equal\(", "wants derivatives by some atoms to equal those by all bit by bit"),
    (r"DID NOT RAISE", "wants an error where there is an answer"),
)


class Outcomes:
    """Results of the tests, as a plugin of pytest."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self.failed: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed[report.nodeid.split("/")[-1]] = reason(report.longreprtext)
        elif report.when == "call":
            self.passed[file_of(report.nodeid)] += 1


def file_of(name: str) -> str:
    return name.split("::")[0].split("/")[-1]


def reason(text: str) -> str:
    """Why a test fails, by the text of its error."""
    for pattern, words in REASONS:
        found = re.search(pattern, text)
        if found:
            return found.expand(words)
    lines = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    return lines[0] if lines else text.strip().splitlines()[-1]


def replace() -> None:
    """Put the classes here into DScribe's modules."""
    dscribe.descriptors.SOAP, dscribe.descriptors.ACSF = SOAP, ACSF
    dscribe.kernels.AverageKernel = AverageKernel
    dscribe.kernels.REMatchKernel = REMatchKernel
    for ours in (SOAP, ACSF):
        DescriptorLocal.register(ours)


def table(outcomes: Outcomes) -> str:
    """How many tests of each file pass, and the reason of each that fails."""
    failed = Counter(file_of(name) for name in outcomes.failed)
    lines = ["| tests | passed | of |", "|---|---|---|"]
    for name in FILES:
        passed = outcomes.passed[name]
        lines.append(f"| `{name}` | {passed} | {passed + failed[name]} |")
    every = outcomes.passed.total()
    lines.append(f"| together | {every} | {every + failed.total()} |")
    if outcomes.failed:
        lines += ["", "| fails | why |", "|---|---|"]
        lines += [f"| `{name}` | {why} |" for name, why in outcomes.failed.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path, help="checkout of DScribe's repository at v2.1.2")
    parser.add_argument("--theirs", action="store_true", help="run DScribe's own classes")
    options = parser.parse_args()
    folder = options.path.resolve() / "tests"
    missing = [name for name in (*FILES, "conftest.py") if not (folder / name).exists()]
    if missing:
        parser.error(
            f"{folder} lacks {', '.join(missing)}: give a checkout of DScribe's repository, "
            "whose archive on PyPI is not complete"
        )
    if not options.theirs:
        replace()
    outcomes = Outcomes()
    own = [str(folder / name) for name in FILES]
    pytest.main(
        ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder), *own],
        plugins=[outcomes],
    )
    print(table(outcomes))


if __name__ == "__main__":
    main()
