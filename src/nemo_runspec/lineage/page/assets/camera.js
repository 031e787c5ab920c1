// Where the drawing is looked at from: place in pixels = x + scale * place in the drawing.

const LEAST_SCALE = 0.01;
const MOST_SCALE = 2.5;
const MARGIN = 36;

function clampScale(scale) {
  return Math.min(MOST_SCALE, Math.max(LEAST_SCALE, scale));
}

/** The camera zoomed by a factor; the point of the window at (x, y) stays where it is. */
function zoomed(camera, factor, x, y) {
  const scale = clampScale(camera.scale * factor);
  const ratio = scale / camera.scale;
  return { scale, x: x - (x - camera.x) * ratio, y: y - (y - camera.y) * ratio };
}

/** The camera that shows bounds whole; not larger than life. */
function fitted(bounds, size) {
  const width = Math.max(1, bounds.right - bounds.left);
  const height = Math.max(1, bounds.bottom - bounds.top);
  const margin = Math.min(MARGIN, size.width / 12);
  const scale = clampScale(Math.min(1.1, (size.width - 2 * margin) / width, (size.height - 2 * margin) / height));
  return {
    scale,
    x: (size.width - (bounds.left + bounds.right) * scale) / 2,
    y: (size.height - (bounds.top + bounds.bottom) * scale) / 2,
  };
}

/** The camera that has a place in its middle, near enough to read. */
function centred(camera, size, x, y, least) {
  const scale = Math.max(camera.scale, least);
  return { scale, x: size.width / 2 - x * scale, y: size.height / 2 - y * scale };
}

/** The node at a place of the drawing, -1 if there is none. */
function nodeAt(drawing, shown, x, y) {
  for (let at = drawing.x.length - 1; at >= 0; at -= 1) {
    if (!shown[at]) continue;
    if (Math.abs(drawing.x[at] - x) <= NODE_WIDTH / 2 && Math.abs(drawing.y[at] - y) <= NODE_HEIGHT / 2) return at;
  }
  return -1;
}
