// Structures in three dimensions, by 3Dmol.js: `losikoView.open(element, items, options)`.
//
// An item is what `losiko_torch.shown.three_d.item` returns: {name, symbols: "CCO", xyz: [thousandths
// of an Angstrom, flat], turn: quaternion, cell: [9 numbers, Angstrom] and pbc: [1, 1, 0] of a periodic
// structure, start: {xyz, cell} of where it came from, values: [{title, unit, of: [a number an atom]}],
// atoms: [indices of the atoms, where only some are there], or why: a sentence instead of a picture}.
"use strict";
window.losikoView ||= (() => {
  // Longest bond, in units of the sum of the covalent radii; radius of a stick, of the start's, and of
  // the cell's edges (Angstrom).
  const BOND = 1.2, STICK = 0.11, THIN = 0.055, EDGE = 0.02;
  const START = "#8b98a9", CELL = "#858d99", PICKED = "#e8a33d", UNKNOWN = "#b0b0b0";
  // Colours from small to large values; none is lost on white or black.
  const STOPS = [[78, 134, 196], [140, 180, 196], [226, 205, 140], [222, 140, 72], [200, 62, 52]];
  // Structures that are offered by name; more have the slider alone.
  const NAMED = 300;
  // Smallest half of what is seen, so that small molecules are not blown up, and space around (Angstrom).
  const SMALLEST = 1.9, MARGIN = 0.7;
  // Longest hydrogen bond that is drawn (Angstrom), and the largest cosine of the angle at its hydrogen.
  const CONTACT = 2.4, BENT = -0.5;
  const HELP = "Arrow keys turn it, plus and minus zoom, N and P go from atom to atom, Home goes back.";
  let radii = {};

  function make(parent, tag, properties = {}, text) {
    const made = parent.appendChild(document.createElement(tag));
    for (const [name, value] of Object.entries(properties)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function number(value) {
    if (value === null || value === undefined) return "not known";
    const size = Math.abs(value);
    return value === 0 || (size >= 1e-3 && size < 1e6) ? String(+value.toPrecision(3)) : value.toExponential(1);
  }

  // --- geometry

  const symbolsOf = (item) => item.symbols.match(/[A-Z][a-z]?/g) || [];
  const radius = (symbol) => radii[symbol] || 0.8;
  const ball = (symbol) => 0.2 + 0.3 * radius(symbol);
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const along = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

  function pointsOf(xyz) {
    const points = [];
    for (let k = 0; k + 2 < xyz.length; k += 3) points.push([xyz[k] / 1000, xyz[k + 1] / 1000, xyz[k + 2] / 1000]);
    return points;
  }

  // The cell's vectors along which it repeats.
  function repeats(cell, pbc) {
    if (!cell) return [];
    return [0, 1, 2].filter((k) => pbc[k]).map((k) => cell.slice(3 * k, 3 * k + 3));
  }

  // How many cells further on anything within `reach` of an atom may lie, along each vector.
  function cellsWithin(vectors, reach) {
    return vectors.map((vector, k) => {
      const others = vectors.filter((_, m) => m !== k);
      let height = Math.hypot(...vector);
      if (others.length === 2) {
        const normal = cross(...others);
        height = Math.abs(along(vector, normal)) / Math.hypot(...normal);
      } else if (others.length === 1) {
        height = Math.hypot(...cross(vector, others[0])) / Math.hypot(...others[0]);
      }
      return Math.min(8, Math.ceil(reach / height) + 1);
    });
  }

  function shiftsOf(vectors, counts) {
    let shifts = [[0, 0, 0]];
    vectors.forEach((vector, k) => {
      const more = [];
      for (let n = -counts[k]; n <= counts[k]; n++)
        for (const shift of shifts) more.push(shift.map((c, m) => c + n * vector[m]));
      shifts = more;
    });
    return shifts;
  }

  // Bonds [i, j, the vector between, whether j is the atom drawn or an image of it], each from both ends.
  function bondsOf(symbols, points, vectors) {
    const reach = 2 * BOND * Math.max(0, ...new Set(symbols.map(radius)));
    if (!reach) return [];
    const low = [0, 1, 2].map((k) => points.reduce((least, p) => Math.min(least, p[k]), Infinity) - reach);
    const high = [0, 1, 2].map((k) => points.reduce((most, p) => Math.max(most, p[k]), -Infinity) + reach);
    const bins = new Map(), size = [0, 1, 2].map((k) => Math.ceil((high[k] - low[k]) / reach) + 3);
    const place = (p) => [0, 1, 2].map((k) => Math.floor((p[k] - low[k]) / reach) + 1);
    const key = ([x, y, z]) => x + size[0] * (y + size[1] * z);
    const shifts = shiftsOf(vectors, cellsWithin(vectors, reach));
    points.forEach((point, j) => {
      for (const shift of shifts) {
        const image = [point[0] + shift[0], point[1] + shift[1], point[2] + shift[2]];
        if (image.some((c, k) => c < low[k] || c > high[k])) continue;
        const bin = key(place(image)), here = shift.every((c) => c === 0);
        if (!bins.has(bin)) bins.set(bin, []);
        bins.get(bin).push([j, image, here]);
      }
    });
    const found = [];
    points.forEach((point, i) => {
      const [x, y, z] = place(point);
      for (let a = -1; a <= 1; a++) for (let b = -1; b <= 1; b++) for (let c = -1; c <= 1; c++)
        for (const [j, image, here] of bins.get(key([x + a, y + b, z + c])) || []) {
          if (here && j === i) continue;
          const vector = [image[0] - point[0], image[1] - point[1], image[2] - point[2]];
          const longest = BOND * (radius(symbols[i]) + radius(symbols[j]));
          const length = Math.hypot(...vector);
          if (length <= longest && length > 0.01) found.push([i, j, vector, here]);
        }
    });
    return found;
  }

  function edgesOf(vectors) {
    const edges = [];
    vectors.forEach((vector, n) => {
      let starts = [[0, 0, 0]];
      vectors.forEach((other, m) => {
        if (m !== n) starts = starts.concat(starts.map((s) => s.map((c, k) => c + other[k])));
      });
      for (const start of starts) edges.push([start, start.map((c, k) => c + vector[k])]);
    });
    return edges;
  }

  // Turns a point by a quaternion (x, y, z, w).
  function rotated([x, y, z, w], point) {
    const axis = [x, y, z], once = cross(axis, point).map((c, k) => c + w * point[k]);
    return cross(axis, once).map((c, k) => point[k] + 2 * c);
  }

  // Hydrogen bonds, as pairs of an atom of hydrogen and the one that it points at.
  function contactsOf(symbols, points, bonds) {
    const polar = (k) => ["N", "O", "F"].includes(symbols[k]), found = [];
    const holders = new Map(bonds.filter(([i, j, , here]) => here && symbols[i] === "H" && polar(j)).map(([i, j, vector]) => [i, [j, vector]]));
    const takers = symbols.map((_, k) => k).filter(polar);
    for (const [hydrogen, [holder, arm]] of holders)
      for (const taker of takers) {
        if (taker === holder) continue;
        const vector = points[taker].map((c, k) => c - points[hydrogen][k]), length = Math.hypot(...vector);
        if (length < CONTACT && along(vector, arm) < BENT * length * Math.hypot(...arm)) found.push([hydrogen, taker]);
      }
    return found;
  }

  // --- colours

  function rangeOf(values) {
    const known = values.of.filter((value) => value !== null);
    const high = values.high ?? Math.max(0, ...known), low = values.low ?? Math.min(0, ...known);
    return [low, high > low ? high : low + 1];
  }

  function colourOf(value, [low, high]) {
    if (value === null || value === undefined) return UNKNOWN;
    const place = Math.min(1, Math.max(0, (value - low) / (high - low))) * (STOPS.length - 1);
    const k = Math.min(Math.floor(place), STOPS.length - 2);
    const parts = STOPS[k].map((c, n) => Math.round(c + (place - k) * (STOPS[k + 1][n] - c)));
    return "#" + parts.map((c) => c.toString(16).padStart(2, "0")).join("");
  }

  function elementColour(symbol) {
    const colour = $3Dmol.elementColors.Jmol[symbol];
    return colour === undefined ? UNKNOWN : "#" + colour.toString(16).padStart(6, "0");
  }

  // --- one view

  // Atoms for 3Dmol: those of the structure, and one more for each half of a bond that leaves the cell.
  function atomsFor(symbols, points, bonds, colours) {
    const atoms = points.map(([x, y, z], k) => ({
      elem: symbols[k], x, y, z, color: colours[k], bonds: [], bondOrder: [], index: k, serial: k, resn: "atom",
    }));
    for (const [i, j, vector, here] of bonds) {
      let other = j;
      if (!here) {
        other = atoms.length;
        const [x, y, z] = points[i].map((c, k) => c + vector[k] / 2);
        atoms.push({
          elem: symbols[i], x, y, z, color: colours[i], bonds: [i], bondOrder: [1], index: other, serial: other, resn: "half",
        });
      }
      atoms[i].bonds.push(other);
      atoms[i].bondOrder.push(1);
    }
    return atoms;
  }

  function dash(shape, from, to) {
    const at = (share) => ({ x: from.x + share * (to.x - from.x), y: from.y + share * (to.y - from.y), z: from.z + share * (to.z - from.z) });
    for (let n = 0; n < 9; n += 2) shape.addCylinder({ start: at((n + 0.2) / 9), end: at((n + 0.8) / 9), radius: 0.035, fromCap: 2, toCap: 2 });
  }

  function hasWebGL() {
    try {
      const context = document.createElement("canvas").getContext("webgl2") || document.createElement("canvas").getContext("webgl");
      context?.getExtension("WEBGL_lose_context")?.loseContext();
      return Boolean(context);
    } catch {
      return false;
    }
  }

  function open(element, items, options = {}) {
    if (!Array.isArray(items)) items = [items];
    const state = { place: options.place || 0, colour: options.colour || 0, start: options.start ?? true, atom: null };
    element.classList.add("losiko-view");
    element.replaceChildren();
    const stage = make(element, "div", { class: "losiko-stage", role: "img", tabindex: "0" });
    const tip = make(element, "div", { class: "losiko-tip", hidden: "" });
    const told = make(element, "p", { class: "losiko-told", "aria-live": "polite" });
    const controls = make(element, "div", { class: "losiko-controls" });
    const legend = make(element, "div", { class: "losiko-legend" });
    let viewer = null;

    const sentence = (text) => {
      stage.classList.add("losiko-none");
      make(stage, "p", {}, text);
    };
    const item = () => items[state.place];
    const valuesOf = () => (item().values || [])[state.colour - 1];
    const label = (k) => symbolsOf(item())[k] + (item().atoms ? item().atoms[k] : k);

    function describe() {
      const one = item();
      const count = items.length > 1 ? ` (${state.place + 1} of ${items.length})` : "";
      stage.setAttribute("aria-label", `${options.label ? options.label + ": " : ""}${one.name}${count}. ` + (viewer ? HELP : ""));
      told.replaceChildren();
      make(told, "strong", {}, one.name);
      if (one.note) make(told, "span", {}, " " + one.note);
    }

    function atomText(k) {
      const facts = (item().values || []).map((each) => `${each.title} ${number(each.of[k])}${each.unit ? " " + each.unit : ""}`);
      return [label(k), ...facts].join(", ");
    }

    function draw(keep) {
      const one = item(), view = keep && viewer.getView();
      viewer.removeAllModels();
      viewer.removeAllShapes();
      stage.querySelectorAll("p").forEach((each) => each.remove());
      stage.classList.toggle("losiko-none", Boolean(one.why));
      tip.hidden = true;
      if (one.why) {
        viewer.render();
        return sentence(one.why);
      }
      const symbols = symbolsOf(one), points = pointsOf(one.xyz), values = valuesOf();
      const limits = values && rangeOf(values);
      const colours = symbols.map((symbol, k) => (values ? colourOf(values.of[k], limits) : elementColour(symbol)));
      if (one.start && state.start) {
        const cell = one.start.cell || one.cell;
        const before = pointsOf(one.start.xyz), model = viewer.addModel();
        model.addAtoms(atomsFor(symbols, before, bondsOf(symbols, before, repeats(cell, one.pbc)), symbols.map(() => START)));
        model.setStyle({}, { stick: { radius: THIN, singleBonds: true } });
        model.setStyle({ resn: "atom" }, {
          stick: { radius: THIN, singleBonds: true }, sphere: { radius: 2 * THIN },
        });
      }
      const vectors = repeats(one.cell, one.pbc), model = viewer.addModel();
      const bonds = bondsOf(symbols, points, one.atoms ? [] : vectors);
      model.addAtoms(atomsFor(symbols, points, bonds, colours));
      model.setStyle({}, { stick: { radius: STICK, singleBonds: true } });
      for (const symbol of new Set(symbols))
        model.setStyle({ resn: "atom", elem: symbol }, { stick: { radius: STICK, singleBonds: true }, sphere: { radius: ball(symbol) } });
      const dashes = viewer.addShape({ color: CELL });
      for (const pair of symbols.length > 2000 ? [] : contactsOf(symbols, points, bonds)) {
        const [from, to] = pair.map((k) => ({ x: points[k][0], y: points[k][1], z: points[k][2] }));
        dash(dashes, from, to);
      }
      if (vectors.length && !one.atoms) {
        const shape = viewer.addShape({ color: CELL });
        for (const ends of edgesOf(vectors)) {
          const [from, to] = ends.map(([x, y, z]) => ({ x, y, z }));
          shape.addCylinder({ start: from, end: to, radius: EDGE, fromCap: 2, toCap: 2 });
        }
      }
      model.setHoverable({ resn: "atom" }, true, (atom) => point(atom.index), () => (tip.hidden = true));
      model.setClickable({ resn: "atom" }, true, (atom) => pick(atom.index, true));
      drawPicked();
      if (view) viewer.setView(view);
      else reset();
      viewer.render();
    }

    let halo = null;
    function drawPicked() {
      if (halo) viewer.removeShape(halo);
      halo = null;
      if (state.atom === null || item().why) return;
      const [x, y, z] = pointsOf(item().xyz)[state.atom];
      halo = viewer.addSphere({
        center: { x, y, z }, radius: 1.45 * ball(symbolsOf(item())[state.atom]), color: PICKED, opacity: 0.6,
      });
    }

    function point(k) {
      const [x, y, z] = pointsOf(item().xyz)[k], at = viewer.modelToScreen({ x, y, z });
      const box = element.getBoundingClientRect();
      tip.textContent = atomText(k);
      tip.hidden = false;
      const left = at.x - window.scrollX - box.left, top = at.y - window.scrollY - box.top;
      tip.style.left = Math.max(0, Math.min(left + 12, box.width - tip.offsetWidth)) + "px";
      tip.style.top = Math.max(0, top - tip.offsetHeight - 8) + "px";
    }

    // Picks an atom by its place in the item; null picks none.
    function pick(k, byHand) {
      state.atom = k;
      if (viewer) {
        drawPicked();
        viewer.render();
        if (k !== null && !item().why) point(k);
      }
      describe();
      if (k !== null) make(told, "span", {}, " " + atomText(k));
      if (byHand && options.onPick) options.onPick(k, state.place);
    }

    // Turns the structure as it lies widest, and takes it as near as all of it can be seen.
    function reset() {
      const one = item();
      if (one.why) return;
      const points = pointsOf(one.xyz), vectors = one.atoms ? [] : repeats(one.cell, one.pbc);
      if (one.start && state.start) points.push(...pointsOf(one.start.xyz));
      points.push(...edgesOf(vectors).flat());
      const turned = points.map((point) => rotated(one.turn, point));
      const low = [0, 1, 2].map((k) => turned.reduce((least, p) => Math.min(least, p[k]), Infinity));
      const high = [0, 1, 2].map((k) => turned.reduce((most, p) => Math.max(most, p[k]), -Infinity));
      const [x, y, z, w] = one.turn;
      const middle = rotated([-x, -y, -z, w], low.map((c, k) => (c + high[k]) / 2));
      const [wide, tall, deep] = low.map((c, k) => Math.max(SMALLEST, (high[k] - c) / 2 + MARGIN));
      viewer.zoomTo(); // sets how near and how far anything is drawn
      const aspect = stage.clientWidth / Math.max(1, stage.clientHeight), open = Math.tan((Math.PI / 180) * (viewer.fov / 2));
      const distance = Math.max(tall, wide / aspect) / open + deep;
      viewer.setView([...middle.map((c) => -c), viewer.CAMERA_Z - distance, ...one.turn]);
    }

    function show(place, atom = null) {
      if (place < 0 || place >= items.length) return;
      const same = item().symbols === items[place].symbols && !item().why && !items[place].why && options.frames;
      state.place = place;
      state.atom = atom;
      if (!valuesOf()) state.colour = 0;
      fillControls();
      if (viewer) draw(same);
      describe();
      if (atom !== null) pick(atom);
      if (options.onShow) options.onShow(place);
    }

    // --- controls; they are made once, and only what the items have is shown

    const slider = make(controls, "span", { class: "losiko-slider" });
    const back = make(slider, "button", { type: "button", "aria-label": "Structure before" }, "\u2039");
    const range = make(slider, "input", { type: "range", min: 0, "aria-label": "Structure" });
    const on = make(slider, "button", { type: "button", "aria-label": "Next structure" }, "\u203a");
    const count = make(slider, "span", { class: "losiko-count" });
    const names = make(controls, "select", { "aria-label": "Structure by name" });
    const startLabel = make(controls, "label");
    const start = make(startLabel, "input", { type: "checkbox" });
    startLabel.append(" start");
    const colours = make(controls, "select", { "aria-label": "Colour of the atoms" });
    const home = make(controls, "button", { type: "button" }, "reset view");
    back.addEventListener("click", () => show(state.place - 1));
    on.addEventListener("click", () => show(state.place + 1));
    range.addEventListener("input", () => show(+range.value));
    names.addEventListener("change", () => show(+names.value));
    start.addEventListener("change", () => { state.start = start.checked; draw(true); });
    colours.addEventListener("change", () => { state.colour = +colours.value; fillLegend(); draw(true); });
    home.addEventListener("click", () => { reset(); viewer.render(); });

    function fillNames() {
      names.replaceChildren();
      names.hidden = items.length < 2 || items.length > NAMED || Boolean(options.frames);
      slider.hidden = items.length < 2;
      range.max = items.length - 1;
      if (!names.hidden) items.forEach((each, k) => make(names, "option", { value: k }, each.name));
    }

    function fillControls() {
      const one = item(), values = one.values || [];
      range.value = names.value = state.place;
      range.setAttribute("aria-valuetext", one.name);
      back.disabled = state.place === 0;
      on.disabled = state.place === items.length - 1;
      count.textContent = `${(state.place + 1).toLocaleString("en")} of ${items.length.toLocaleString("en")}`;
      startLabel.hidden = !one.start;
      start.checked = state.start;
      colours.hidden = !values.length;
      colours.replaceChildren();
      ["element", ...values.map((each) => each.title)].forEach((title, k) => make(colours, "option", { value: k }, "colour: " + title));
      colours.value = state.colour;
      home.hidden = !viewer;
      fillLegend();
    }

    function fillLegend() {
      const values = valuesOf(), symbols = item().why ? [] : [...new Set(symbolsOf(item()))];
      legend.replaceChildren();
      if (values && !item().why) {
        const [low, high] = rangeOf(values), unit = values.unit ? " " + values.unit : "";
        make(legend, "span", {}, `${values.title}: ${number(low)}${unit}`);
        make(legend, "i", { class: "losiko-bar" }).style.background = `linear-gradient(to right, ${STOPS.map((stop) => `rgb(${stop})`)})`;
        make(legend, "span", {}, number(high) + unit);
        return;
      }
      for (const symbol of symbols) {
        if (viewer) make(legend, "i", { class: "losiko-dot" }).style.background = elementColour(symbol);
        make(legend, "span", {}, symbol);
      }
      if (item().start && state.start) {
        make(legend, "i", { class: "losiko-dot" }).style.background = START;
        make(legend, "span", {}, "thin: the start");
      }
    }

    function key(event) {
      if (!viewer || event.ctrlKey || event.metaKey || event.altKey) return;
      const turns = { ArrowLeft: [-15, "vy"], ArrowRight: [15, "vy"], ArrowUp: [-15, "vx"], ArrowDown: [15, "vx"] };
      const zooms = { "+": 1.2, "=": 1.2, "-": 1 / 1.2 }, steps = { n: 1, p: -1 };
      const size = item().why ? 0 : symbolsOf(item()).length;
      if (turns[event.key]) viewer.rotate(...turns[event.key]);
      else if (zooms[event.key]) viewer.zoom(zooms[event.key]);
      else if (event.key === "Home") reset();
      else if (event.key === "PageDown") show(state.place + 1);
      else if (event.key === "PageUp") show(state.place - 1);
      else if (event.key === "Escape") pick(null, true);
      else if (steps[event.key.toLowerCase()] && size) {
        const step = steps[event.key.toLowerCase()];
        pick(state.atom === null ? (step > 0 ? 0 : size - 1) : (state.atom + step + size) % size, true);
      } else return;
      viewer.render();
      event.preventDefault();
      event.stopPropagation(); // a notebook has meanings of its own for these keys
    }

    function begin() {
      try {
        if (!window.$3Dmol) throw new Error("the viewer's library is not on this page");
        if (!hasWebGL()) throw new Error("this browser has no WebGL, which it needs");
        viewer = $3Dmol.createViewer(stage, { backgroundAlpha: 0, disableFog: true, antialias: true, hoverDuration: 60 });
        if (!viewer) throw new Error("this browser cannot draw it");
        viewer.setHoverDuration(60);
      } catch (problem) {
        sentence(`No view in three dimensions: ${problem.message || problem}.`);
      }
      if (!viewer) [colours, startLabel].forEach((each) => (each.hidden = true));
      fillNames();
      fillControls();
      if (!viewer) [colours, startLabel].forEach((each) => (each.hidden = true));
      else draw(false);
      describe();
      if (state.atom === null && options.atom !== undefined && options.atom !== null) pick(options.atom);
      stage.addEventListener("keydown", key);
      // The wheel scrolls the page until the view is chosen by a click or the keyboard.
      stage.addEventListener("wheel", (event) => { if (document.activeElement !== stage) event.stopPropagation(); }, { capture: true });
      stage.addEventListener("pointerdown", () => stage.focus({ preventScroll: true }));
      stage.addEventListener("pointerleave", () => (tip.hidden = true));
    }

    begin();
    return {
      show,
      pick: (atom) => pick(atom),
      reset: () => { if (viewer) { reset(); viewer.render(); } },
      // Shows other items in the same place.
      set(others, place = 0, atom = null) {
        items = Array.isArray(others) ? others : [others];
        state.place = 0;
        fillNames();
        if (viewer) show(place, atom);
        else { state.place = place; fillControls(); describe(); }
      },
      resize: () => viewer && viewer.resize(),
      viewer: () => viewer,
      state: () => ({ place: state.place, atom: state.atom, items: items.length }),
    };
  }

  // Opens all views of a page that are not open yet, once they come near the part that is seen.
  function openAll() {
    for (const holder of document.querySelectorAll(".losiko-holder:not([data-open])")) {
      holder.dataset.open = "";
      const data = JSON.parse(holder.querySelector("script[type='application/json']").textContent);
      const begin = () => {
        const handle = open(holder.querySelector(".losiko-place"), data.items, data.options);
        holder.losiko = handle;
        link(holder, handle);
      };
      if (!window.IntersectionObserver) { begin(); continue; }
      const watch = new IntersectionObserver((entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        watch.disconnect();
        begin();
      }, { rootMargin: "300px" });
      watch.observe(holder);
    }
  }

  // A click on a row of the table beside a view, or Enter there, shows its structure.
  function link(holder, handle) {
    const rows = [...(holder.parentElement?.querySelectorAll(":scope > table > tbody > tr") || [])];
    if (!rows.length || rows.length !== handle.state().items || rows.length < 2) return;
    const choose = (k) => {
      handle.show(k);
      rows.forEach((row, n) => row.classList.toggle("losiko-chosen", n === k));
    };
    rows.forEach((row, k) => {
      row.classList.add("losiko-row");
      row.tabIndex = 0;
      row.addEventListener("click", () => choose(k));
      row.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        event.stopPropagation();
        choose(k);
      });
    });
  }

  return { open, openAll, setRadii: (known) => (radii = known), elementColour };
})();
