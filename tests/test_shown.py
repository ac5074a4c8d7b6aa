"""Results, scores, matches and databases at a prompt and in a notebook: short, and escaped."""

import copy
import operator
import pickle
import re
import textwrap
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given
from hypothesis import strategies as st
from small_database import database, rattled, soap, water_database

from losiko_torch import (
    ACSF,
    SOAP,
    EnvironmentDatabase,
    Results,
    Scores,
    default_database,
    relax,
    relax_iter,
    score,
)
from losiko_torch.database import builtin
from losiko_torch.database.on_demand import EnvironmentsOnDemand
from losiko_torch.learned.stored import LEARNED
from losiko_torch.results import Matches, MatchesOnDemand, Result, Score
from losiko_torch.shown.many import ROWS
from losiko_torch.shown.text import counted, first_words, shortened
from losiko_torch.shown.three_d import programs

#: Most characters of a line.
LINE = 250
DOUBT = "atom 3 (H) left atom 0 (O), which it was bonded to: " + "look at the structure " * 20
NASTY = '<b>"bold"</b> & <script>alert(1)</script>\n\x1b[31mred'


def unwanted():
    raise AssertionError("the matches were searched")


def result(kind="converged", number=0, **info):
    atoms = molecule("H2O")
    atoms.info.update(info)
    matches = MatchesOnDemand(unwanted)
    if kind == "failed":
        nan = np.full(3, np.nan)
        why = "failed: atoms 0 and 1 lie within 0.1 A of each other"
        return Result(atoms, np.nan, np.nan, False, 0, why, nan, None, number)
    distances = np.array([1e-4, 3e-3, 2e-3])
    made = Result(atoms, 0.00512, 0.3, True, 12, "converged", distances, matches, number)
    if kind == "doubtful":
        return replace(made, doubt=DOUBT)
    if kind == "max_steps":
        return replace(made, converged=False, reason="max_steps")
    return made


