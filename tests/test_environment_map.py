"""The map of environments: where points lie, what is drawn, and what is refused."""

import sys
from functools import cache
from html.parser import HTMLParser

import ase.io
import matplotlib.image
import numpy as np
import pytest
import small_database
from ase import Atoms
from ase.build import bulk
from ase.collections import g2
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from losiko_torch import EnvironmentDatabase, InputError
from losiko_torch.cli import main
from losiko_torch.report import map_drawing as module
from losiko_torch.report import map_page
from losiko_torch.report.environment_map import environment_map
from losiko_torch.report.map_drawing import write_png
from losiko_torch.report.map_page import write_html, writer_for


def mapped(structures=(), database=None, **options):
    return environment_map(
        structures, database or small_database.database(), dtype="float64", **options
    )


@cache
def ethanol_and_furan():
    ethanol, furan = small_database.rattled("CH3CH2OH"), small_database.rattled("C4H4O")
    ethanol.info["name"], furan.info["smiles"] = "<b>ethanol</b> & </script>", "c1ccoc1"
    return mapped([ethanol, furan])


def coordinates(drawn):
    """Coordinates and distances of the atoms by structure and index."""
    return {
        (structure, atom): (*xy, distance)
        for each in drawn.elements
        for xy, structure, atom, distance in zip(*each.atoms, each.separation, strict=True)
    }


def same_points(one, other, atol=1e-6):
    a, b = coordinates(one), coordinates(other)
    assert a.keys() == b.keys()
    np.testing.assert_allclose([a[k] for k in a], [b[k] for k in a], atol=atol)


# --- where points lie


def test_structures_of_the_database_lie_on_their_references():
    names = ["C6H6", "CH3CONH2", "CH3NO2", "H2O"]
    drawn = mapped([g2[name] for name in names])
    assert not drawn.failures
    assert sum(len(each.separation) for each in drawn.elements) == sum(len(g2[n]) for n in names)
    for each in drawn.elements:
        own = {(structure, atom): xy for xy, structure, atom in zip(*each.references, strict=True)}
        for xy, structure, atom in zip(*each.atoms, strict=True):
            origin = small_database.NAMES.index(names[structure])
            np.testing.assert_allclose(xy, own[origin, atom], atol=1e-5)
        # Tolerance: the root of the rounding of float32 vectors of unit length.
        assert each.separation.max() < 3e-4
        np.testing.assert_allclose(each.references.xy[each.nearest], each.atoms.xy, atol=1e-4)


def test_components_are_those_of_the_centred_descriptors():
    """Coordinates and shares agree with numpy's singular values of the full descriptors."""
    features = [small_database.soap().create(g2[name]) for name in small_database.NAMES]
    numbers = np.concatenate([g2[name].numbers for name in small_database.NAMES])
    full = np.concatenate(features)
    full /= np.linalg.norm(full, axis=1, keepdims=True)
    for each in mapped().elements:
        rows = full[numbers == each.number]
        left, values, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
        np.testing.assert_allclose(each.share, (values**2 / (values**2).sum())[:2], atol=1e-5)
        expected = left[:, :2] * values[:2]
        signs = np.sign((expected * each.references.xy).sum(0))
        np.testing.assert_allclose(each.references.xy, expected * signs, atol=1e-4)
        np.testing.assert_allclose(each.axes.T @ each.axes, np.eye(2), atol=1e-9)
        assert each.share[0] >= each.share[1] > 0
        np.testing.assert_allclose(each.references.xy.mean(0), 0, atol=1e-6)
        variances = each.references.xy.var(0)
        assert variances[0] >= variances[1]
        assert abs((each.references.xy[:, 0] * each.references.xy[:, 1]).mean()) < 1e-9


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_moving_a_structure_rigidly_moves_no_point(seed):
    rng = np.random.default_rng(seed)
    atoms = small_database.rattled("CH3CONH2", seed)
    moved = atoms.copy()
    rotation = Rotation.random(random_state=seed).as_matrix()
    moved.positions = atoms.positions @ rotation.T + rng.normal(0, 10, 3)
    same_points(mapped(atoms), mapped(moved))


def test_order_of_atoms_and_structures_is_only_a_name():
    names = ["CH3CONH2", "C4H4O", "CH3NO2"]
    structures = [small_database.rattled(name) for name in names]
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(atoms)) for atoms in structures]
    mixed = [atoms[order] for atoms, order in zip(structures, orders, strict=True)][::-1]
    one, other = coordinates(mapped(structures)), coordinates(mapped(mixed, batch_atoms=1))
    for k, order in enumerate(orders):
        for place, atom in enumerate(order):
            np.testing.assert_allclose(other[2 - k, place], one[k, atom], atol=1e-6)


