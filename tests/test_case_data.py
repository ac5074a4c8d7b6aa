"""Sources of the notebooks' structures: the public originals, checked, or stand-ins."""

import numpy as np
import pytest
from cases import data, prototypes
from fetched_data import FAILED, MOLECULES, entry, qm9_at, stand_in_client
from file_server import FileServer

from losiko_torch.io.fetching.fetch import WHOLE
from losiko_torch.io.fetching.materials_project import KEY


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """A folder for what is kept, and no reference data."""
    monkeypatch.delenv("LOSIKO_DATA", raising=False)
    monkeypatch.setenv("LOSIKO_CACHE", str(tmp_path))
    monkeypatch.setattr(data, "QUICK", False)
    return tmp_path


def test_qm9_is_fetched_once(no_data, monkeypatch, capsys):
    with FileServer({"molecules": MOLECULES, "failed": FAILED}) as server:
        monkeypatch.setitem(WHOLE, "qm9", qm9_at(server))
        assert data.qm9_arrays()["id"].tolist() == [1, 3]
        assert "from figshare" in capsys.readouterr().out
        asked = len(server.asked)
        assert data.qm9_arrays()["Z"].tolist()[:2] == [6, 1]
        assert len(server.asked) == asked == 2


def test_another_checksum_is_told_and_the_built_in_database_stands_in(no_data, monkeypatch, capsys):
    with FileServer({"molecules": b"something else", "failed": FAILED}) as server:
        monkeypatch.setitem(WHOLE, "qm9", qm9_at(server))
        assert len(data.qm9_arrays()["id"]) > 1000
    told = capsys.readouterr().out
    assert "its checksum (MD5) is" in told
    assert "stand in" in told
    assert not list(no_data.iterdir())


def test_crystals_come_through_the_client(no_data, monkeypatch):
    pytest.importorskip("pymatgen")
    asked = stand_in_client(monkeypatch, [entry("mp-149", 0.0)])
    (silicon,) = data.crystals("Si-O", hull=0.1)
    assert silicon.info["material_id"] == "mp-149"
    assert asked["chemsys"] == ["O", "Si", "O-Si"]
    assert (no_data / "Si-O.extxyz").exists()
    assert data.crystals("Si-O", hull=-1.0) == []


def test_glass_comes_by_its_names(no_data, monkeypatch):
    pytest.importorskip("pymatgen")
    asked = stand_in_client(monkeypatch, [entry(data.AMORPHOUS_SILICA[0], 0.2)])
    assert len(data.amorphous_silica()) == 1
    assert asked["material_ids"] == list(data.AMORPHOUS_SILICA)


def test_without_a_key_it_says_so_and_stands_in(no_data, monkeypatch, capsys):
    monkeypatch.delenv(KEY, raising=False)
    assert {a.info["material_id"] for a in data.crystals("C", hull=0.1)} >= {"graphite", "diamond"}
    told = capsys.readouterr().out
    assert "MP_API_KEY" in told
    assert "stand in" in told
    assert not list(no_data.iterdir())


@pytest.mark.parametrize(("system", "count"), [("C", 3), ("Si-O", 3), ("Li-Co-O-H", 3)])
def test_textbook_crystals_have_sensible_distances(system, count):
    made = prototypes.crystals(system)
    assert len(made) == count
    for atoms in made:
        apart = (atoms * (2, 2, 2)).get_all_distances(mic=True)
        nearest = np.where(apart > 0, apart, np.inf).min(axis=1)
        assert nearest.min() > 0.85
        assert nearest.max() < 2.4
