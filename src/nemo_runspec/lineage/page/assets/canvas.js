// The drawing that can be moved, zoomed and clicked.

const PAN_STEP = 60;
const ZOOM_STEP = 1.25;
const CLICK_SLACK = 4;
const COMFORTABLE = 0.8;

/** Returns what others may do with the drawing: `fit`, `zoom`, `show`, `redraw`, `step`, `place`. */
function makeCanvas(graph, state, choose) {
  const canvas = byId("graph");
  const context = canvas.getContext("2d");
  const map = byId("map");
  const mapContext = map.getContext("2d");
  const shortened = makeShortener(context);
  const drawing = layoutGraph(graph);
  const mapSize = { width: 180, height: 112, ratio: 1 };
  const scene = {
    graph, drawing, colours: readColours(), camera: { x: 0, y: 0, scale: 1 },
    size: { width: 1, height: 1, ratio: 1 }, hits: new Set(), line: null,
  };
  let frame = 0;
  let mapPlace = null;
  let isFitted = true;

  function redraw() {
    if (frame) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      const { selected, second, cursor, hover, shown } = state.values;
      Object.assign(scene, { selected, second, cursor, hover, shown });
      paint(context, scene, shortened);
      mapPlace = paintMap(mapContext, scene, mapSize);
    });
  }

  function look(camera) {
    isFitted = false;
    scene.camera = keptInView(camera);
    byId("zoom-level").textContent = `${Math.max(1, Math.round(scene.camera.scale * 100))}%`;
    redraw();
  }

  /** Some of the drawing stays in the window. */
  function keptInView(camera) {
    const { bounds } = drawing;
    const slack = 80;
    const inside = (value, low, high) => Math.min(Math.max(value, low), high);
    return {
      scale: camera.scale,
      x: inside(camera.x, slack - bounds.right * camera.scale, scene.size.width - slack - bounds.left * camera.scale),
      y: inside(camera.y, slack - bounds.bottom * camera.scale, scene.size.height - slack - bounds.top * camera.scale),
    };
  }

  function fit() {
    look(fitted(drawing.bounds, scene.size));
    isFitted = true;
  }

  function zoom(factor, x = scene.size.width / 2, y = scene.size.height / 2) {
    look(zoomed(scene.camera, factor, x, y));
  }

  /** Moves the node into the middle if it is not well in view. */
  function show(at) {
    const { camera, size } = scene;
    if (!isInView(at) || camera.scale < READABLE) look(centred(camera, size, drawing.x[at], drawing.y[at], COMFORTABLE));
    else redraw();
  }

  function isInView(at) {
    const { x, y } = place(at);
    const [width, height] = [(NODE_WIDTH / 2) * scene.camera.scale, (NODE_HEIGHT / 2) * scene.camera.scale];
    return x > width && x < scene.size.width - width && y > height && y < scene.size.height - height;
  }

  /** Where a node's middle is, in pixels of the canvas. */
  function place(at) {
    const { x, y, scale } = scene.camera;
    return { x: x + drawing.x[at] * scale, y: y + drawing.y[at] * scale };
  }

  function under(event) {
    const box = canvas.getBoundingClientRect();
    const { x, y, scale } = scene.camera;
    return nodeAt(drawing, state.values.shown, (event.clientX - box.left - x) / scale, (event.clientY - box.top - y) / scale);
  }

  function resize() {
    const box = canvas.parentElement.getBoundingClientRect();
    if (!box.width || !box.height) return;
    const ratio = window.devicePixelRatio || 1;
    scene.size = { width: box.width, height: box.height, ratio };
    canvas.width = Math.round(box.width * ratio);
    canvas.height = Math.round(box.height * ratio);
    mapSize.ratio = ratio;
    map.width = mapSize.width * ratio;
    map.height = mapSize.height * ratio;
    const { selected } = state.values;
    // The panel that opens beside the drawing leaves it where it is.
    if (isFitted && selected < 0) start();
    else if (selected >= 0 && !isInView(selected)) look(centred(scene.camera, scene.size, drawing.x[selected], drawing.y[selected], scene.camera.scale));
    else redraw();
  }

  /** All of it; where that cannot be read, what was asked for. */
  function start() {
    fit();
    if (scene.camera.scale >= NAMED || graph.nodes.length > 400 || !graph.roots.length) return;
    look(centred(scene.camera, scene.size, drawing.x[graph.roots[0]], drawing.y[graph.roots[0]], READABLE));
  }

  /** The next node from the cursor: along the edges left and right, in its column up and down. */
  function step(key) {
    const { cursor, selected, shown } = state.values;
    const from = cursor >= 0 ? cursor : selected;
    if (from < 0) return graph.roots.find((at) => shown[at]) ?? shown.indexOf(1);
    const distance = (at) => Math.abs(drawing.y[at] - drawing.y[from]) + Math.abs(drawing.x[at] - drawing.x[from]) / 4;
    const isBefore = key === "ArrowUp";
    const near = {
      ArrowLeft: () => graph.above[from],
      ArrowRight: () => graph.below[from],
    }[key] || (() => graph.nodes.map((node) => node.index).filter((at) => at !== from
      && Math.abs(drawing.x[at] - drawing.x[from]) < NODE_WIDTH
      && (isBefore ? drawing.y[at] < drawing.y[from] : drawing.y[at] > drawing.y[from])));
    return near().filter((at) => shown[at]).sort((one, other) => distance(one) - distance(other))[0] ?? from;
  }

  const touches = new Map();
  let press = null;

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 1) return;
    touches.set(event.pointerId, { x: event.clientX, y: event.clientY });
    canvas.setPointerCapture(event.pointerId);
    press = touches.size === 1 ? { x: event.clientX, y: event.clientY, camera: scene.camera, moved: false } : null;
  });

  canvas.addEventListener("pointermove", (event) => {
    const before = touches.get(event.pointerId);
    if (!before) {
      hover(event);
      return;
    }
    if (touches.size === 2) pinch(event, before);
    before.x = event.clientX;
    before.y = event.clientY;
    if (!press) return;
    const x = event.clientX - press.x;
    const y = event.clientY - press.y;
    if (!press.moved && Math.hypot(x, y) < CLICK_SLACK) return;
    press.moved = true;
    canvas.classList.add("dragged");
    hideTip();
    look({ ...scene.camera, x: press.camera.x + x, y: press.camera.y + y });
  });

  function pinch(event, before) {
    const other = [...touches].find(([id]) => id !== event.pointerId)[1];
    const box = canvas.getBoundingClientRect();
    const was = Math.hypot(before.x - other.x, before.y - other.y);
    const is = Math.hypot(event.clientX - other.x, event.clientY - other.y);
    if (was > 0) zoom(is / was, (event.clientX + other.x) / 2 - box.left, (event.clientY + other.y) / 2 - box.top);
  }

  function release(event) {
    touches.delete(event.pointerId);
    canvas.classList.remove("dragged");
    const done = press;
    press = null;
    if (event.type !== "pointerup" || !done || done.moved) return;
    const at = under(event);
    if (at >= 0) choose(at, event.shiftKey || event.ctrlKey || event.metaKey);
  }
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);

  canvas.addEventListener("dblclick", (event) => {
    const at = under(event);
    if (at >= 0) look(centred(scene.camera, scene.size, drawing.x[at], drawing.y[at], 1));
    else zoom(ZOOM_STEP * ZOOM_STEP, event.offsetX, event.offsetY);
  });

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    // Lines and pages of some mice are some pixels each.
    const pixels = event.deltaY * [1, 16, 160][event.deltaMode];
    if (event.shiftKey) look({ ...scene.camera, x: scene.camera.x - (event.deltaX || pixels) });
    else zoom(Math.exp(-Math.max(-240, Math.min(240, pixels)) * (event.ctrlKey ? 0.01 : 0.0016)), event.offsetX, event.offsetY);
  }, { passive: false });

  canvas.addEventListener("keydown", (event) => {
    const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const direction = arrows[event.key];
    if (direction && event.shiftKey) moveCursor(step(event.key));
    else if (direction && !event.altKey && !event.ctrlKey && !event.metaKey) {
      look({ ...scene.camera, x: scene.camera.x + direction[0] * PAN_STEP, y: scene.camera.y + direction[1] * PAN_STEP });
    } else if (event.key === "Enter" && state.values.cursor >= 0) choose(state.values.cursor, event.shiftKey);
    else if (event.key === "Enter" && state.values.selected < 0) moveCursor(step(""));
    else return;
    event.preventDefault();
  });

  function moveCursor(at) {
    if (at < 0) return;
    state.set({ cursor: at });
    announce(described(graph, graph.nodes[at]));
    show(at);
  }

  function hover(event) {
    const at = under(event);
    canvas.classList.toggle("pointed", at >= 0);
    if (at < 0) {
      hideTip();
      return;
    }
    const tip = byId("tip");
    const node = graph.nodes[at];
    if (at !== state.values.hover) tip.replaceChildren(...tipLines(node));
    tip.hidden = false;
    const box = canvas.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(event.clientX - box.left + 14, box.width - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(8, Math.min(event.clientY - box.top + 16, box.height - tip.offsetHeight - 8))}px`;
    state.set({ hover: at });
  }

  function hideTip() {
    byId("tip").hidden = true;
    state.set({ hover: -1 });
  }
  canvas.addEventListener("pointerleave", hideTip);

  function moveMap(event) {
    if (!mapPlace || !(event.buttons & 1)) return;
    const { x, y, scale } = mapPlace;
    const { camera, size } = scene;
    look(centred(camera, size, (event.offsetX - x) / scale, (event.offsetY - y) / scale, camera.scale));
  }
  map.addEventListener("pointerdown", moveMap);
  map.addEventListener("pointermove", moveMap);

  byId("zoom-in").addEventListener("click", () => zoom(ZOOM_STEP));
  byId("zoom-out").addEventListener("click", () => zoom(1 / ZOOM_STEP));
  byId("zoom-fit").addEventListener("click", fit);

  state.on(["selected", "onlyLine"], ({ selected }) => {
    scene.line = selected >= 0 ? lineOf(graph, selected) : null;
  });
  state.on(["hits"], ({ hits }) => { scene.hits = new Set(hits); });
  state.on(["theme"], () => { scene.colours = readColours(); });
  state.on(["selected", "second", "cursor", "hover", "hits", "shown", "theme", "onlyLine"], redraw);
  new ResizeObserver(resize).observe(canvas.parentElement);
  resize();
  return { fit, zoom, show, redraw, place, scene };
}

function tipLines(node) {
  const lines = [element("strong", { text: node.label }), stateBadge(node.state)];
  const reasons = (node.raw.reasons || []).slice(0, 3).map((reason) => reason.text);
  if (reasons.length) lines.push(element("span", { text: reasons.join("; ") }));
  const facts = [node.type, timeText(node.created), node.user].filter(Boolean).join(" · ");
  if (facts) lines.push(element("span", { class: "soft", text: facts }));
  return lines;
}

/** A node in one sentence, as a screen reader tells it. */
function described(graph, node) {
  const marks = [node.raw.revoked && "revoked", node.raw.accepted && "accepted"].filter(Boolean);
  return [
    node.label, node.state, ...marks,
    `made from ${graph.above[node.index].length}`, `used by ${graph.below[node.index].length}`,
  ].join(", ");
}
