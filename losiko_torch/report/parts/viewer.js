// One structure in three dimensions: before, after, or both laid over each other.
const SCALE = ["#3a4cc0", "#6182ea", "#8daffd", "#b8cff8", "#dddcdb", "#f4c3ab", "#f39879", "#dc5e4b", "#b30326"];
// More atoms than this are drawn as balls alone; of all atoms, the share above which colours do not change.
const STICKS = 1500, CLIPPED = 0.99;
const COLOURS = { element: "element", error: "expected error", distance: "distance", moved: "moved" };
const look = { when: "both", by: "element" };
let viewer = null, looked = null;
const limits = {};

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

// Of all atoms of the page, so that colours of structures compare.
function limitsOf(by) {
  if (!limits[by]) {
    const values = [];
    if (by === "moved") for (const atom of looked.atoms) values.push(atom.moved);
    else for (const value of geometry.arrays[by]) if (!Number.isNaN(value)) values.push(value);
    values.sort((a, b) => a - b);
    const high = values[Math.floor(CLIPPED * (values.length - 1))] || 1;
    const low = by === "distance" ? Math.max(values.find((value) => value > 0) || high / 1000, high / 1000) : 0;
    if (by === "moved") return { low, high };
    limits[by] = { low, high };
  }
  return limits[by];
}

function share(by, value) {
  const { low, high } = limitsOf(by);
  if (by === "distance") return Math.log(Math.max(value, low) / low) / Math.log(high / low || 2);
  return (value - low) / (high - low || 1);
}

function scaleColour(at) {
  const place = Math.max(0, Math.min(1, Number.isNaN(at) ? 0 : at)) * (SCALE.length - 1);
  const k = Math.min(Math.floor(place), SCALE.length - 2), part = place - k;
  const [a, b] = [SCALE[k], SCALE[k + 1]].map((hex) => [1, 3, 5].map((from) => parseInt(hex.slice(from, from + 2), 16)));
  return "rgb(" + a.map((value, c) => Math.round(value + part * (b[c] - value))).join(",") + ")";
}

function elementColour(symbol) {
  const value = $3Dmol.elementColors.Jmol[symbol];
  return value === undefined ? "#ff69b4" : "#" + value.toString(16).padStart(6, "0");
}

const atomColour = (atom) => (look.by === "element" ? elementColour(atom.symbol) : scaleColour(share(look.by, atom[look.by])));

function textOfModel(structure, when, cell) {
  const title = cell ? `Lattice="${cell.join(" ")}"` : "";
  const lines = structure.atoms.map((atom) => [atom.symbol, ...atom[when].map((value) => value.toFixed(4))].join(" "));
  return [structure.atoms.length, title, ...lines].join("\n");
}

function openViewer() {
  if (viewer) return true;
  const place = find("viewer");
  try {
    viewer = $3Dmol.createViewer(place, { backgroundColor: colour("back"), antialias: true });
  } catch {
    viewer = null;
  }
  if (!viewer) {
    place.replaceChildren(make("p", { className: "quiet" }, "This browser draws nothing in three dimensions (WebGL is off)."));
    return false;
  }
  new ResizeObserver(() => viewer.resize()).observe(place);
  return true;
}

