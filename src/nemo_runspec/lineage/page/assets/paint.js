// What the canvas shows of a scene: only what is in view, and no more of it than can be read.

const READABLE = 0.42;
const NAMED = 0.2;
const FONT = getComputedStyle(document.documentElement).getPropertyValue("--font").trim();
const ICON_PATHS = Object.fromEntries(Object.entries(ICONS).map(([name, path]) => [name, new Path2D(path)]));

/** The colours of the theme, from the style sheet. */
function readColours() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(`--${name}`).trim();
  const states = {};
  for (const state of Object.keys(STATES)) {
    states[state] = { ink: get(`state-${state}`), soft: get(`state-${state}-soft`) };
  }
  return {
    states,
    back: get("canvas"), card: get("surface"), line: get("border-strong"), edge: get("edge"),
    ink: get("ink"), soft: get("ink-soft"), accent: get("accent"), hit: get("hit"), danger: get("danger"),
    second: get("second"),
  };
}

/** Shortens texts to a width; each text is measured once for each font. */
function makeShortener(context) {
  const known = new Map();
  return (text, font, width) => {
    const key = `${font}\n${width}\n${text}`;
    let shown = known.get(key);
    if (shown === undefined) {
      context.font = font;
      shown = shorten(context, text, width);
      known.set(key, shown);
    }
    return shown;
  };
}

function shorten(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  const characters = Array.from(text.slice(0, 400));
  let least = 0;
  let most = characters.length;
  // The end of a name tells more than its middle: nano3-sft/…rate-1e-3.
  const cut = (count) => `${characters.slice(0, Math.ceil(count * 0.6)).join("")}…${characters.slice(characters.length - Math.floor(count * 0.4)).join("")}`;
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (context.measureText(cut(middle)).width <= width) least = middle;
    else most = middle - 1;
  }
  return cut(least);
}

/**
 * Draws one frame.
 *
 * @param context of the canvas
 * @param scene graph, drawing (of layoutGraph), colours, camera {x, y, scale}, size {width, height,
 *   ratio}, and what is to be shown how: selected, second, cursor, hover (indices or -1), shown (1 for
 *   each node that the filters let pass), hits and line (sets of indices)
 */
function paint(context, scene, shortened) {
  const { camera, size, colours } = scene;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = colours.back;
  context.fillRect(0, 0, size.width * size.ratio, size.height * size.ratio);
  const scale = camera.scale * size.ratio;
  context.setTransform(scale, 0, 0, scale, camera.x * size.ratio, camera.y * size.ratio);
  const view = {
    left: -camera.x / camera.scale,
    top: -camera.y / camera.scale,
    right: (size.width - camera.x) / camera.scale,
    bottom: (size.height - camera.y) / camera.scale,
  };
  paintEdges(context, scene, view);
  paintNodes(context, scene, view, shortened);
}

function paintEdges(context, scene, view) {
  const { drawing, colours, shown, line: lit, camera } = scene;
  const thin = Math.max(1.2, 0.7 / camera.scale);
  const plain = new Path2D();
  const bright = new Path2D();
  for (const line of drawing.lines) {
    if (!shown[line.from] || !shown[line.to]) continue;
    if (line.right < view.left || line.left > view.right || line.bottom < view.top || line.top > view.bottom) continue;
    trace(lit && lit.has(line.from) && lit.has(line.to) ? bright : plain, line.points);
  }
  context.lineWidth = thin;
  context.strokeStyle = colours.edge;
  context.globalAlpha = lit ? 0.35 : camera.scale < NAMED ? 0.6 : 1;
  context.stroke(plain);
  context.globalAlpha = 1;
  context.lineWidth = thin * 1.7;
  context.strokeStyle = colours.accent;
  context.stroke(bright);
  if (camera.scale >= NAMED) paintArrows(context, scene, view);
}

