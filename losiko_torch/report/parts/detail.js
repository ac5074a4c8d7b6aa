// The chosen structure: what became of it, its picture, and its atoms, the worst first.
const WHEN = { both: "both", after: "after", before: "before" };
// More rows than anyone reads of a large structure's atoms.
const LISTED = 400;
let parts = null;

function switchOf(title, names, kept, choose) {
  const box = make("span", { className: "switch", role: "group", "aria-label": title }, title);
  for (const [key, name] of Object.entries(names)) {
    const button = make("button", { type: "button", "aria-pressed": String(key === kept), dataset: { key } }, name);
    button.addEventListener("click", () => {
      for (const other of box.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
      choose(key);
    });
    box.append(button);
  }
  return box;
}

function makeDetail() {
  const head = make("div", {});
  const tools = make("div", { className: "tools" });
  const picture = make("div", { id: "viewer", tabIndex: 0, role: "application", "aria-label": "The structure in three dimensions: arrow keys turn it, plus and minus zoom, 0 shows all" });
  picture.addEventListener("keydown", turnByKey);
  const legend = make("p", { className: "legend" }), atom = make("p", { id: "atom" });
  const facts = make("dl", { className: "facts" }), atoms = make("div", {});
  find("detail").append(head, tools, picture, legend, atom, facts, atoms);
  parts = { head, tools, picture, legend, atom, facts, atoms };
}

function factsOf(row) {
  const facts = [["state", data.states[data.state[row]]]];
  const value = (key) => (data[key] ? data[key][row] : null);
  const add = (title, text) => facts.push([title, text]);
  add("formula", data.formula[row] + ", " + plural(data.n_atoms[row], "atom"));
  if (value("expected_rmsd") !== null) add("expected error", short(value("expected_rmsd"), "Å") + " (RMS of the atoms)");
  if (value("rmsd") !== null) add("RMSD to reference", short(value("rmsd"), "Å"));
  if (value("moved") !== null) add("moved", short(value("moved"), "Å") + " (RMS of the atoms)");
  if (value("loss") !== null) add("loss", short(value("start_loss")) + " before, " + short(value("loss")) + " after");
  for (const [name, values] of Object.entries(data.terms)) if (values[row] !== null) add("term " + name, short(values[row]));
  if (value("largest_distance") !== null) add("largest distance", short(value("largest_distance")));
  if (value("n_steps") !== null) add("steps", value("n_steps").toLocaleString("en"));
  return facts;
}

function drawTitle(row) {
  const told = sentenceOf(row);
  parts.head.replaceChildren(
    make("h3", {}, nameOf(row)),
    make("p", { className: "where quiet" }, `${data.source[row]}, number ${data.number[row].toLocaleString("en")} of the run`),
  );
  if (told) parts.head.append(make("p", { className: "sentence state-" + data.state[row] }, capital(told)));
  parts.facts.replaceChildren(...factsOf(row).map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

function drawTools(structure) {
  const begun = structure.atoms[0].before !== null;
  const known = (key) => key === "element" || structure.atoms.some((atom) => atom[key] !== null && !Number.isNaN(atom[key]));
  const by = Object.fromEntries(Object.entries(COLOURS).filter(([key]) => known(key)));
  if (!by[look.by]) look.by = "element";
  const redraw = () => drawViewer(structure);
  const shown = switchOf("show", WHEN, look.when, (key) => ((look.when = key), redraw()));
  const coloured = switchOf("colour", by, look.by, (key) => ((look.by = key), redraw()));
  const whole = make("button", { type: "button" }, "Show all");
  whole.addEventListener("click", () => {
    if (!viewer) return;
    viewer.removeAllLabels();
    viewer.zoomTo();
    viewer.render();
    sayAtom(null);
  });
  parts.tools.replaceChildren(...(begun ? [shown] : []), coloured, whole);
}

function sayAtom(atom) {
  const known = (value) => value !== null && !Number.isNaN(value);
  parts.atom.textContent = !atom ? "" : [
    "atom " + atom.symbol + atom.index,
    known(atom.error) && "expected error " + short(atom.error, "Å"),
    known(atom.distance) && "distance " + short(atom.distance),
    known(atom.moved) && "moved " + short(atom.moved, "Å"),
    atom.nearest && "nearest to " + atom.nearest,
  ].filter(Boolean).join(" · ");
}

function pickAtom(atom, zoom) {
  pointAt(atom, zoom);
  sayAtom(atom);
}

function drawAtoms(structure) {
  const known = (key) => structure.atoms.some((atom) => atom[key] !== null && !Number.isNaN(atom[key]) && atom[key] !== "");
  const columns = [["error", "expected error, Å", 3], ["distance", "distance", 0], ["moved", "moved, Å", 3]].filter(([key]) => known(key));
  const head = make("tr", {}, make("th", { className: "left", scope: "col" }, "atom"), ...columns.map(([, title]) => make("th", { scope: "col" }, title)));
  if (known("nearest")) head.append(make("th", { className: "left", scope: "col" }, "nearest reference"));
  const worst = columns.length ? columns[0][0] : "index";
  const ordered = [...structure.atoms].sort((a, b) => (columns.length ? b[worst] - a[worst] : 0) || a.index - b.index);
  const body = make("tbody", {});
  for (const atom of ordered.slice(0, LISTED)) {
    const button = make("button", { type: "button" }, atom.symbol + atom.index);
    button.addEventListener("click", () => pickAtom(atom, structure.atoms.length > 60));
    const line = make("tr", {}, make("td", { className: "left" }, button));
    for (const [key, , digits] of columns) line.append(make("td", {}, atom[key] === null || Number.isNaN(atom[key]) ? "–" : digits ? atom[key].toFixed(digits) : short(atom[key])));
    if (known("nearest")) line.append(make("td", { className: "left" }, atom.nearest));
    body.append(line);
  }
  const more = ordered.length > LISTED ? make("p", { className: "quiet" }, `The first ${LISTED} of ${plural(ordered.length, "atom")}.`) : null;
  parts.atoms.replaceChildren(
    make("div", { className: "atoms", tabIndex: 0, role: "region", "aria-label": "Atoms, the worst first" }, make("table", {}, make("thead", {}, head), body)),
    ...(more ? [more] : []),
  );
}

function showDetail(row) {
  drawTitle(row);
  sayAtom(null);
  const structure = geometry && structureOf(row);
  for (const part of [parts.tools, parts.picture, parts.legend, parts.atom, parts.atoms]) part.hidden = !structure;
  if (structure) {
    drawTools(structure);
    drawViewer(structure);
    drawAtoms(structure);
  } else if (geometry) parts.head.append(make("p", { className: "quiet" }, "Its geometry is not on this page."));
}
