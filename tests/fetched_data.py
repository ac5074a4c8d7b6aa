"""Small stand-ins for what is fetched: an archive as QM9's, and the Materials Project's client."""

import hashlib
import io
import sys
import tarfile
from types import SimpleNamespace

from ase.build import bulk, molecule

from losiko_torch.io.fetching.dataset import Source
from losiko_torch.io.fetching.materials_project import KEY
from losiko_torch.io.fetching.qm9 import QM9

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
FAILED = b"""List of molecules
====
  Index   SMILES
     58   C#CC#C   C  0.3
    61  CCC  CC 0.1
"""


def frame(number, name):
    """A molecule of ASE in the manner of QM9's files."""
    atoms = molecule(name)
    rows = "\n".join(
        "\t".join([symbol, *(f"{x:.10f}" for x in place), "0.0"])
        for symbol, place in zip(atoms.symbols, atoms.positions, strict=True)
    )
    return f"{len(atoms)}\ngdb {number}\t1.0\n{rows}\n1\t2\nC\tC\nInChI=x\tInChI=x\n"


def archive(*frames):
    """A tar archive of files, compressed as QM9's is."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:bz2") as members:
        for number, text in enumerate(frames):
            info = tarfile.TarInfo(f"dsgdb9nsd_{number:06}.xyz")
            info.size = len(text)
            members.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


#: Two molecules to keep, one with fluorine, and one that failed the check.
MOLECULES = archive(METHANE, FLUORIDE, frame(58, "C2H6"), frame(3, "CH3OH"))


def qm9_at(server, molecules=MOLECULES, **how):
    """QM9 at a server that has "molecules" and "failed"; ``molecules`` is what it should be."""
    how = {"pause": 0.0, "timeout": 5.0, **how}
    sources = {"molecules": molecules, "failed": FAILED}
    return QM9(
        **{
            name: Source(server.address(name), hashlib.md5(content).hexdigest(), **how)
            for name, content in sources.items()
        }
    )


def entry(name, energy, structure=None):
    """An entry as the client of the Materials Project has it."""
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = structure or bulk("Si")
    return SimpleNamespace(
        material_id=name,
        formula_pretty="Si",
        energy_above_hull=energy,
        structure=AseAtomsAdaptor.get_structure(atoms),
    )


def stand_in_client(monkeypatch, entries, key="a key of mine", broken=None):
    """Put a client in the place of mp-api's; return what it is asked."""
    asked = {}

    class Client:
        def __init__(self, key, mute_progress_bars):
            asked["key"] = key
            self.materials = SimpleNamespace(summary=SimpleNamespace(search=self.search))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def search(self, fields, **criteria):
            asked.update(criteria)
            if broken is not None:
                raise broken
            yield from entries

    monkeypatch.setitem(sys.modules, "mp_api", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "mp_api.client", SimpleNamespace(MPRester=Client))
    monkeypatch.setenv(KEY, key)
    return asked