function trace(path, points) {
  path.moveTo(points[0], points[1]);
  for (let at = 2; at < points.length; at += 2) {
    const x0 = points[at - 2];
    const x1 = points[at];
    const y1 = points[at + 1];
    if (at % 4 === 0) {
      path.lineTo(x1, y1);
      continue;
    }
    const bend = Math.max(24, Math.abs(x1 - x0) / 2);
    path.bezierCurveTo(x0 + bend, points[at - 1], x1 - bend, y1, x1, y1);
  }
}

function paintArrows(context, { drawing, colours, shown, line: lit }, view) {
  for (const line of drawing.lines) {
    const x = line.points[line.points.length - 2];
    const y = line.points[line.points.length - 1];
    if (!shown[line.from] || !shown[line.to] || x < view.left || x > view.right || y < view.top || y > view.bottom) continue;
    context.fillStyle = lit && lit.has(line.from) && lit.has(line.to) ? colours.accent : colours.edge;
    context.beginPath();
    context.moveTo(x + 0.5, y);
    context.lineTo(x - 7.5, y - 4);
    context.lineTo(x - 7.5, y + 4);
    context.fill();
  }
}

function paintNodes(context, scene, view, shortened) {
  const { graph, drawing, camera, shown, line: lit } = scene;
  const ghosts = new Path2D();
  for (const node of graph.nodes) {
    const x = drawing.x[node.index] - NODE_WIDTH / 2;
    const y = drawing.y[node.index] - NODE_HEIGHT / 2;
    if (x + NODE_WIDTH < view.left || x > view.right || y + NODE_HEIGHT < view.top || y > view.bottom) continue;
    if (!shown[node.index]) {
      ghosts.rect(x, y, NODE_WIDTH, NODE_HEIGHT);
      continue;
    }
    context.globalAlpha = lit && !lit.has(node.index) && !scene.hits.has(node.index) ? 0.38 : 1;
    if (camera.scale < NAMED) paintBlock(context, scene, node, x, y);
    else paintCard(context, scene, node, x, y, shortened);
    context.globalAlpha = 1;
    paintRings(context, scene, node, x, y);
  }
  context.globalAlpha = 0.35;
  context.lineWidth = Math.max(1, 0.6 / camera.scale);
  context.strokeStyle = scene.colours.line;
  context.setLineDash([5, 5]);
  context.stroke(ghosts);
  context.setLineDash([]);
  context.globalAlpha = 1;
}

/** From far away: a block in the colour of its state. */
function paintBlock(context, { colours }, node, x, y) {
  context.fillStyle = node.raw.revoked ? colours.danger : colours.states[node.state].ink;
  context.fillRect(x, y, NODE_WIDTH, NODE_HEIGHT);
}

function outline(context, node, x, y, grow = 0) {
  context.beginPath();
  const round = node.kind === "external" ? NODE_HEIGHT / 2 + grow : 9 + grow;
  context.roundRect(x - grow, y - grow, NODE_WIDTH + 2 * grow, NODE_HEIGHT + 2 * grow, round);
}

function paintCard(context, scene, node, x, y, shortened) {
  const { colours, camera } = scene;
  const { ink, soft } = colours.states[node.state];
  const opaque = context.globalAlpha;
  context.globalAlpha = 1;
  outline(context, node, x, y);
  context.fillStyle = colours.back;
  context.fill();
  context.globalAlpha = opaque;
  context.fillStyle = colours.card;
  context.fill();
  context.save();
  context.clip();
  context.fillStyle = soft;
  context.fillRect(x, y, 42, NODE_HEIGHT);
  context.restore();
  outline(context, node, x, y);
  context.lineWidth = node.raw.revoked ? 2 : 1.2;
  context.strokeStyle = node.raw.revoked ? colours.danger : colours.line;
  if (node.kind === "target") context.setLineDash([6, 4]);
  context.stroke();
  context.setLineDash([]);
  drawIcon(context, node.state, x + 13, y + NODE_HEIGHT / 2 - 8.5, ink, 1.06);
  const left = x + 53;
  const width = NODE_WIDTH - 65;
  context.textBaseline = "middle";
  const isReadable = camera.scale >= READABLE;
  const nameFont = `600 ${isReadable ? 14.5 : 18}px ${FONT}`;
  const name = shortened(node.name, nameFont, isReadable && node.raw.revoked ? width - 20 : width);
  context.font = nameFont;
  context.fillStyle = colours.ink;
  context.fillText(name, left, y + NODE_HEIGHT / 2 - (isReadable ? 9.5 : 0));
  if (isReadable) paintDetails(context, scene, node, left, y + NODE_HEIGHT / 2 + 11, width, shortened);
  if (isReadable && node.raw.revoked) drawIcon(context, "revoked", x + NODE_WIDTH - 25, y + 11, colours.danger, 0.9);
}

