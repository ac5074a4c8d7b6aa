// The chosen structures as extended xyz, made here.
const quoted = (text) => '"' + String(text).replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/[\r\n]+/g, " ") + '"';
const flag = (value) => (value ? "T" : "F");

function frameOf(structure) {
  const { row, atoms, cell, periodic } = structure;
  const known = (name) => atoms.some((atom) => !Number.isNaN(atom[name]));
  const arrays = [["losiko_distance", "distance"], ["losiko_expected_error", "error"]].filter(([, name]) => known(name));
  const facts = [];
  if (cell) facts.push(`Lattice="${cell.join(" ")}"`);
  facts.push("Properties=species:S:1:pos:R:3" + arrays.map(([name]) => `:${name}:R:1`).join(""));
  if (data.name[row]) facts.push("name=" + quoted(data.name[row]));
  facts.push("losiko_source=" + quoted(data.source[row]), "losiko_reason=" + quoted(data.reason[row]));
  facts.push("losiko_reliable=" + flag(data.states[data.state[row]] === "reliable"));
  if (data.state[row] && sentenceOf(row)) facts.push("losiko_doubt=" + quoted(sentenceOf(row)));
  const numbers = { loss: "loss", start_loss: "start_loss", n_steps: "steps", expected_rmsd: "expected_rmsd", rmsd: "rmsd" };
  for (const [key, name] of Object.entries(numbers))
    if (data[key] && data[key][row] !== null) facts.push(`losiko_${name}=${data[key][row]}`);
  facts.push(`pbc="${periodic.map(flag).join(" ")}"`);
  const lines = atoms.map((atom) => [
    atom.symbol, ...atom.after.map((value) => value.toFixed(4)), ...arrays.map(([, name]) => (Number.isNaN(atom[name]) ? "nan" : atom[name].toPrecision(4))),
  ].join(" "));
  return [atoms.length, facts.join(" "), ...lines].join("\n") + "\n";
}

function rowsToDownload() {
  return ticked.size ? Array.from(ticked).sort((a, b) => a - b) : Array.from(view);
}

function download() {
  const rows = rowsToDownload(), frames = [];
  for (const row of rows) {
    const structure = structureOf(row);
    if (structure) frames.push(frameOf(structure));
  }
  const left = rows.length - frames.length;
  const said = `${plural(frames.length, "structure")} written, positions to 0.0001 Å` + (left ? `; ${left.toLocaleString("en")} left out, whose geometries are not on this page` : "") + ".";
  find("said").textContent = said;
  if (!frames.length) return;
  const link = make("a", { href: URL.createObjectURL(new Blob(frames, { type: "chemical/x-xyz" })), download: document.body.dataset.name + ".extxyz" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
