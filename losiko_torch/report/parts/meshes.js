// A structure as meshes for plotly: balls for atoms, sticks for bonds, lines for the cell.
const STICK = 0.09, SIDES = 10;
const HIDDEN = { hoverinfo: "skip", showlegend: false };

// Where a distance lies on the scale of colours, from 0 to 1.
function level(distance) {
  const [low, high] = data.scale.limits;
  const within = Math.min(high, Math.max(low, distance));
  return Math.log(within / low) / Math.log(high / low);
}

function distanceColour(distance) {
  const stops = data.scale.colors, place = level(distance) * (stops.length - 1);
  const k = Math.min(Math.floor(place), stops.length - 2);
  return "rgb(" + stops[k].map((c, n) => Math.round(c + (place - k) * (stops[k + 1][n] - c))) + ")";
}

function atomColour(structure, k, byElement) {
  if (!byElement) return distanceColour(structure.distances[k]);
  return "rgb(" + data.elements[structure.symbols[k]].color + ")";
}

function atomText(structure, k) {
  return "<b>" + escaped(structure.symbols[k] + structure.indices[k]) + "</b>, distance " +
    short(structure.distances[k]) + "<br>nearest: " + escaped(structure.nearest[k]);
}

function balls(structure, byElement) {
  const mesh = { x: [], y: [], z: [], i: [], j: [], k: [], vertexcolor: [], text: [] };
  structure.positions.forEach((position, atom) => {
    const first = mesh.x.length, radius = data.elements[structure.symbols[atom]].radius;
    const color = atomColour(structure, atom, byElement), text = atomText(structure, atom);
    for (const point of data.ball.points) {
      mesh.x.push(position[0] + radius * point[0]);
      mesh.y.push(position[1] + radius * point[1]);
      mesh.z.push(position[2] + radius * point[2]);
      mesh.vertexcolor.push(color);
      mesh.text.push(text);
    }
    for (const [a, b, c] of data.ball.triangles) {
      mesh.i.push(first + a);
      mesh.j.push(first + b);
      mesh.k.push(first + c);
    }
  });
  return Object.assign(mesh, {
    type: "mesh3d",
    hovertemplate: "%{text}<extra></extra>",
    lighting: { ambient: 0.62, diffuse: 0.55, specular: 0.15, roughness: 0.6, fresnel: 0.05 },
    lightposition: { x: 2000, y: 3000, z: 8000 },
  });
}

// Two directions at right angles to a vector and to each other.
function across([x, y, z]) {
  const length = Math.hypot(x, y, z);
  const other = Math.abs(z) < 0.9 * length ? [0, 0, 1] : [1, 0, 0];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const unit = (a) => a.map((c) => c / Math.hypot(...a));
  const u = unit(cross([x, y, z], other));
  return [u, unit(cross([x, y, z], u))];
}

function sticks(structure) {
  const mesh = { x: [], y: [], z: [], i: [], j: [], k: [] };
  for (const [atom, ...half] of structure.bonds) {
    const first = mesh.x.length, start = structure.positions[atom], [u, v] = across(half);
    for (let side = 0; side < SIDES; side++) {
      const angle = (2 * Math.PI * side) / SIDES;
      const rim = u.map((c, n) => STICK * (c * Math.cos(angle) + v[n] * Math.sin(angle)));
      for (const share of [0, 1]) {
        mesh.x.push(start[0] + share * half[0] + rim[0]);
        mesh.y.push(start[1] + share * half[1] + rim[1]);
        mesh.z.push(start[2] + share * half[2] + rim[2]);
      }
      const a = first + 2 * side, b = first + 2 * ((side + 1) % SIDES);
      mesh.i.push(a, b);
      mesh.j.push(b, b + 1);
      mesh.k.push(a + 1, a + 1);
    }
  }
  return Object.assign(mesh, HIDDEN, { type: "mesh3d", color: colour("stick"), lighting: { ambient: 0.7, diffuse: 0.4, specular: 0.1 } });
}

// Edges of the cell, as pairs of points: along each vector, from every sum of the others.
function cellEdges(structure) {
  const edges = [];
  structure.cell.forEach((along, n) => {
    let starts = [structure.origin];
    structure.cell.forEach((other, m) => {
      if (m !== n) starts = starts.concat(starts.map((s) => s.map((c, k) => c + other[k])));
    });
    for (const start of starts) edges.push([start, start.map((c, k) => c + along[k])]);
  });
  return edges;
}

function cellLines(structure) {
  const points = cellEdges(structure).flatMap(([a, b]) => [a, b, [null, null, null]]);
  const [x, y, z] = [0, 1, 2].map((k) => points.map((point) => point[k]));
  return Object.assign({ type: "scatter3d", mode: "lines", x, y, z, line: { color: colour("quiet"), width: 2 } }, HIDDEN);
}

// How far from the middle anything is drawn; small molecules are not blown up.
function reach(structure) {
  const corners = structure.positions.concat(...cellEdges(structure));
  return Math.max(2.5, 0.6 + Math.max(...corners.map((point) => Math.hypot(...point))));
}
