"""The notebooks run from top to bottom, in a small size, and are stored with what they showed."""

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
for package in ("ipykernel", "chgnet", "tblite", "rdkit"):
    pytest.importorskip(package)

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
MOST_BYTES = 1_000_000


def cells(path):
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_all_cases_are_there():
    assert NAMES == [
        "01_water",
        "02_qm9",
        "03_proton_defect",
        "04_interface",
        "05_inverse_design",
        "06_from_smiles",
    ]


@pytest.fixture(scope="module")
def fonts(tmp_path_factory):
    """A folder for matplotlib's list of fonts: another's list may lack some, which it warns of."""
    return tmp_path_factory.mktemp("matplotlib")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_runs(path, monkeypatch, fonts):
    monkeypatch.setenv("MPLCONFIGDIR", str(fonts))
    monkeypatch.setenv("LOSIKO_QUICK", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()
    # Warnings would end in the stored output as well.
    streams = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert not [out["text"] for out in streams if out.get("name") == "stderr"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_is_stored_with_its_output(path):
    assert path.stat().st_size < MOST_BYTES
    counts = [cell.execution_count for cell in cells(path)]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in cells(path) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    text = path.read_text()
    assert os.sep + "home" + os.sep not in text
    assert "/tmp/" not in text
