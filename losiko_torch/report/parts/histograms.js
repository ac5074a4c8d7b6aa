// Histograms: all structures in a faint colour, those shown in a strong one. A range of one filters.
const BINS = 36, WIDE = 360, HIGH = 68;
const UNDRAWN = ["start_loss", "n_atoms"];
const SVG = "http://www.w3.org/2000/svg";

function svg(parent, tag, attributes) {
  const made = parent.appendChild(document.createElementNS(SVG, tag));
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// Bins of equal width, in the logarithm or not; whole numbers lie in the middle of theirs.
function binned(quantity) {
  const known = data[quantity.key].filter((value) => value !== null && (!quantity.log || value > 0));
  if (!known.length) return null;
  let low = Infinity, high = -Infinity;
  for (const value of known) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  let width;
  if (quantity.whole) {
    width = Math.ceil((high - low + 1) / BINS);
    low -= 0.5;
  } else {
    if (quantity.log) [low, high] = [Math.log10(low), Math.log10(high)];
    // A single value has no range: a bin of visible width holds it.
    if (high <= low) high = low + (quantity.log ? 1 : Math.max(Math.abs(low), 1)) / BINS;
    width = (high - low) / BINS;
  }
  const count = quantity.whole ? Math.ceil((high + 0.5 - low) / width) : BINS;
  const place = (value) => {
    const at = quantity.log ? Math.log10(Math.max(value, 10 ** low)) : value;
    return Math.min(Math.floor((at - low) / width), count - 1);
  };
  const edge = (k) => (quantity.log ? 10 ** (low + k * width) : low + k * width);
  return { low, width, count, place: (value) => Math.max(place(value), 0), edge };
}

// Few ticks at round numbers: where, as a share of the axis, and what.
function ticks(bins, quantity) {
  const low = bins.low, high = low + bins.count * bins.width, found = [];
  if (quantity.log) {
    const every = Math.max(1, Math.ceil((high - low) / 3.5));
    for (let power = Math.ceil(low); power <= high; power += every) found.push([power, short(10 ** power)]);
    if (found.length < 2) {
      found.length = 0;
      for (const power of [low + 0.06 * (high - low), high - 0.06 * (high - low)]) found.push([power, short(+(10 ** power).toPrecision(1))]);
    }
  } else {
    const rough = (high - low) / 3.5, power = 10 ** Math.floor(Math.log10(rough));
    let step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
    if (quantity.whole) step = Math.max(1, step);
    for (let k = Math.ceil(low / step); k * step <= high; k++) found.push([k * step, String(+(k * step).toPrecision(4))]);
  }
  const shares = found.map(([at, text]) => [(at - low) / (high - low), text.replace(/-/g, "−")]);
  return shares.filter(([share]) => share > 0.02 && share < 0.98);
}

function makeHistogram(quantity) {
  const bins = binned(quantity);
  if (!bins) return null;
  const { key, title, unit, meaning } = quantity;
  const head = make("h3", { title: meaning }, title, unit ? make("span", {}, " (" + unit + ")") : null);
  const box = make("div", { className: "histogram", dataset: { key } }, head);
  const picture = svg(box, "svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img" });
  const axis = box.appendChild(make("div", { className: "ticks", "aria-hidden": "true" }));
  for (const [share, text] of ticks(bins, quantity)) axis.appendChild(make("span", {}, text)).style.left = 100 * share + "%";
  const [from, to] = ["from", "to"].map((end, k) =>
    make("input", {
      type: "text", inputMode: "decimal", "aria-label": `${title} ${end}`,
      placeholder: short(quantity.whole ? Math.round(bins.edge(k * bins.count) + 0.5 - k) : bins.edge(k * bins.count), unit).replace(/ Å$/, ""),
    }),
  );
  box.append(make("div", { className: "range" }, from, "to", to));

  function setRange(low, high) {
    if (low === -Infinity && high === Infinity) delete filters.ranges[key];
    else filters.ranges[key] = [low, high];
    refresh();
  }
  const typed = (input, otherwise) => {
    const value = parseFloat(input.value.replace("−", "-").replace(/,/g, ""));
    return Number.isNaN(value) ? otherwise : value;
  };
  for (const input of [from, to]) input.addEventListener("change", () => setRange(typed(from, -Infinity), typed(to, Infinity)));

  // Bins under the pointer, while it is down.
  let first = null, last = null;
  const under = (event) => {
    const box = picture.getBoundingClientRect();
    return Math.max(0, Math.min(bins.count - 1, Math.floor(((event.clientX - box.left) / box.width) * bins.count)));
  };
  picture.addEventListener("pointerdown", (event) => {
    picture.setPointerCapture(event.pointerId);
    first = last = under(event);
    draw();
  });
  picture.addEventListener("pointermove", (event) => {
    if (first === null) return;
    last = under(event);
    draw();
  });
  picture.addEventListener("pointercancel", () => {
    first = null;
    draw();
  });
  picture.addEventListener("pointerup", () => {
    if (first === null) return;
    const [a, b] = [Math.min(first, last), Math.max(first, last)];
    first = null;
    // The ends take in what lies on the edge, or beyond it by rounding.
    setRange(a === 0 ? -Infinity : bins.edge(a), b === bins.count - 1 ? Infinity : bins.edge(b + 1));
  });

  function counts(rows) {
    const found = new Int32Array(bins.count);
    for (const row of rows) if (data[key][row] !== null) found[bins.place(data[key][row])]++;
    return found;
  }
  const all = counts(Array.from({ length: data.length }, (_, row) => row));
  const most = Math.max(...all), bar = WIDE / bins.count;

  function bars(found, name) {
    for (let k = 0; k < bins.count; k++) {
      if (!found[k]) continue;
      // A single structure among thousands is seen, too.
      const high = Math.max(2, ((HIGH - 2) * found[k]) / most);
      svg(picture, "rect", { class: name, x: k * bar + bar * 0.05, y: HIGH - high, width: bar * 0.9, height: high });
    }
  }

  function draw() {
    picture.replaceChildren();
    bars(all, "all");
    bars(counts(view), "kept");
    const range = filters.ranges[key];
    let ends = null;
    if (first !== null) ends = [Math.min(first, last), Math.max(first, last) + 1];
    else if (range) ends = range.map((value, k) => (Number.isFinite(value) ? (quantity.log ? Math.log10(value) : value) - bins.low : k * bins.count * bins.width) / bins.width);
    if (ends) svg(picture, "rect", { class: "brush", x: ends[0] * bar, y: 0, width: Math.max(2, (ends[1] - ends[0]) * bar), height: HIGH });
    [from, to].forEach((input, k) => (input.value = range && Number.isFinite(range[k]) ? +range[k].toPrecision(3) : ""));
    const kept = counts(view).reduce((sum, count) => sum + count, 0);
    picture.setAttribute("aria-label", `${title}: ${plural(kept, "structure")} shown` + (range ? `, from ${short(range[0])} to ${short(range[1])}` : ""));
  }
  watchers.push(draw);
  return box;
}

function makeHistograms() {
  const quantities = data.quantities.filter((quantity) => !UNDRAWN.includes(quantity.key));
  find("histograms").append(...quantities.map(makeHistogram).filter(Boolean));
}
