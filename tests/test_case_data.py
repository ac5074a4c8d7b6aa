"""Sources of the notebooks' structures: the public originals, checked, or stand-ins."""

import io
import sys
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from cases import data, fetching, prototypes

#: A molecule as in QM9's files: count, "gdb", number and properties; atoms with charges;
#: frequencies, SMILES, InChI. One number is in Mathematica's notation.
METHANE = """5
gdb 1\t157.7118\t157.70997
C\t-0.0126981359\t 1.0858041578\t 0.0080009958\t-0.535689
H\t 0.0021504160\t-0.0060313176\t 1.9761204*^-3\t 0.133921
H\t 1.0117308433\t 1.4637511618\t 2.76572*^-4\t 0.133922
H\t-0.5408150690\t 1.4475266138\t-0.8766437152\t 0.133923
H\t-0.5238136345\t 1.4379326443\t 0.9063972942\t 0.133923
1341.307\t1341.3284
C\tC
InChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4
"""
FLUORIDE = """2
gdb 7\t1.0
H\t0\t0\t0\t0
F\t0\t0\t0.92\t0
1\t2
F\tF
InChI\tInChI
"""
FAILED = """List of molecules
====
  Index   SMILES
     58   C#CC#C   C  0.3
    61  CCC  CC 0.1
"""


def archive(**files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:bz2") as members:
        for name, text in files.items():
            info = tarfile.TarInfo(f"{name}.xyz")
            info.size = len(text)
            members.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


def test_qm9_is_read_as_it_comes(tmp_path, monkeypatch):
    sent = {
        fetching.QM9[0]: archive(
            one=METHANE, two=FLUORIDE, three=METHANE.replace("gdb 1", "gdb 58")
        ),
        fetching.QM9_FAILED[0]: FAILED.encode(),
    }
    monkeypatch.setattr(fetching, "fetched", lambda address, md5: sent[address])
    fetching.qm9(tmp_path / "qm9.npz")
    with np.load(tmp_path / "qm9.npz") as arrays:
        assert arrays["id"].tolist() == [1]
        assert arrays["Z"].tolist() == [6, 1, 1, 1, 1]
        assert arrays["offsets"].tolist() == [0, 5]
        np.testing.assert_allclose(arrays["R"][1], [0.0021504160, -0.0060313176, 1.9761204e-3])


def test_another_checksum_is_refused(monkeypatch):
    answer = io.BytesIO(b"not QM9")
    monkeypatch.setattr(fetching.urllib.request, "urlopen", lambda *_, **__: answer)
    with pytest.raises(fetching.NotFetched, match="the checksum is"):
        fetching.fetched(*fetching.QM9)


def test_crystals_come_through_the_client(tmp_path, monkeypatch):
    adaptor = pytest.importorskip("pymatgen.io.ase").AseAtomsAdaptor
    asked = {}

    class Client:
        def __init__(self, key):
            summary = SimpleNamespace(search=self.search)
            self.materials = SimpleNamespace(summary=summary)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def search(self, fields, **criteria):
            asked.update(criteria)
            silicon = adaptor.get_structure(bulk("Si"))
            yield SimpleNamespace(
                material_id="mp-149",
                formula_pretty="Si",
                energy_above_hull=0.0,
                structure=silicon,
            )

    monkeypatch.setitem(sys.modules, "mp_api", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "mp_api.client", SimpleNamespace(MPRester=Client))
    monkeypatch.setenv(fetching.KEY, "a key")
    monkeypatch.delenv("LOSIKO_DATA", raising=False)
    monkeypatch.setenv("LOSIKO_CACHE", str(tmp_path))
    monkeypatch.setattr(data, "QUICK", False)
    (silicon,) = data.crystals("Si-O", hull=0.1)
    assert silicon.info["material_id"] == "mp-149"
    assert asked == {"chemsys": ["O", "Si", "O-Si"]}
    assert (tmp_path / "Si-O.extxyz").exists()
    assert data.crystals("Si-O", hull=-1.0) == []


def test_without_a_key_it_says_so_and_stands_in(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("LOSIKO_DATA", raising=False)
    monkeypatch.delenv(fetching.KEY, raising=False)
    monkeypatch.setenv("LOSIKO_CACHE", str(tmp_path))
    monkeypatch.setattr(data, "QUICK", False)
    assert {a.info["material_id"] for a in data.crystals("C", hull=0.1)} >= {"graphite", "diamond"}
    told = capsys.readouterr().out
    assert "MP_API_KEY" in told
    assert "stand in" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("system", "count"), [("C", 3), ("Si-O", 3), ("Li-Co-O-H", 3)])
def test_textbook_crystals_have_sensible_distances(system, count):
    made = prototypes.crystals(system)
    assert len(made) == count
    for atoms in made:
        apart = (atoms * (2, 2, 2)).get_all_distances(mic=True)
        nearest = np.where(apart > 0, apart, np.inf).min(axis=1)
        assert nearest.min() > 0.85
        assert nearest.max() < 2.4
