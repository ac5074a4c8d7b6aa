// The picture of the chosen structure, by losikoView, and the scales of its colours.
// Of all atoms of the page, the share below which values have colours of their own.
const CLIPPED = 0.99;
const VALUES = [["error", "expected error", "Å"], ["distance", "distance", ""], ["moved", "moved", "Å"]];
let picture = null;
const highs = {};

const isKnown = (value) => value !== null && value !== undefined && !Number.isNaN(value) && value !== "";

// The same for all structures of the page, so that their colours compare.
function highOf(key) {
  if (!(key in highs)) {
    const values = Array.from(geometry.arrays[key] || []).filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
    highs[key] = values.length ? values[Math.floor(CLIPPED * (values.length - 1))] : undefined;
  }
  return highs[key] || undefined;
}

const thousandths = (points) => points.flat().map((value) => Math.round(1000 * value));

function itemOf(structure) {
  const { atoms, cell, periodic, cellBefore } = structure;
  const after = atoms.map((atom) => atom.after);
  const item = {
    name: nameOf(structure.row), symbols: atoms.map((atom) => atom.symbol).join(""),
    xyz: thousandths(after), turn: cell ? [0.129, -0.215, 0.028, 0.968] : turnOf(after),
  };
  if (cell) Object.assign(item, { cell, pbc: periodic });
  if (atoms[0].before) {
    item.start = { xyz: thousandths(atoms.map((atom) => atom.before)) };
    if (cell && cellBefore) item.start.cell = cellBefore;
  }
  item.values = VALUES.filter(([key]) => atoms.some((atom) => isKnown(atom[key]))).map(([key, title, unit]) => ({
    title, unit, of: atoms.map((atom) => (isKnown(atom[key]) ? +atom[key].toPrecision(4) : null)), high: highOf(key),
  }));
  return item;
}

// Drawn a moment later, so that keys go through the list as fast as they are pressed.
let waiting = null, next = null;

function drawPictureSoon(structure) {
  next = structure;
  waiting ??= setTimeout(drawPicture, 30);
}

function drawPicture() {
  clearTimeout(waiting);
  waiting = null;
  const item = itemOf(next);
  if (picture) picture.set(item);
  else picture = losikoView.open(parts.picture, item, { label: "The chosen structure", onPick: markAtom });
}

function pickAtom(index) {
  if (waiting !== null) drawPicture();
  picture.pick(index);
  markAtom(index);
}