function paintDetails(context, scene, node, left, y, width, shortened) {
  const { colours } = scene;
  const font = `12.5px ${FONT}`;
  const state = node.kind === "external" ? node.state : [node.versionText, node.state].filter(Boolean).join(" ");
  context.font = `600 12.5px ${FONT}`;
  context.fillStyle = colours.states[node.state].ink;
  context.fillText(state, left, y);
  const used = context.measureText(state).width + 7;
  const more = [
    node.aliases.length ? `@${node.aliases.join(" @")}` : "",
    node.raw.accepted ? "accepted" : "",
    node.raw.gone && node.state !== "gone" ? "gone" : "",
    node.type,
  ].filter(Boolean).join(" · ");
  if (!more) return;
  const text = shortened(more, font, width - used);
  context.font = font;
  context.fillStyle = colours.soft;
  context.fillText(text, left + used, y);
}

function drawIcon(context, name, x, y, colour, grow) {
  context.save();
  context.translate(x, y);
  context.scale(grow, grow);
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.lineCap = "round";
  context.strokeStyle = colour;
  context.stroke(ICON_PATHS[name]);
  context.restore();
}

function paintRings(context, scene, node, x, y) {
  const { colours, camera } = scene;
  const least = 1 / camera.scale;
  const ring = (colour, width, grow, dash = []) => {
    outline(context, node, x, y, Math.max(grow, grow * least * 0.6));
    context.lineWidth = Math.max(width, width * least * 0.6);
    context.strokeStyle = colour;
    context.setLineDash(dash.map((each) => each * Math.max(1, least)));
    context.stroke();
    context.setLineDash([]);
  };
  const at = node.index;
  if (scene.hits.has(at) && at !== scene.selected) ring(colours.hit, 3, 3);
  if (at === scene.hover && at !== scene.selected) ring(colours.line, 2, 1);
  if (at === scene.cursor && at !== scene.selected) ring(colours.accent, 2, 6, [3, 3]);
  if (at === scene.second) ring(colours.second, 3, 2, [9, 5]);
  if (at === scene.selected) ring(colours.accent, 3, 2);
}

/** The small map: all nodes as dots, and the part that is in view. */
function paintMap(context, scene, size) {
  const { drawing, graph, camera, colours, shown, size: main } = scene;
  const { bounds } = drawing;
  const width = bounds.right - bounds.left;
  const height = bounds.bottom - bounds.top;
  const scale = Math.min((size.width - 12) / width, (size.height - 12) / height);
  const x = (size.width - width * scale) / 2 - bounds.left * scale;
  const y = (size.height - height * scale) / 2 - bounds.top * scale;
  context.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
  context.clearRect(0, 0, size.width, size.height);
  const least = Math.max(1.5, NODE_HEIGHT * scale * 0.8);
  for (const node of graph.nodes) {
    context.globalAlpha = shown[node.index] ? 0.9 : 0.15;
    context.fillStyle = colours.states[node.state].ink;
    context.fillRect(x + (drawing.x[node.index] - NODE_WIDTH / 2) * scale, y + drawing.y[node.index] * scale - least / 2, Math.max(2, NODE_WIDTH * scale), least);
  }
  context.globalAlpha = 1;
  context.strokeStyle = colours.accent;
  context.lineWidth = 1.5;
  context.strokeRect(
    x - (camera.x / camera.scale) * scale, y - (camera.y / camera.scale) * scale,
    (main.width / camera.scale) * scale, (main.height / camera.scale) * scale,
  );
  return { x, y, scale };
}