def test_order_of_the_database_does_not_turn_the_map():
    names = small_database.NAMES[::-1]
    backwards = EnvironmentDatabase.build([g2[name] for name in names], small_database.soap())
    atoms = small_database.rattled("CH3CONH2")
    same_points(mapped(atoms), mapped(atoms, backwards), atol=2e-4)


def test_few_references_span_what_they_can():
    drawn = mapped(small_database.rattled("H2O"), small_database.water_database())
    for each in drawn.elements:
        assert not each.axes.any()
        assert not each.share.any()
        assert np.isfinite(each.atoms.xy).all()
        assert (each.separation > 0).all()


def test_elements_and_names():
    assert [each.symbol for each in mapped().elements] == ["H", "C", "N", "O"]
    assert mapped().structures == []
    drawn = ethanol_and_furan()
    assert [each.symbol for each in drawn.elements] == ["H", "C", "O"]
    assert drawn.structures == ["<b>ethanol</b> & </script> (C2H6O)", "c1ccoc1 (C4H4O)"]
    assert drawn.references[0] == "structure 0 (CH4)"


def test_what_cannot_be_described_is_listed():
    structures = [g2["SiH4"], g2["H2O"], bulk("C"), Atoms(), g2["HF"]]
    drawn = mapped(iter(structures))
    assert list(drawn.failures) == [0, 2, 3, 4]
    assert "does not know Si" in drawn.failures[0]
    assert {structure for structure, _ in coordinates(drawn)} == {1}
    alone = mapped(g2["SiH4"])
    assert [each.symbol for each in alone.elements] == ["H", "C", "N", "O"]
    assert coordinates(alone) == {}


# --- what is drawn


class Page(HTMLParser):
    """Parser of a page: tags left open, links to elsewhere, and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        self.links += [value for key, value in attributes if key in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


def test_page(tmp_path):
    path = tmp_path / "map.html"
    drawn = ethanol_and_furan()
    write_html(drawn, path, title="A <map> & more")
    text = path.read_text()
    page = Page(text)
    assert page.open == page.links == []
    assert "A <map> & more" in page.text
    assert "atoms of 2 structures" in page.text
    assert "Not on the map" not in page.text
    # Names stand in the data, made safe for the page; its program makes them so for plotly.
    assert r'"\u003cb\u003eethanol\u003c/b\u003e \u0026 \u003c/script\u003e (C2H6O)"' in text
    assert '"c1ccoc1 (C4H4O)"' in text
    assert '"structure 39 (H2)"' in text
    for number, atoms in enumerate(drawn.atoms):
        picture = map_page._data(drawn, 5000, 1.0)["items"]["structures"][number]
        assert picture["symbols"] == str("".join(atoms.get_chemical_symbols()))
    before = path.read_bytes()
    with pytest.raises(InputError, match="is left alone"):
        write_html(drawn, path)
    assert path.read_bytes() == before
    write_html(drawn, path, overwrite=True, title="A <map> & more")
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["map.1.html", "map.html"]


def test_page_tells_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(map_page, "LISTED", 2)
    write_html(mapped([g2["SiH4"]] * 4 + [g2["H2O"]]), tmp_path / "map.html")
    text = Page((tmp_path / "map.html").read_text()).text
    assert "Not on the map: structure 0 (H4Si): the descriptor does not know Si" in text
    assert "structure 1 (H4Si)" in text
    assert "structure 2 (H4Si)" not in text
    assert "and 2 more structures." in text
    assert "atoms of 1 structure," in text


def test_picture(tmp_path):
    path = tmp_path / "map.png"
    drawn = ethanol_and_furan()
    write_png(drawn, path)
    image = matplotlib.image.imread(path)[..., :3]
    assert min(image.shape[:2]) > 400
    gray = np.ptp(image, axis=2) < 0.02
    assert 0.5 < (image.min(2) > 0.99).mean() < 0.99
    assert (~gray).sum() > 500
    before = path.read_bytes()
    with pytest.raises(InputError, match="is left alone"):
        write_png(drawn, path)
    write_png(drawn, path, overwrite=True)
    assert path.read_bytes() == before
    write_png(mapped(), tmp_path / "database.png")
    image = matplotlib.image.imread(tmp_path / "database.png")[..., :3]
    assert (np.ptp(image, axis=2) < 0.02).all()
    assert (image.min(2) < 0.9).sum() > 1000


def test_a_failed_drawing_leaves_no_trace(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "legend", fail)
    for write in (write_png, write_html):
        with pytest.raises(KeyboardInterrupt):
            write(ethanol_and_furan(), tmp_path / "map")
    assert list(tmp_path.iterdir()) == []


def test_more_references_than_are_drawn(tmp_path, monkeypatch):
    """References drawn are always the same ones, an atom's nearest reference among them."""
    monkeypatch.setattr(module, "DRAWN", 10)
    drawn = ethanol_and_furan()
    for each in drawn.elements:
        chosen = module.sample(each, 10)
        assert np.isin(each.nearest, chosen).all()
        assert 10 <= len(chosen) <= 10 + len(each.nearest)
        np.testing.assert_array_equal(chosen, module.sample(each, 10))
    write_html(drawn, tmp_path / "map.html")
    text = Page((tmp_path / "map.html").read_text()).text
    assert "at most 10 an element, chosen at random" in text


