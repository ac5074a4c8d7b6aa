// Histograms, from bins that are counted already.
const WHOLE = 1e-9;

// Ticks of an axis whose numbers are decimal logarithms: powers of ten, and some between if few.
function logTicks(edges) {
  const low = edges[0], high = edges[edges.length - 1];
  const steps = high - low > 4 ? [1] : high - low > 1.2 ? [1, 3] : [1, 2, 5];
  const values = [], texts = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power++)
    for (const step of steps) {
      values.push(power + Math.log10(step));
      texts.push(short(step * 10 ** power));
    }
  return { tickvals: values, ticktext: texts };
}

function range(histogram, k) {
  const [low, high] = [histogram.edges[k], histogram.edges[k + 1]];
  if (histogram.log) return short(10 ** low) + " to " + short(10 ** high);
  // Edges halfway between whole numbers stand for the numbers between them.
  if (Math.abs((low % 1) - 0.5) < WHOLE && Math.abs((high % 1) - 0.5) < WHOLE)
    return high - low === 1 ? String(low + 0.5) : low + 0.5 + " to " + (high - 0.5);
  return short(low) + " to " + short(high);
}

function drawHistogram(place, histogram) {
  const names = Object.keys(histogram.counts);
  const edges = histogram.edges;
  const middles = edges.slice(1).map((edge, k) => (edge + edges[k]) / 2);
  const traces = names.map((name) => ({
    type: "bar",
    name,
    x: middles,
    y: histogram.counts[name],
    width: edges[1] - edges[0],
    marker: { color: colour(name), line: { width: 0.5, color: colour("back") } },
    opacity: names.length > 1 ? 0.75 : 1,
    customdata: middles.map((_, k) => range(histogram, k)),
    hovertemplate: "%{customdata}: %{y:,}" + (names.length > 1 ? " " + name : "") + "<extra></extra>",
  }));
  const most = Math.max(...Object.values(histogram.counts).flat());
  const axis = { gridcolor: colour("line"), zeroline: false, linecolor: colour("line"), fixedrange: true };
  const layout = Object.assign(baseLayout(), {
    title: { text: histogram.title, font: { size: 14 }, x: 0, xref: "paper", xanchor: "left", y: 0.96 },
    barmode: "overlay",
    margin: { l: 56, r: 8, t: 34, b: 46 },
    xaxis: Object.assign({ title: { text: histogram.axis, standoff: 8 }, range: [edges[0], edges[edges.length - 1]] }, axis, { showgrid: false, ticks: "outside", tickcolor: colour("line") }, histogram.log ? logTicks(edges) : {}),
    yaxis: Object.assign({ title: { text: "structures", standoff: 8 }, rangemode: "tozero", nticks: 5, dtick: most < 5 ? 1 : undefined }, axis),
    showlegend: names.length > 1,
    legend: { orientation: "h", x: 1, xanchor: "right", y: 1.02, yanchor: "bottom" },
  });
  Plotly.react(place, traces, layout, { displayModeBar: false, responsive: true });
}

function drawHistograms() {
  const parent = document.getElementById("histograms");
  if (!parent) return;
  // All have their place before the first is drawn: it takes the width that it finds.
  while (parent.children.length < data.histograms.length) element(parent, "div");
  data.histograms.forEach((histogram, k) => drawHistogram(parent.children[k], histogram));
}

drawHistograms();
dark.addEventListener("change", drawHistograms);
