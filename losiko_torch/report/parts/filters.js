// Which rows are shown, and in which order.
const filters = { words: "", states: new Set(), kind: null, ranges: {} };
// Columns of text that rows are sorted by; any other is a quantity. Input order is the first.
const order = { key: "number", down: false };
let view = new Int32Array(0), texts = [];
const watchers = [];

function indexTexts() {
  texts = Array.from({ length: data.length }, (_, row) =>
    [data.name[row], data.source[row], data.formula[row], data.states[data.state[row]], sentenceOf(row)].join("\n").toLowerCase(),
  );
}

// Rows that pass all filters, but for the range of one quantity.
function passing(except) {
  const words = filters.words.toLowerCase().split(/\s+/).filter(Boolean);
  const ranges = Object.entries(filters.ranges).filter(([key]) => key !== except);
  const rows = [];
  for (let row = 0; row < data.length; row++) {
    if (filters.states.size && !filters.states.has(data.state[row])) continue;
    if (filters.kind !== null && data.kind[data.told[row]] !== filters.kind) continue;
    if (!words.every((word) => texts[row].includes(word))) continue;
    if (ranges.every(([key, [low, high]]) => data[key][row] !== null && data[key][row] >= low && data[key][row] <= high)) rows.push(row);
  }
  return rows;
}

const textOf = { name: nameOf, formula: (row) => data.formula[row] };

function sorted(rows) {
  const { key, down } = order, sign = down ? -1 : 1;
  if (textOf[key]) {
    const collator = new Intl.Collator("en", { numeric: true });
    return rows.sort((a, b) => sign * collator.compare(textOf[key](a), textOf[key](b)) || a - b);
  }
  const values = data[key];
  // What has no number comes last, whichever way the others go.
  return rows.sort((a, b) => {
    if (values[a] === null || values[b] === null) return (values[a] === null) - (values[b] === null) || a - b;
    return sign * (values[a] - values[b]) || a - b;
  });
}

function refresh() {
  view = Int32Array.from(sorted(passing(null)));
  watchers.forEach((call) => call());
}

function sortBy(key, down) {
  order.key = key;
  order.down = down;
  refresh();
}

// The first click brings up what one looks for: the largest number, the most urgent state.
const isDownFirst = (key) => !["number", "name", "formula", "state"].includes(key);

function isFiltered() {
  return Boolean(filters.words || filters.states.size || filters.kind !== null || Object.keys(filters.ranges).length);
}

function clearFilters() {
  Object.assign(filters, { words: "", kind: null, ranges: {} });
  filters.states.clear();
  refresh();
}