class Reader(HTMLParser):
    """Tags, styles and text of a page; raises for a tag that is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.cells = [], set(), set(), []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes |= set(attributes)
        self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.cells[-1] += data


def assert_plain(html):
    """Assert that a table has no colours or links, nor scripts but a view's; return its reader."""
    reader = Reader(html.replace(programs(), ""))
    table = {"p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert reader.tags <= {*table, "div", "script"}
    assert reader.attributes <= {
        *{("style", "text-align: left"), ("type", "application/json")},
        *{("class", "losiko-holder"), ("class", "losiko-place")},
    }
    assert html.count("<script") == html.count("</script>")
    return reader


def test_a_result_is_a_line():
    assert repr(result()) == (
        "Result(structure 0 (H2O): converged, reliable, loss 0.00512, 12 steps)"
    )
    assert repr(result("failed", 7)) == (
        "Result(structure 7 (H2O): failed: atoms 0 and 1 lie within 0.1 A of each other)"
    )
    assert repr(result("max_steps")) == (
        "Result(structure 0 (H2O): max_steps, loss 0.00512, 12 steps; not reliable)"
    )
    doubtful = repr(result("doubtful"))
    assert doubtful.startswith(
        "Result(structure 0 (H2O): converged, loss 0.00512, 12 steps; doubtful: atom 3 (H) left"
    )
    assert doubtful.endswith(" ...)")
    assert len(doubtful) < LINE


def test_a_result_is_known_by_its_names():
    named = result(name="water", losiko_source="in.xyz@3")
    assert named.name == "water, in.xyz@3 (H2O)"
    assert repr(named).startswith("Result(water, in.xyz@3 (H2O): converged")
    assert repr(replace(named, atoms=Atoms())).startswith("Result(structure 0 (no atoms): ")


def test_an_expected_error_stands_in_place_of_the_loss():
    expected = replace(result(), expected_error=np.array([0.02, 0.04, 0.04]))
    assert "converged, reliable, expected RMSD 0.035 A, 12 steps" in repr(expected)
    assert "loss" not in repr(expected)
    assert "0.035 A" in expected._repr_html_()


@pytest.mark.parametrize("kind", ["converged", "doubtful", "failed", "max_steps"])
def test_a_table_of_a_result_tells_what_the_line_does_and_more(kind):
    made = result(kind, name="water")
    cells = assert_plain(made._repr_html_()).cells
    assert {"water (H2O)", made.reason} <= set(cells)
    assert (kind == "failed") == ("loss" not in cells)
    if kind == "doubtful":
        assert DOUBT.strip() in cells
    if kind != "failed":
        assert {"0.00512, 0.3 at the start", "0.003, atom 1 (H)"} <= set(cells)


def test_terms_and_starts_are_in_the_table():
    made = replace(result(), terms={"<density>": 0.25}, starts=(result(), result()))
    cells = assert_plain(made._repr_html_()).cells
    assert cells[cells.index("term <density>") + 1] == "0.25"
    assert cells[cells.index("starts") + 1] == "2"


@pytest.mark.parametrize("kind", ["converged", "doubtful", "failed"])
def test_names_and_reasons_are_escaped(kind):
    nasty = replace(result(kind, name=NASTY), doubt=NASTY)
    if kind == "failed":
        nasty = replace(nasty, reason=f"failed: {NASTY}")
    scores = [Score(nasty.atoms, np.nan, nasty.distances, None, NASTY)]
    shown = [nasty, Results([nasty]), *scores, Scores(scores)]
    for each in shown:
        cells = assert_plain(each._repr_html_()).cells
        assert any("<b>" in cell and "&" in cell for cell in cells)
        assert "\x1b" not in repr(each) + each._repr_html_().replace(programs(), "")
        assert "&lt;b&gt;&quot;bold&quot;&lt;/b&gt; &amp;" in each._repr_html_()
    assert "\n" not in repr(nasty)


@given(st.text(), st.text())
def test_any_name_and_doubt_stay_on_one_short_line(name, doubt):
    made = replace(result(name=name), doubt=doubt)
    assert len(repr(made)) < LINE
    assert repr(made).isprintable()
    assert_plain(made._repr_html_())
    assert_plain(Results([made])._repr_html_())


@given(st.text(), st.integers(10, 40))
def test_shortened_texts_fit(text, width):
    for short in (shortened(text, width), first_words(text, width)):
        assert len(short) <= width
        assert short.isprintable()


def test_a_long_name_keeps_its_beginning_and_its_formula():
    line = repr(result(name="a/long/path/" * 20 + "last.xyz@3"))
    assert line.startswith("Result(a/long/path/")
    assert "last.xyz@3 (H2O): converged" in line
    assert first_words("word " * 30, 20) == "word word word ..."


def many(count):
    """Results of which all but a few, at the end, are reliable."""
    few = ["doubtful", "failed", "max_steps"]
    kinds = ["converged"] * max(count - len(few), 1) + few
    return Results(result(kind, number) for number, kind in enumerate(kinds[:count]))


@pytest.mark.parametrize("count", [0, 1, 4, ROWS, ROWS + 1, 1000])
def test_a_list_shows_counts_and_few_lines(count):
    results = many(count)
    lines = repr(results).splitlines()
    assert len(lines) == 1 + min(count, ROWS)
    assert all(len(line) < LINE for line in lines)
    reader = assert_plain(results._repr_html_())
    table = results._repr_html_().replace(programs(), "")
    assert table.count("<tr>") == (1 + min(count, ROWS) if count else 0)
    for title in (lines[0], "".join(reader.cells)):
        assert f"{count:,} structure" in title
        assert (f"{ROWS} shown, the failed and doubtful first" in title) == (count > ROWS)


def test_the_counts_are_right():
    assert repr(many(0)) == "Results(0 structures)"
    assert repr(many(1)).startswith("Results(1 structure: 1 converged, 1 reliable, 0 failed)\n")
    title = "Results(1,000 structures: 998 converged, 997 reliable, 1 failed; "
    assert repr(many(1000)).startswith(title)


def test_of_many_the_failed_and_doubtful_are_shown():
    lines = repr(many(1000)).splitlines()[1:]
    places = [int(re.match(r" +\[(\d+)\] ", line)[1]) for line in lines]
    assert places == [998, 997, 999, *range(ROWS - 3)]
    assert "failed" in lines[0]
    assert "doubtful" in lines[1]


@pytest.mark.parametrize(
    "make", [many, lambda count: Scores(score([molecule("H2O")] * count, water_database()))]
)
def test_a_list_is_a_list_in_every_way(make):
    given_items = make(5)
    kind, plain = type(given_items), list(given_items)
    assert isinstance(given_items, list)
    assert given_items == plain
    assert plain == given_items
    assert [*given_items] == plain
    assert given_items[1] is plain[1]
    assert given_items[-1] is plain[-1]
    for same, like in (
        (given_items[1:3], plain[1:3]),
        (given_items[::-2], plain[::-2]),
        (given_items[9:], []),
        (given_items.copy(), plain),
        (copy.copy(given_items), plain),
        (given_items + plain[:2], plain + plain[:2]),
    ):
        assert type(same) is kind
        assert same == like
    given_items += plain[:1]
    assert type(given_items) is kind
    assert len(given_items) == 6
    with pytest.raises(TypeError):
        operator.add(given_items, (1,))
    with pytest.raises(IndexError):
        given_items[6]


def test_a_list_that_holds_other_things_is_shown_as_a_plain_list():
    mixed = Results([3, [4], None])
    assert repr(mixed) == "[3, [4], None]"
    assert mixed._repr_html_() is None
    assert type(mixed[1]) is list
    mixed.append(mixed)
    assert repr(mixed) == "[3, [4], None, [...]]"


def test_results_are_pickled():
    results = relax([rattled("H2O"), molecule("SiH4")], water_database(), targets="nearest")
    again = pickle.loads(pickle.dumps(results))
    assert type(again) is Results
    assert repr(again) == repr(results)
    assert repr(pickle.loads(pickle.dumps(results[0]))) == repr(results[0])
    assert np.array_equal(again[0].matches.structure, results[0].matches.structure)


def test_relax_and_score_return_them():
    starts = [rattled("H2O"), molecule("SiH4"), rattled("CH4")]
    starts[2].info["name"] = "methane"
    results = relax(starts, database(), targets="nearest")
    assert type(results) is Results
    lines = repr(results).splitlines()
    assert lines[0].startswith("Results(3 structures: ")
    assert "structure 0 (H2O): converged" in lines[1]
    assert "structure 1 (H4Si): failed: " in lines[2]
    assert "methane (CH4): converged" in lines[3]
    collected = Results(relax_iter(starts, database(), targets="nearest"))
    assert repr(collected) == repr(results)
    chosen = Results(each for each in results if each.failed)
    assert repr(chosen).startswith("Results(1 structure: 0 converged, 0 reliable, 1 failed)\n")

    scores = score(starts, database(), targets="nearest")
    assert type(scores) is Scores
    lines = repr(scores).splitlines()
    assert lines[0] == "Scores(3 structures: 2 judged, 1 failed)"
    assert lines[1].startswith("  [0] H2O: loss 0.")
    assert lines[2].startswith("  [1] H4Si: failed: ")
    assert repr(scores[2]).startswith("Score(methane (CH4): loss 0.")
    assert re.search(r"largest distance [\d.e-]+, atom \d \([CH]\)\)$", repr(scores[2]))
    assert "methane (CH4)" in assert_plain(scores._repr_html_()).cells
    assert "loss" in assert_plain(scores[2]._repr_html_()).cells
    assert "loss" not in assert_plain(scores[1]._repr_html_()).cells


def test_no_array_is_printed():
    (judged,) = score(rattled("C6H6"), database())
    (relaxed,) = relax(rattled("C6H6"), database(), n_starts=2, targets="locally-linear")
    assert len(relaxed.starts) == 2
    for each in (judged, relaxed, judged.matches, relaxed.matches, [relaxed], (judged,)):
        assert "array" not in repr(each)
        assert len(repr(each)) < LINE
    assert repr(judged.matches) == "Matches(12 atoms, up to 64 references each)"
    parts = repr(database().environments)
    assert "tensor" not in parts
    assert len(parts) < 4 * LINE


def test_matches_on_demand_are_not_searched_for_showing():
    made = result()
    with pytest.raises(AssertionError, match="searched"):
        _ = made.matches.structure
    for each in (made, replace(made, starts=(made,)), Results([made] * 30)):
        assert repr(each)
        assert each._repr_html_()
    assert repr(made.matches).startswith("Matches(not searched yet")
    found = Matches(*(np.zeros((3, 2)) for _ in range(4)))
    later = MatchesOnDemand(lambda: found)
    assert later.structure.shape == (3, 2)
    assert repr(later) == repr(found) == "Matches(3 atoms, up to 2 references each)"


def test_a_notebook_asks_for_no_more():
    formatters = pytest.importorskip("IPython.core.formatters")
    results = Results([result(name="<b>"), result("failed")])
    shown, _ = formatters.DisplayFormatter().format(results)
    assert shown["text/plain"] == repr(results)
    assert shown["text/html"] == results._repr_html_()
    shown, _ = formatters.DisplayFormatter().format(results[0].matches)
    assert shown == {"text/plain": repr(results[0].matches)}


def test_a_database_is_a_line_and_a_table():
    made = EnvironmentDatabase.build(
        [molecule("CH3OH"), molecule("H2O")], soap(), metadata={"title": NASTY}
    )
    assert (
        repr(made)
        == f"EnvironmentDatabase(2 structures: 6 H, 1 C, 2 O; SOAP with {made.n_features} features)"
    )
    cells = assert_plain(made._repr_html_()).cells
    facts = dict(pairwise(cells))
    assert facts["structures"] == "2"
    assert facts["environments"] == "9: 6 H, 1 C, 2 O"
    assert facts["learned targets"] == "none"
    assert facts["descriptor"].startswith("SOAP, r_cut 3 A")
    assert facts["title"].startswith('<b>"bold"</b> & <script>')
    learned = replace(made, fitted={LEARNED: {}})
    assert repr(learned) == repr(made)[:-1] + "; learned targets)"
    cells = assert_plain(learned._repr_html_()).cells
    assert dict(pairwise(cells))["learned targets"] == "yes"


def test_a_database_of_many_elements_stays_a_line():
    counts = {f"E{k}": k for k in range(1, 90)}
    assert counted(counts) == (", ".join(f"{k} E{k}" for k in range(89, 77, -1)) + " and 77 more")
    assert counted({"H": 2, "O": 1}) == "2 H, 1 O"


def test_the_builtin_database_is_shown_without_describing_it(monkeypatch):
    def described(*names):
        raise AssertionError("the references were described")

    monkeypatch.setattr(builtin, "_described", described)
    builtin.builtin_database.cache_clear()
    try:
        made = default_database()
        assert repr(made).endswith("; learned targets)")
        assert len(repr(made)) < LINE
        assert_plain(made._repr_html_())
        assert repr(made.environments)
        part = made.environments[1]
        assert isinstance(part, EnvironmentsOnDemand)
        assert not part.is_described
        (relaxed,) = relax(rattled("H2O"), max_steps=2)
        for each in (relaxed, Results([relaxed]), relaxed.matches):
            assert len(repr(each)) < LINE
        assert relaxed._repr_html_()
        assert not part.is_described
        assert len(repr(made.learned)) < 4 * LINE
        assert "tensor" not in repr(made.learned)
        assert len(repr(made.descriptor).splitlines()) < 10
    finally:
        builtin.builtin_database.cache_clear()


def test_a_list_in_a_notebook_stays_short():
    """Twenty structures of a thousand are kept, and together no more atoms than there is room."""
    chain = Atoms("C480", np.arange(1440).reshape(-1, 3))
    large = [replace(result(), atoms=chain) for _ in range(30)]
    for results in (many(1000), Results(large)):
        assert len(results._repr_html_()) - len(programs()) < 200_000
    assert "show it alone" in Results(large)._repr_html_()
    assert "show it alone" not in many(1000)._repr_html_()


def test_the_start_is_known():
    start = rattled("H2O")
    (relaxed,) = relax(start, water_database(), targets="nearest")
    np.testing.assert_array_equal(relaxed.start.positions, start.positions)
    assert list(relaxed.start.symbols) == list(relaxed.atoms.symbols)
    assert "start" in relaxed.picture()
    (failed,) = relax(molecule("SiH4"), water_database(), targets="nearest")
    assert failed.start is None
    assert "start" not in failed.picture()


def test_the_cell_before_is_known():
    silicon = bulk("Si")
    base = EnvironmentDatabase.build(
        [silicon], SOAP(species=["Si"], r_cut=4.0, n_max=4, l_max=2, sigma=0.5, periodic=True)
    )
    start = silicon.copy()
    start.set_cell(silicon.cell * 1.02, scale_atoms=True)
    start.rattle(0.03, seed=0)
    (relaxed,) = relax(start, base, targets="nearest", cell=True)
    np.testing.assert_allclose(relaxed.start.cell, start.cell)
    np.testing.assert_allclose(relaxed.start.positions, start.positions)
    assert relaxed.atoms.cell.volume != pytest.approx(start.cell.volume, rel=1e-3)


@pytest.mark.parametrize(
    "descriptor", [soap(), ACSF(r_cut=4.0, g2_params=[[1.0, 0.5]], species=["H", "O"])]
)
def test_descriptors_are_a_few_lines(descriptor):
    text = repr(descriptor)
    assert len(text.splitlines()) < 6
    assert textwrap.dedent(text).startswith(type(descriptor).__name__)
    assert "tensor" not in text
    cells = assert_plain(descriptor._repr_html_()).cells
    told = dict(pairwise(cells))
    assert told["features"] == f"{descriptor.get_number_of_features():,}"
    assert told["r_cut"] == f"{descriptor.r_cut}"
    assert len(descriptor._repr_html_()) < 2000
