// Numbers as text, and elements of the page.
function short(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = unit === "Å" && Math.abs(value) < 5e-5 ? 0 : Math.abs(value);
  if (size === 0) value = 0;
  let text = String(+value.toPrecision(3));
  if (size >= 1e7 || (size > 0 && size < 0.001)) text = value.toExponential(1).replace("e+", "e");
  else if (size >= 1000) text = Math.round(value).toLocaleString("en");
  return (unit ? text + " " + unit : text).replace(/-/g, "−");
}

// In a column, where numbers of one unit stand below each other.
function inColumn(quantity, value) {
  if (value === null || value === undefined) return "–";
  if (quantity.whole) return value.toLocaleString("en");
  const small = quantity.log && value !== 0 && Math.abs(value) < 0.001;
  const text = small ? value.toExponential(1) : value.toFixed(quantity.log ? 4 : 3);
  return (/^-0[.0]*$/.test(text) ? text.slice(1) : text).replace(/-/g, "−");
}

const plural = (count, noun) => count.toLocaleString("en") + " " + noun + (count === 1 ? "" : "s");

function make(tag, properties, ...children) {
  const { dataset, ...rest } = properties || {};
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(rest))
    if (name in made && !name.startsWith("aria")) made[name] = value;
    else made.setAttribute(name, value);
  Object.assign(made.dataset, dataset);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const find = (id) => document.getElementById(id);
