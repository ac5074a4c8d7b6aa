// The turn of a molecule that shows most: its longest axis along x, and its shortest along z.
function principalAxes(points) {
  const middle = [0, 1, 2].map((k) => points.reduce((sum, point) => sum + point[k], 0) / points.length);
  const spread = [0, 1, 2].map((a) => [0, 1, 2].map((b) => points.reduce((sum, p) => sum + (p[a] - middle[a]) * (p[b] - middle[b]), 0)));
  const first = largestAxis(spread, null), second = largestAxis(spread, first);
  return [first, second, cross(first, second)];
}

const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

// By powers of the matrix; at right angles to `apart`, if given.
function largestAxis(matrix, apart) {
  let axis = [0.6, 0.5, 0.62];
  if (apart) {
    const one = cross(apart, Math.abs(apart[0]) < 0.9 ? [1, 0, 0] : [0, 1, 0]), other = cross(apart, one);
    // Some of both, lest it begin along an axis of no extent.
    axis = one.map((value, k) => value + 0.7 * other[k]);
  }
  for (let step = 0; step < 60; step++) {
    let next = matrix.map((line) => line.reduce((sum, value, k) => sum + value * axis[k], 0));
    if (apart) {
      const along = next.reduce((sum, value, k) => sum + value * apart[k], 0);
      next = next.map((value, k) => value - along * apart[k]);
    }
    const length = Math.hypot(...next);
    if (length < 1e-9) break;
    axis = next.map((value) => value / length);
  }
  const length = Math.hypot(...axis);
  return axis.map((value) => value / length);
}

// The quaternion (x, y, z, w) of the rotation whose rows are these axes, divided by its largest part.
function quaternionOf([[a, b, c], [d, e, f], [g, h, i]]) {
  const squares = [1 + a - e - i, 1 - a + e - i, 1 - a - e + i, 1 + a + e + i];
  const largest = squares.indexOf(Math.max(...squares)), four = 2 * Math.sqrt(squares[largest]);
  return [
    [four / 4, (b + d) / four, (c + g) / four, (h - f) / four],
    [(b + d) / four, four / 4, (f + h) / four, (c - g) / four],
    [(c + g) / four, (f + h) / four, four / 4, (d - b) / four],
    [(h - f) / four, (c - g) / four, (d - b) / four, four / 4],
  ][largest];
}

function turnOf(points) {
  return points.length < 3 ? [0, 0, 0, 1] : quaternionOf(principalAxes(points));
}
