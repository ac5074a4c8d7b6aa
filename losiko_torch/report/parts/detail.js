// The chosen structure: what became of it, its picture, and its atoms, the worst first.
// More rows than anyone reads of a large structure's atoms.
const LISTED = 400;
let parts = null;

function makeDetail() {
  const head = make("div", {}), picture = make("div", { id: "picture" });
  const facts = make("dl", { className: "facts" }), atoms = make("div", {});
  find("detail").append(head, picture, facts, atoms);
  parts = { head, picture, facts, atoms };
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
    make("p", { className: "where quiet" }, (data.name[row] ? data.source[row] + ", " : "") + `number ${data.number[row].toLocaleString("en")} of the run`),
  );
  if (told) parts.head.append(make("p", { className: "sentence state-" + data.state[row] }, capital(told)));
  parts.facts.replaceChildren(...factsOf(row).map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

// Marks the row of an atom that was picked in the picture; null marks none.
function markAtom(index) {
  for (const line of parts.atoms.querySelectorAll("tbody tr")) {
    const picked = index !== null && Number(line.dataset.index) === index;
    line.classList.toggle("picked", picked);
    if (picked) line.parentElement.parentElement.parentElement.scrollTop = line.offsetTop - 60;
  }
}

function drawAtoms(structure) {
  const known = (key) => structure.atoms.some((atom) => isKnown(atom[key]));
  const columns = [["error", "expected error, Å", 3], ["distance", "distance", 0], ["moved", "moved, Å", 3]].filter(([key]) => known(key));
  const head = make("tr", {}, make("th", { className: "left", scope: "col" }, "atom"), ...columns.map(([, title]) => make("th", { scope: "col" }, title)));
  if (known("nearest")) head.append(make("th", { className: "left", scope: "col" }, "nearest reference"));
  if (!columns.length) return parts.atoms.replaceChildren();
  const worst = columns[0][0];
  const ordered = [...structure.atoms].sort((a, b) => b[worst] - a[worst] || a.index - b.index);
  const body = make("tbody", {});
  for (const atom of ordered.slice(0, LISTED)) {
    const button = make("button", { type: "button" }, atom.symbol + atom.index);
    button.addEventListener("click", () => pickAtom(atom.index));
    const line = make("tr", { dataset: { index: atom.index } }, make("td", { className: "left" }, button));
    for (const [key, , digits] of columns) line.append(make("td", {}, !isKnown(atom[key]) ? "–" : digits ? atom[key].toFixed(digits) : short(atom[key])));
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
  const structure = geometry && structureOf(row);
  parts.picture.hidden = parts.atoms.hidden = !structure;
  if (structure) {
    drawPictureSoon(structure);
    drawAtoms(structure);
  } else if (geometry) parts.head.append(make("p", { className: "quiet" }, "Its geometry is not on this page."));
}
