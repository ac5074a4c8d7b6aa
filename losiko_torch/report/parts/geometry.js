// Geometries: read once from the packed numbers, and handed out one structure at a time.
let geometry = null;
const TYPES = { uint8: Uint8Array, int32: Int32Array, float32: Float32Array };

// The first bytes of all numbers lie before their second bytes.
function joined(bytes, Kind, count) {
  const size = Kind.BYTES_PER_ELEMENT, whole = new Uint8Array(count * size);
  for (let plane = 0; plane < size; plane++)
    for (let k = 0; k < count; k++) whole[k * size + plane] = bytes[plane * count + k];
  return new Kind(whole.buffer);
}

async function readGeometries() {
  const bytes = new Uint8Array(await unpacked("geometries"));
  const arrays = {};
  let at = 0;
  for (const [name, type, count] of data.geometries.arrays) {
    const size = count * TYPES[type].BYTES_PER_ELEMENT;
    arrays[name] = joined(bytes.subarray(at, at + size), TYPES[type], count);
    at += size;
  }
  const places = new Map(), { rows, atoms, started } = data.geometries;
  let first = 0, begun = 0;
  rows.forEach((row, k) => {
    places.set(row, { place: k, first, begun: started[k] ? begun : null, count: atoms[k] });
    first += atoms[k];
    if (started[k]) begun += atoms[k];
  });
  geometry = { arrays, places };
}

// A structure of the list; null if the page does not hold it.
function structureOf(row) {
  const found = geometry.places.get(row);
  if (!found) return null;
  const { arrays } = geometry, { unit, symbols, references, cells } = data.geometries;
  const [cell, periodic, cellBefore] = cells[found.place] || [null, [0, 0, 0], null];
  const atoms = [];
  for (let k = 0; k < found.count; k++) {
    const at = found.first + k, after = [0, 1, 2].map((axis) => arrays.after[3 * at + axis]);
    const before = found.begun === null ? null : after.map((value, axis) => (value + arrays.before[3 * (found.begun + k) + axis]) * unit);
    const nearest = arrays.nearest[at];
    atoms.push({
      symbol: symbols[arrays.number[at]], index: k, after: after.map((value) => value * unit), before,
      distance: arrays.distance[at], error: arrays.error[at],
      moved: before && Math.hypot(...before.map((value, axis) => value - after[axis] * unit)),
      nearest: nearest < 0 ? "" : symbols[arrays.number[at]] + arrays.nearest_atom[at] + " of " + references[nearest],
    });
  }
  return { row, atoms, cell, periodic, cellBefore };
}
