// The panels of points, and their structures in three dimensions: what is picked in one is shown in
// the other.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)"), coarse = matchMedia("(pointer: coarse)").matches;
// Width that a panel needs (px), its height, what its titles take, and the most panels in a row.
const WIDE = 330, TALL = 330, TITLES = 96, MOST = 3;
// References of which a panel draws smaller points; more points of all than this are drawn by WebGL.
const CROWD = 1000, MANY = 2000;
const place = document.getElementById("map");
let picked = null, columns = 0;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
// Plotly takes text for markup.
const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const nameOf = (kind, number) => data.names[kind][number];
const whose = (element, kind, k) => {
  const points = element[kind === "structures" ? "atoms" : "references"];
  return `${element.symbol}${points.atom[k]} of ${nameOf(kind, points.structure[k])}`;
};

function nearestOf(element, k) {
  const far = `|p − z| = ${element.atoms.separation[k].toPrecision(3)} from the nearest reference`;
  return element.atoms.nearest[k] < 0 ? far : `${far}, ${whose(element, "references", element.atoms.nearest[k])}`;
}

const ramp = losikoView.stops.map((stop, k, all) => [k / (all.length - 1), `rgb(${stop})`]);
const total = data.elements.reduce((sum, each) => sum + each.references.x.length + each.atoms.x.length, 0);
const hasGL = Boolean(document.createElement("canvas").getContext("webgl"));
const kind = total > MANY && hasGL ? "scattergl" : "scatter";

function tracesOf(element, n) {
  const axes = { xaxis: "x" + (n || "") , yaxis: "y" + (n || "") };
  const style = { ...axes, type: kind, mode: "markers", hoverinfo: "text", showlegend: false };
  const crowd = element.references.x.length > CROWD;
  const ring = picked && picked.panel === n - 1 ? element[picked.kind === "structures" ? "atoms" : "references"] : null;
  return [
    {
      ...style, x: element.references.x, y: element.references.y,
      text: element.references.x.map((_, k) => escaped(whose(element, "references", k))),
      marker: { size: crowd ? 4 : 6, color: colour("reference"), opacity: crowd ? 0.45 : 0.6 },
    },
    {
      ...style, x: element.atoms.x, y: element.atoms.y,
      text: element.atoms.x.map((_, k) => `<b>${escaped(whose(element, "structures", k))}</b><br>${escaped(nearestOf(element, k)).replace(", ", ",<br>")}`),
      marker: {
        size: 9, color: element.atoms.separation, colorscale: ramp, cmin: 0, cmax: data.farthest,
        line: { width: 0.6, color: colour("text") },
      },
    },
    {
      ...axes, type: kind, mode: "markers", hoverinfo: "skip", showlegend: false,
      x: ring ? [ring.x[picked.k]] : [], y: ring ? [ring.y[picked.k]] : [],
      marker: { size: 19, color: "rgba(0,0,0,0)", line: { width: 3, color: colour("ring") } },
    },
  ];
}

function layoutOf() {
  const n = data.elements.length, width = place.clientWidth, rows = Math.ceil(n / columns);
  const height = rows * (TALL + TITLES) + 10;
  const text = { family: "system-ui, sans-serif", size: 13, color: colour("text") };
  const layout = {
    width, height, margin: { l: 0, r: 6, t: 0, b: 0 }, font: text, dragmode: coarse ? false : "zoom",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: { align: "left", bgcolor: colour("back"), bordercolor: colour("quiet"), font: { ...text } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("quiet"), activecolor: colour("text") },
    annotations: [],
  };
  const left = 62 / width, across = 1 / columns;
  data.elements.forEach((element, k) => {
    const row = Math.floor(k / columns), column = k % columns, name = k + 1;
    const x = [column * across + left, (column + 1) * across - 10 / width];
    const top = 1 - (row * (TALL + TITLES) + 34) / height, y = [top - TALL / height, top];
    const lines = {
      gridcolor: colour("line"), zeroline: false, linecolor: colour("quiet"), ticks: "outside", tickcolor: colour("quiet"),
      nticks: 6, tickfont: { size: 12 },
    };
    layout["xaxis" + name] = { ...lines, domain: x, anchor: "y" + name, title: { text: element.axes[0], standoff: 6, font: { size: 13 } } };
    layout["yaxis" + name] = {
      ...lines, domain: y, anchor: "x" + name, scaleanchor: "x" + name,
      title: { text: element.axes[1], standoff: 4, font: { size: 13 } },
    };
    layout.annotations.push({
      text: `<b>${escaped(element.title)}</b>`, x: x[0], y: top + 6 / height, xref: "paper", yref: "paper",
      xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 14 },
    });
  });
  return layout;
}

