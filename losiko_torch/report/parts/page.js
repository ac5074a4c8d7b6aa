// All parts, put together once the data is unpacked.
const KINDS = 10; // groups of sentences that are offered, the largest ones

function drawCount() {
  const some = view.length === data.length ? plural(data.length, "structure") : `${view.length.toLocaleString("en")} of ${plural(data.length, "structure")}`;
  find("count").textContent = some + (ticked.size ? `, ${ticked.size.toLocaleString("en")} ticked` : "");
  const count = rowsToDownload().length;
  find("download").textContent = `Download ${count.toLocaleString("en")} ${ticked.size ? "ticked" : "shown"}`;
  find("download").disabled = !count || !geometry;
  const all = view.length > 0 && view.every((row) => ticked.has(row));
  find("tick").textContent = all ? "Untick all shown" : "Tick all shown";
  find("tick").disabled = !view.length;
  find("clear").disabled = !isFiltered();
}

function makeChips() {
  const counts = data.states.map((_, state) => data.state.filter((each) => each === state).length);
  data.states.forEach((name, state) => {
    if (!counts[state]) return;
    const button = make("button", { type: "button", "aria-pressed": "false", dataset: { state } }, name + " ", make("b", {}, counts[state].toLocaleString("en")));
    button.addEventListener("click", () => {
      if (!filters.states.delete(state)) filters.states.add(state);
      filters.kind = null;
      refresh();
    });
    find("states").append(button);
  });
}

// The reasons of what failed or is in doubt, while these are what is shown.
function drawKinds() {
  const counts = new Map();
  const before = filters.kind;
  filters.kind = null;
  for (const row of passing(null)) if (data.told[row]) counts.set(data.kind[data.told[row]], (counts.get(data.kind[data.told[row]]) || 0) + 1);
  filters.kind = before;
  const urgent = Math.max(-1, ...filters.states) < data.states.length - 1 && filters.states.size > 0;
  const groups = urgent ? Array.from(counts).sort((a, b) => b[1] - a[1]).slice(0, KINDS) : [];
  find("kinds").replaceChildren(...groups.map(([kind, count]) => {
    const button = make("button", { type: "button", "aria-pressed": String(kind === filters.kind) }, make("b", {}, count.toLocaleString("en")), data.kinds[kind]);
    button.addEventListener("click", () => {
      filters.kind = filters.kind === kind ? null : kind;
      refresh();
    });
    return button;
  }));
}

function drawControls() {
  drawCount();
  drawKinds();
  if (find("search").value.trim() !== filters.words) find("search").value = filters.words;
  for (const button of find("states").children) button.setAttribute("aria-pressed", String(filters.states.has(Number(button.dataset.state))));
  find("sort").value = order.key;
  find("direction").textContent = order.down ? "↓" : "↑";
}

function makeSort() {
  const keys = [["number", "input order"], ...columns.map((column) => [column.key, column.title])];
  find("sort").append(...keys.map(([value, text]) => make("option", { value }, text)));
  find("sort").addEventListener("change", (event) => sortBy(event.target.value, isDownFirst(event.target.value)));
  find("direction").addEventListener("click", () => sortBy(order.key, !order.down));
}

function listen() {
  find("search").addEventListener("input", (event) => {
    filters.words = event.target.value.trim();
    refresh();
  });
  find("clear").addEventListener("click", clearFilters);
  find("download").addEventListener("click", download);
  find("tick").addEventListener("click", () => {
    const all = view.every((row) => ticked.has(row));
    for (const row of view) if (all) ticked.delete(row); else ticked.add(row);
    drawRows();
    drawCount();
  });
  addEventListener("beforeprint", () => {
    printing = true;
    drawRows();
    if (picture?.viewer()) parts.picture.append(make("img", { src: picture.viewer().pngURI(), alt: "The chosen structure" }));
  });
  addEventListener("afterprint", () => {
    printing = false;
    drawRows();
    parts.picture.querySelectorAll("img").forEach((image) => image.remove());
  });
}

function drawThemeSwitch() {
  find("theme").textContent = theme.isDark() ? "Light" : "Dark";
}

async function start() {
  find("theme").addEventListener("click", theme.toggle);
  theme.onChange(drawThemeSwitch);
  drawThemeSwitch();
  if (!find("structures")) return;
  await readListing();
  find("structures").hidden = false;
  find("distributions").open = innerWidth > 700;
  indexTexts();
  makeColumns();
  makeChips();
  makeSort();
  makeHistograms();
  makeDetail();
  listenToList();
  watchers.push(drawControls);
  listen();
  // The most urgent first: what failed, then what is in doubt.
  sortBy("state", false);
  performance.mark("list");
  await readGeometries();
  drawCount();
  choose(view[0]);
  performance.mark("ready");
  document.documentElement.dataset.ready = "yes";
}

start();