// The view stays where it is unless the structure is another one.
function drawViewer(structure) {
  if (!openViewer()) return;
  const again = looked && looked.row === structure.row;
  looked = structure;
  viewer.removeAllModels();
  viewer.removeAllShapes();
  viewer.removeAllLabels();
  viewer.setBackgroundColor(colour("back"));
  const begun = structure.atoms[0].before !== null;
  const many = structure.atoms.length > STICKS;
  if (look.when !== "before" || !begun) {
    const model = viewer.addModel(textOfModel(structure, "after", structure.cell), "xyz");
    const colorfunc = (atom) => atomColour(structure.atoms[atom.index]);
    model.setStyle({}, many ? { sphere: { scale: 0.3, colorfunc } } : { sphere: { scale: 0.25, colorfunc }, stick: { radius: 0.11, colorfunc } });
    if (structure.cell) viewer.addUnitCell(model, { box: { color: colour("quiet") }, alabel: "", blabel: "", clabel: "", astyle: { hidden: true }, bstyle: { hidden: true }, cstyle: { hidden: true } });
    viewer.setHoverable({ model: 0 }, true, (atom) => sayAtom(structure.atoms[atom.index]), () => sayAtom(null));
    viewer.setClickable({ model: 0 }, true, (atom) => pickAtom(structure.atoms[atom.index], false));
  }
  if (look.when !== "after" && begun) {
    const model = viewer.addModel(textOfModel(structure, "before", look.when === "before" ? structure.cellBefore : null), "xyz");
    const thin = { color: theme.isDark() ? "#c7cfd9" : "#6d7886" };
    const alone = look.when === "before";
    const colorfunc = alone ? (atom) => elementColour(structure.atoms[atom.index].symbol) : undefined;
    const paint = alone ? { colorfunc } : thin;
    model.setStyle({}, many ? { sphere: { scale: 0.15, ...paint } } : { stick: { radius: alone ? 0.11 : 0.045, ...paint }, sphere: { scale: alone ? 0.25 : 0.1, ...paint } });
    if (alone && structure.cellBefore) viewer.addUnitCell(model, { box: { color: colour("quiet") }, alabel: "", blabel: "", clabel: "", astyle: { hidden: true }, bstyle: { hidden: true }, cstyle: { hidden: true } });
  }
  if (!again) {
    turnFlat(structure);
    viewer.zoomTo();
  }
  viewer.render();
  drawLegend(structure);
}

// A molecule is seen along the direction in which it is thinnest, a crystal from aslant.
function turnFlat(structure) {
  const points = structure.atoms.map((atom) => atom.after);
  if (structure.cell || points.length < 3) {
    viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
    if (structure.cell) {
      viewer.rotate(-20, "y");
      viewer.rotate(12, "x");
    }
    return;
  }
  const axes = principalAxes(points);
  viewer.setView([0, 0, 0, 0, ...quaternionOf(axes)]);
}

function drawLegend(structure) {
  const legend = document.querySelector(".legend");
  legend.replaceChildren();
  if (look.by === "element" || look.when === "before") {
    for (const symbol of new Set(structure.atoms.map((atom) => atom.symbol))) {
      legend.append(make("b", {}), symbol);
      legend.lastElementChild.style.background = elementColour(symbol);
    }
  } else {
    const { low, high } = limitsOf(look.by), unit = look.by === "distance" ? "" : "Å";
    const bar = make("i", {});
    bar.style.background = "linear-gradient(to right, " + SCALE.join(", ") + ")";
    legend.append((look.by === "distance" ? "≤ " : "") + short(low, unit), bar, "≥ " + short(high, unit));
  }
  if (look.when === "both" && structure.atoms[0].before) legend.append(make("span", {}, " · thin: before"));
}

function pointAt(atom, zoom) {
  if (!viewer) return;
  viewer.removeAllLabels();
  const [x, y, z] = look.when === "before" && atom.before ? atom.before : atom.after;
  viewer.addLabel(atom.symbol + atom.index, { position: { x, y, z }, fontSize: 13, backgroundColor: "black", backgroundOpacity: 0.75, fontColor: "white", inFront: true });
  if (zoom) viewer.zoomTo({ model: 0, within: { distance: 4, sel: { model: 0, index: atom.index } } }, 300);
  viewer.render();
}

const TURNS = { ArrowLeft: [-15, "y"], ArrowRight: [15, "y"], ArrowUp: [-15, "x"], ArrowDown: [15, "x"] };

function turnByKey(event) {
  if (!viewer || event.ctrlKey || event.metaKey || event.altKey) return;
  if (TURNS[event.key]) viewer.rotate(...TURNS[event.key]);
  else if (event.key === "+" || event.key === "=") viewer.zoom(1.2);
  else if (event.key === "-") viewer.zoom(1 / 1.2);
  else if (event.key === "0") viewer.zoomTo();
  else return;
  viewer.render();
  event.preventDefault();
}