function drawPanels() {
  columns = Math.max(1, Math.min(MOST, data.elements.length === 4 ? 2 : MOST, data.elements.length, Math.floor(place.clientWidth / WIDE)));
  const traces = data.elements.flatMap((element, k) => tracesOf(element, k + 1));
  const buttons = [["toImage", "zoom2d", "pan2d", "resetScale2d"]]; // plotly's others would send the map to a server
  return Plotly.react(place, traces, layoutOf(), { displaylogo: false, modeBarButtons: buttons, displayModeBar: coarse || place.clientWidth < 2 * WIDE ? false : "hover" });
}

function drawRing() {
  const x = [], y = [], which = [];
  data.elements.forEach((element, k) => {
    const here = picked && picked.panel === k ? element[picked.kind === "structures" ? "atoms" : "references"] : null;
    x.push(here ? [here.x[picked.k]] : []);
    y.push(here ? [here.y[picked.k]] : []);
    which.push(3 * k + 2);
  });
  Plotly.restyle(place, { x, y }, which);
}

function drawScale() {
  const scale = document.getElementById("scale");
  scale.replaceChildren();
  if (!data.elements.some((element) => element.atoms.x.length)) return;
  const part = (tag, text) => {
    const made = scale.appendChild(document.createElement(tag));
    if (text) made.textContent = text;
    return made;
  };
  part("span", "|p − z|: 0");
  part("i").style.background = `linear-gradient(to right, ${ramp.map(([, c]) => c)})`;
  part("span", String(+data.farthest.toPrecision(2)));
}

// --- structures

const shownOf = (kind) => Object.keys(data.items[kind]).map(Number);
// The kind of structures in the view, and their numbers in the order there.
let shown = shownOf("structures").length ? "structures" : "references", numbers = shownOf(shown);
let view = null;
const itemsOf = (kind) => shownOf(kind).map((number) => data.items[kind][number]);

function findPoint(kind, number, atom) {
  for (let panel = 0; panel < data.elements.length; panel++) {
    const points = data.elements[panel][kind === "structures" ? "atoms" : "references"];
    for (let k = 0; k < points.x.length; k++)
      if (points.structure[k] === number && points.atom[k] === atom) return { panel, kind, k };
  }
  return null;
}

function tell() {
  const line = document.getElementById("picked");
  line.textContent = "";
  if (!picked) return;
  const element = data.elements[picked.panel];
  if (picked.kind === "references") line.textContent = `Reference ${whose(element, "references", picked.k)}.`;
  else line.textContent = `${whose(element, "structures", picked.k)}: ${nearestOf(element, picked.k)}.`;
}

// A point was picked: its structure comes into the view, with its atom marked.
function pickPoint(point) {
  picked = point;
  drawRing();
  tell();
  const points = data.elements[point.panel][point.kind === "structures" ? "atoms" : "references"];
  const number = points.structure[point.k], atom = points.atom[point.k];
  if (!(number in data.items[point.kind])) return;
  if (!view) return;
  if (point.kind !== shown) {
    shown = point.kind;
    numbers = shownOf(shown);
    view.set(itemsOf(shown), numbers.indexOf(number), atom);
  } else view.show(numbers.indexOf(number), atom);
}

// An atom was picked in the view: its point is marked.
function pickAtom(atom, item) {
  picked = atom === null ? null : findPoint(shown, numbers[item], atom);
  drawRing();
  tell();
}

columns = 1;
drawPanels().then(() => {
  place.on("plotly_click", ({ points: [point] }) => {
    const panel = Math.floor(point.curveNumber / 3), which = point.curveNumber % 3;
    if (which < 2) pickPoint({ panel, kind: which ? "structures" : "references", k: point.pointNumber });
  });
});
drawScale();
if (numbers.length)
  view = losikoView.open(document.getElementById("view"), itemsOf(shown), {
    label: "Structure of a point", onPick: pickAtom, onShow: (item, atom) => { if (atom === null) pickAtom(null, item); },
  });
dark.addEventListener("change", drawPanels);
let waiting = null, width = place.clientWidth;
new ResizeObserver(() => {
  if (place.clientWidth === width) return;
  width = place.clientWidth;
  clearTimeout(waiting);
  waiting = setTimeout(drawPanels, 80);
}).observe(place);