# --- the command


@pytest.fixture
def losiko(tmp_path, monkeypatch, capsys):
    """Runs ``losiko map`` in a folder with structures and a database."""
    monkeypatch.chdir(tmp_path)
    ase.io.write("in.xyz", [small_database.rattled(name) for name in ("H2O", "C6H6")])
    ase.io.write("mixed.xyz", [g2["SiH4"], g2["H2O"]])
    small_database.database().save("db.losiko")

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["map", *arguments])
        return end.value.code, *capsys.readouterr()

    return run


def test_command(losiko, tmp_path):
    status, out, err = losiko("in.xyz", "-d", "db.losiko", "-o", "map.html")
    assert (status, err) == (0, "")
    assert "2 of 2 structures among" in out
    assert "written to map.html" in out
    page = (tmp_path / "map.html").read_text()
    assert "<title>2 structures among the environments of db.losiko</title>" in page
    assert "in.xyz@1 (C6H6)" in page
    status, out, _ = losiko("-d", "db.losiko", "-o", "map.PNG")
    assert status == 0
    assert "environments of H C N O from db.losiko" in out
    assert matplotlib.image.imread("map.PNG").size
    status, out, err = losiko("mixed.xyz", "-d", "db.losiko", "-o", "map.html", "--force")
    assert (status, err) == (1, "")
    assert "mixed.xyz@0: the descriptor does not know Si" in out
    assert "1 of 2 structures among" in out
    assert "Not on the map: mixed.xyz@0" in (tmp_path / "map.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("in.xyz", "-o", "map.svg"), "name it .html or .png"),
        (("in.xyz", "-o", "in.xyz", "--force"), "name it .html or .png"),
        (("in.xyz", "-o", "there.html"), "exists already"),
        (("in.xyz", "-d", "there.html", "-o", "there.html", "-f"), "no input is ever overwritten"),
        (("in.xyz", "-o", "nowhere/map.html"), "there is no folder"),
        (("nothing.xyz", "-o", "map.html"), "no such file"),
        (("in.xyz", "-d", "in.xyz", "-o", "map.html"), "in.xyz"),
        (("in.xyz", "-d", "db.losiko", "-o", "map.html", "--dtype", "float16"), "dtype"),
        (("in.xyz",), "output"),
    ],
)
def test_refusals_write_nothing(losiko, tmp_path, arguments, reason):
    (tmp_path / "there.html").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    status, out, err = losiko(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("losiko: error: ")
    assert reason in err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_without_plotly(losiko, tmp_path, monkeypatch):
    # Python takes None in the place of a module for a module that is not installed.
    for name in [name for name in sys.modules if name.startswith("plotly.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "plotly", None)
    status, out, err = losiko("in.xyz", "-d", "db.losiko", "-o", "map.html")
    assert (status, out) == (2, "")
    assert "pip install 'losiko-torch[map]'" in err
    assert not (tmp_path / "map.html").exists()
    with pytest.raises(InputError, match="needs plotly"):
        write_html(ethanol_and_furan(), "map.html")
    assert writer_for("map.png") is write_png


def test_help_teaches(losiko):
    status, out, _ = losiko("--help")
    assert status == 0
    assert "Example" in out
    assert "losiko-torch[map]" in out
