// One structure in three dimensions, and small pictures of all to choose it by.
let shown = 0, byElement = false;
const VIEWER = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "resetCameraDefault3d"]] };

// From where a structure was looked at last (plotly's camera), or from the front.
function drawViewer(turned) {
  const structure = data.structures[shown], far = reach(structure);
  const axis = { visible: false, showspikes: false, range: [-far, far] };
  const layout = Object.assign(baseLayout(), {
    margin: { l: 0, r: 0, t: 0, b: 0 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("quiet"), activecolor: colour("text") },
    scene: {
      aspectmode: "cube",
      dragmode: "orbit",
      xaxis: axis, yaxis: axis, zaxis: axis,
      camera: turned || { eye: { x: 0, y: 0, z: 1.3 }, up: { x: 0, y: 1, z: 0 } },
    },
  });
  const traces = [balls(structure, byElement), sticks(structure), cellLines(structure)];
  Plotly.react("viewer", traces, layout, VIEWER);
}

function writeFacts() {
  const structure = data.structures[shown], list = document.getElementById("facts");
  const worst = structure.distances.indexOf(Math.max(...structure.distances));
  const drawn = structure.symbols.length;
  const facts = [
    ["structure", structure.source + " (" + structure.formula + ")"],
    ["fate", (structure.reason === "max_steps" ? "step limit" : structure.reason) + " after " + structure.n_steps + " steps"],
    ["loss", short(structure.start_loss) + " before, " + short(structure.loss) + " after"],
    ["worst atom", structure.symbols[worst] + structure.indices[worst] + ", distance " + short(structure.distances[worst]) + ", nearest to " + structure.nearest[worst]],
  ];
  if (structure.doubt) facts.push(["doubt", structure.doubt]);
  if (structure.rmsd !== null) facts.push(["RMSD", short(structure.rmsd) + " Å"]);
  if (structure.expected_rmsd !== null) facts.push(["expected RMSD", short(structure.expected_rmsd) + " Å"]);
  if (drawn < structure.n_atoms) facts.push(["drawn", "the " + drawn + " of " + structure.n_atoms + " atoms around the worst one"]);
  list.replaceChildren();
  for (const [name, value] of facts) {
    const line = element(list, "div");
    element(line, "dt", name);
    element(line, "dd", value);
  }
}

function svg(parent, tag, attributes) {
  const made = parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", tag));
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// As the viewer shows it first: from the positive end of the third axis.
function drawThumb(picture, structure) {
  const points = structure.positions.concat(...cellEdges(structure));
  const [wide, high] = [0, 1].map((k) => 0.7 + Math.max(...points.map((point) => Math.abs(point[k]))));
  picture.replaceChildren();
  picture.setAttribute("viewBox", [-wide, -high, 2 * wide, 2 * high].join(" "));
  for (const [a, b] of cellEdges(structure))
    svg(picture, "line", { x1: a[0], y1: -a[1], x2: b[0], y2: -b[1], stroke: colour("quiet"), "stroke-width": 0.05 });
  const sticksOf = structure.positions.map(() => []);
  for (const [atom, ...half] of structure.bonds) sticksOf[atom].push(half);
  const order = structure.positions.map((_, k) => k).sort((a, b) => structure.positions[a][2] - structure.positions[b][2]);
  for (const k of order) {
    const [x, y] = structure.positions[k];
    for (const half of sticksOf[k])
      svg(picture, "line", { x1: x, y1: -y, x2: x + half[0], y2: -y - half[1], stroke: colour("stick"), "stroke-width": 2 * STICK });
    svg(picture, "circle", {
      cx: x, cy: -y, r: 1.15 * data.elements[structure.symbols[k]].radius,
      fill: atomColour(structure, k, byElement), stroke: colour("stick"), "stroke-width": 0.04,
    });
  }
}

function drawGallery() {
  document.querySelectorAll(".thumbs button").forEach((button, k) => {
    button.setAttribute("aria-pressed", k === shown);
    drawThumb(button.firstChild, data.structures[k]);
  });
}

function fillGallery() {
  const gallery = document.getElementById("gallery");
  const groups = [["Worst matched", 0, data.worst], ["Best matched", data.worst, data.structures.length]];
  for (const [title, first, end] of groups) {
    if (first === end) continue;
    element(gallery, "h3", title);
    const grid = element(gallery, "div");
    grid.className = "thumbs";
    data.structures.slice(first, end).forEach((structure, k) => {
      const button = element(grid, "button");
      svg(button, "svg", { "aria-hidden": "true" });
      element(button, "span", short(Math.max(...structure.distances)));
      element(button, "span", structure.formula);
      button.title = structure.source;
      button.addEventListener("click", () => show(first + k));
    });
  }
}

function writeLegend() {
  const legend = document.getElementById("legend"), [low, high] = data.scale.limits;
  legend.replaceChildren();
  if (byElement) {
    for (const [symbol, { color }] of Object.entries(data.elements)) {
      element(legend, "b").style.background = "rgb(" + color + ")";
      element(legend, "span", symbol);
    }
    return;
  }
  element(legend, "span", "an atom's distance: ≤ " + short(low));
  const stops = data.scale.colors.map((color) => "rgb(" + color + ")");
  element(legend, "i").style.background = "linear-gradient(to right, " + stops + ")";
  element(legend, "span", short(high));
}

function drawStructures(turned) {
  writeLegend();
  drawGallery();
  drawViewer(turned);
  writeFacts();
}

function redraw() {
  drawStructures(document.getElementById("viewer").layout.scene.camera);
}

function show(k) {
  shown = k;
  drawStructures();
}

function colourBy(elements) {
  byElement = elements;
  document.getElementById("by-element").setAttribute("aria-pressed", elements);
  document.getElementById("by-distance").setAttribute("aria-pressed", !elements);
  redraw();
}

if (data.structures.length) {
  fillGallery();
  drawStructures();
  document.getElementById("by-element").addEventListener("click", () => colourBy(true));
  document.getElementById("by-distance").addEventListener("click", () => colourBy(false));
  dark.addEventListener("change", redraw);
}
