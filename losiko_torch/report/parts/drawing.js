// What the plots share: the data, the page's colours, and numbers as text.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

function baseLayout() {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: colour("text") },
    hoverlabel: {
      align: "left",
      bgcolor: colour("back"),
      bordercolor: colour("quiet"),
      font: { color: colour("text"), size: 12 },
    },
  };
}

// Plotly takes text for markup.
function escaped(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function short(value) {
  if (value === null) return "not known";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 0.001 && size < 1e6 ? String(+value.toPrecision(3)) : value.toExponential(2);
}

function element(parent, tag, text) {
  const made = parent.appendChild(document.createElement(tag));
  if (text !== undefined) made.textContent = text;
  return made;
}
