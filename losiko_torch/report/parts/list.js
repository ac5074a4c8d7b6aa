// The list: of its rows, those in sight are made, so that any number stays quick.
const ROW = 46, BEYOND = 10, PRINTED = 200, TEXTS = 3;
const ticked = new Set();
let chosen = null, printing = false;
const list = find("list"), scroller = find("scroll");
let columns = [];

function makeColumns() {
  const text = [
    { key: "name", title: "structure", className: "left" },
    { key: "formula", title: "formula", className: "left c-formula" },
    { key: "state", title: "state", className: "left c-state" },
  ];
  const numbers = data.quantities
    .filter((quantity) => quantity.key !== "start_loss")
    .map((quantity) => ({
      key: quantity.key, title: quantity.title, unit: quantity.unit, meaning: quantity.meaning, quantity,
      className: "c-number extra" + (["n_atoms", "largest_distance"].includes(quantity.key) ? " rare" : ""),
    }));
  columns = [...text, ...numbers];
  const head = make("tr", { "aria-rowindex": 1 }, make("td", { className: "c-tick" }));
  for (const column of columns) {
    const button = make("button", { type: "button", title: column.meaning || "" }, column.title, column.unit ? make("small", {}, column.unit) : null);
    button.addEventListener("click", () => sortBy(column.key, order.key === column.key ? !order.down : isDownFirst(column.key)));
    head.append(make("th", { className: column.className, scope: "col", dataset: { key: column.key } }, button));
  }
  list.tHead.append(head);
}

// The column of numbers that has room on the smallest screen: that which sorts, or else the first.
function isMain(key) {
  const numbers = columns.slice(TEXTS).map((column) => column.key);
  return key === (numbers.includes(order.key) ? order.key : numbers[0]);
}

function cellsOf(row) {
  const state = data.state[row], told = sentenceOf(row), name = nameOf(row);
  const under = [data.name[row] ? data.source[row] : "", told].filter(Boolean).join(" · ");
  const cells = {
    name: () => [name, make("span", { className: "under" }, under)],
    formula: () => [data.formula[row]],
    state: () => [make("span", { className: "state state-" + state }, data.states[state])],
  };
  return columns.map((column) => {
    const made = make("td", { className: column.className + (isMain(column.key) ? " sorted" : ""), dataset: { key: column.key } });
    if (cells[column.key]) made.append(...cells[column.key]());
    else made.textContent = inColumn(column.quantity, data[column.key][row]);
    if (column.key === "name") made.title = [name, under].filter(Boolean).join("\n");
    return made;
  });
}

function rowOf(place) {
  const row = view[place];
  const box = make("input", { type: "checkbox", tabIndex: -1, checked: ticked.has(row), "aria-label": "Tick " + nameOf(row) });
  const made = make("tr", {
    id: "row-" + row, role: "row", "aria-rowindex": place + 2, "aria-selected": String(row === chosen), dataset: { row },
  }, make("td", { className: "c-tick" }, box), ...cellsOf(row));
  return made;
}

function space(rows) {
  const made = make("tr", { className: "space", "aria-hidden": "true" }, make("td", {}));
  made.firstChild.style.height = rows * ROW + "px";
  return made;
}

function drawRows() {
  const head = list.tHead.offsetHeight;
  let first = Math.max(0, Math.floor(scroller.scrollTop / ROW) - BEYOND);
  let end = Math.min(view.length, Math.ceil((scroller.scrollTop + scroller.clientHeight - head) / ROW) + BEYOND);
  if (printing) [first, end] = [0, Math.min(view.length, PRINTED)];
  const rows = [];
  for (let place = first; place < end; place++) rows.push(rowOf(place));
  const after = printing ? 0 : view.length - end;
  list.tBodies[0].replaceChildren(...(first ? [space(first)] : []), ...rows, ...(after ? [space(after)] : []));
  const there = chosen !== null && document.getElementById("row-" + chosen);
  if (there) list.setAttribute("aria-activedescendant", there.id);
  else list.removeAttribute("aria-activedescendant");
}

function drawHead() {
  for (const cell of list.tHead.rows[0].cells) {
    const key = cell.dataset.key, sorts = key === order.key;
    cell.classList.toggle("sorted", isMain(key));
    if (sorts) cell.setAttribute("aria-sort", order.down ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  }
  list.setAttribute("aria-rowcount", view.length + 1);
}

function scrollTo(place) {
  const top = place * ROW, room = scroller.clientHeight - list.tHead.offsetHeight;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (top + ROW > scroller.scrollTop + room) scroller.scrollTop = top + ROW - room;
}

function choose(row) {
  chosen = row;
  drawRows();
  showDetail(row);
}

function moveBy(steps) {
  if (!view.length) return;
  const now = view.indexOf(chosen);
  const place = Math.max(0, Math.min(view.length - 1, now < 0 ? 0 : now + steps));
  scrollTo(place);
  choose(view[place]);
}

function toggleTick(row) {
  if (!ticked.delete(row)) ticked.add(row);
  drawRows();
  drawCount();
}

const KEYS = { ArrowDown: () => 1, ArrowUp: () => -1, PageDown: () => 10, PageUp: () => -10, Home: () => -view.length, End: () => view.length };

function listenToList() {
  let waiting = false;
  scroller.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      drawRows();
    });
  });
  list.addEventListener("keydown", (event) => {
    if (event.target !== list || event.ctrlKey || event.metaKey || event.altKey) return;
    if (KEYS[event.key]) moveBy(KEYS[event.key]());
    else if (event.key === " " && chosen !== null) toggleTick(chosen);
    else return;
    event.preventDefault();
  });
  list.tBodies[0].addEventListener("click", (event) => {
    const line = event.target.closest("tr[data-row]");
    if (!line) return;
    const row = Number(line.dataset.row);
    if (event.target.closest(".c-tick")) toggleTick(row);
    else {
      choose(row);
      list.focus({ preventScroll: true });
    }
  });
  new ResizeObserver(drawRows).observe(scroller);
  watchers.push(() => {
    scroller.scrollTop = 0;
    drawHead();
    drawRows();
  });
}
