// A layered drawing, left to right: layers by longest path, order by barycentres, then places by
// isotonic regression. Each step is near linear in nodes and edges; it is done once.

const NODE_WIDTH = 224;
const NODE_HEIGHT = 58;
const ROW_GAP = 22;
const BEND_GAP = 9;
const LAYER_GAP = 64;
const COLUMN_GAP = 22;
const SWEEPS = 10;

/** A layer for each node: one more than the furthest of those above it. */
function assignLayers({ nodes, above, below }) {
  const layer = new Int32Array(nodes.length);
  const waits = Int32Array.from(above, (links) => links.length);
  const queued = new Uint8Array(nodes.length);
  const queue = [];
  const add = (at) => {
    if (queued[at]) return;
    queued[at] = 1;
    queue.push(at);
  };
  nodes.forEach((_, at) => { if (!waits[at]) add(at); });
  let unplaced = 0;
  for (let head = 0; head < nodes.length; head += 1) {
    // A circle cannot be in a lineage; one in a broken document is opened where it is met.
    for (; head >= queue.length; unplaced += 1) add(unplaced);
    const at = queue[head];
    for (const next of below[at]) {
      if (queued[next]) continue;
      layer[next] = Math.max(layer[next], layer[at] + 1);
      waits[next] -= 1;
      if (waits[next] === 0) add(next);
    }
  }
  // What comes from nowhere stands right before what uses it first.
  nodes.forEach((_, at) => {
    if (above[at].length || !below[at].length) return;
    layer[at] = Math.max(0, Math.min(...below[at].map((next) => layer[next])) - 1);
  });
  return layer;
}

/** How far an edge may go and still be led around the nodes between; bounds the number of bends. */
function longestLed(edges, layer) {
  const budget = 4 * (layer.length + edges.length) + 1000;
  const spans = edges.map(({ from, to }) => layer[to] - layer[from]).filter((span) => span > 1);
  spans.sort((one, other) => one - other);
  let bends = 0;
  for (const span of spans) {
    bends += span - 1;
    if (bends > budget) return span - 1;
  }
  return Infinity;
}

/** Nodes and bends of edges as items in layers, with their neighbours left and right. */
function makeItems(graph, layer) {
  const items = graph.nodes.map((_, at) => ({ node: at, layer: layer[at], left: [], right: [], y: 0 }));
  const longest = longestLed(graph.edges, layer);
  const routes = graph.edges.map(({ from, to }) => {
    const span = layer[to] - layer[from];
    if (span < 1 || span > longest) return [];
    const bends = [];
    let before = items[from];
    for (let at = layer[from] + 1; at < layer[to]; at += 1) {
      const bend = { node: -1, layer: at, left: [before], right: [], y: 0 };
      before.right.push(bend);
      items.push(bend);
      bends.push(bend);
      before = bend;
    }
    before.right.push(items[to]);
    items[to].left.push(before);
    return bends;
  });
  return { items, routes };
}

/** Orders each layer by the mean place of its neighbours, back and forth. */
function orderLayers(items) {
  const layers = [];
  for (const item of items) (layers[item.layer] ||= []).push(item);
  for (let at = 0; at < layers.length; at += 1) layers[at] ||= [];
  const number = (layer) => layer.forEach((item, at) => { item.at = at; });
  layers.forEach(number);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const side = sweep % 2 ? "right" : "left";
    const order = sweep % 2 ? [...layers].reverse() : layers;
    for (const layer of order) {
      for (const item of layer) {
        const near = item[side];
        let sum = 0;
        for (const other of near) sum += other.at;
        item.mean = near.length ? sum / near.length : item.at;
      }
      layer.sort((one, other) => one.mean - other.mean || one.at - other.at);
      number(layer);
    }
  }
  return layers;
}

/** Rows of a layer: a bend has one of its own; nodes share one when there are too many of them. */
function makeRows(layer, most) {
  const count = layer.reduce((sum, item) => sum + (item.node >= 0 ? 1 : 0), 0);
  const columns = Math.max(1, Math.ceil(count / most));
  const rows = [];
  for (const item of layer) {
    const last = rows[rows.length - 1];
    if (item.node >= 0 && last && last.isNodes && last.items.length < columns) last.items.push(item);
    else rows.push({ items: [item], isNodes: item.node >= 0 });
  }
  return { rows, columns };
}

/** Places rows as near to where they want to be as their order and distances let them. */
function placeRows(rows, wanted) {
  // Without the distances the places only have to rise: pool adjacent violators.
  const pools = [];
  let offset = 0;
  rows.forEach((row, at) => {
    if (at) offset += distance(rows[at - 1], row);
    row.offset = offset;
    let pool = { sum: (wanted[at] - offset) * row.weight, weight: row.weight, rows: [row] };
    while (pools.length) {
      const before = pools[pools.length - 1];
      if (before.sum / before.weight <= pool.sum / pool.weight) break;
      pools.pop();
      for (const each of pool.rows) before.rows.push(each);
      pool = { sum: before.sum + pool.sum, weight: before.weight + pool.weight, rows: before.rows };
    }
    pools.push(pool);
  });
  for (const pool of pools) {
    for (const row of pool.rows) {
      for (const item of row.items) item.y = pool.sum / pool.weight + row.offset;
    }
  }
}

function distance(one, other) {
  const heights = ((one.isNodes ? NODE_HEIGHT : 0) + (other.isNodes ? NODE_HEIGHT : 0)) / 2;
  return heights + (one.isNodes && other.isNodes ? ROW_GAP : BEND_GAP + (heights ? 6 : 0));
}

function placeLayers(stacks) {
  for (const { rows } of stacks) {
    let y = 0;
    rows.forEach((row, at) => {
      row.weight = row.isNodes ? row.items.length : 3;
      if (at) y += distance(rows[at - 1], row);
      for (const item of row.items) item.y = y;
    });
    for (const row of rows) for (const item of row.items) item.y -= y / 2;
  }
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const sides = sweep >= SWEEPS - 2 ? ["left", "right"] : [sweep % 2 ? "right" : "left"];
    const order = sweep % 2 ? [...stacks].reverse() : stacks;
    for (const { rows } of order) placeRows(rows, rows.map((row) => wantedPlace(row, sides)));
  }
}

function wantedPlace(row, sides) {
  let sum = 0;
  let count = 0;
  for (const item of row.items) {
    for (const side of sides) {
      for (const other of item[side]) sum += other.y;
      count += item[side].length;
    }
  }
  return count ? sum / count : row.items[0].y;
}

/** The drawing: centres of nodes, points of edges and the bounds of all. */
function layoutGraph(graph) {
  const { items, routes } = makeItems(graph, assignLayers(graph));
  const most = Math.max(14, Math.ceil(Math.sqrt(graph.nodes.length) * 1.1));
  const stacks = orderLayers(items).map((layer) => makeRows(layer, most));
  placeLayers(stacks);
  const x = new Float64Array(graph.nodes.length);
  const y = new Float64Array(graph.nodes.length);
  let left = 0;
  for (const stack of stacks) {
    stack.left = left;
    for (const row of stack.rows) {
      row.items.forEach((item, at) => {
        item.stack = stack;
        if (item.node < 0) return;
        x[item.node] = left + NODE_WIDTH / 2 + at * (NODE_WIDTH + COLUMN_GAP);
        y[item.node] = item.y;
      });
    }
    stack.right = left + stack.columns * (NODE_WIDTH + COLUMN_GAP) - COLUMN_GAP;
    left = stack.right + LAYER_GAP;
  }
  const lines = graph.edges.map((edge, at) => makeLine(edge, routes[at], x, y));
  return { x, y, lines, bounds: boundsOf(x, y, lines) };
}

/** An edge as pairs of points: straight from an odd one to the next, a curve from an even one. */
function makeLine({ from, to }, bends, x, y) {
  const points = [x[from] + NODE_WIDTH / 2, y[from]];
  for (const bend of bends) points.push(bend.stack.left, bend.y, bend.stack.right, bend.y);
  points.push(x[to] - NODE_WIDTH / 2, y[to]);
  let top = Infinity;
  let bottom = -Infinity;
  let left = Infinity;
  let right = -Infinity;
  for (let at = 0; at < points.length; at += 2) {
    left = Math.min(left, points[at]);
    right = Math.max(right, points[at]);
    top = Math.min(top, points[at + 1]);
    bottom = Math.max(bottom, points[at + 1]);
  }
  return { from, to, points, left, right, top, bottom };
}

function boundsOf(x, y, lines) {
  const bounds = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
  for (let at = 0; at < x.length; at += 1) {
    bounds.left = Math.min(bounds.left, x[at] - NODE_WIDTH / 2);
    bounds.right = Math.max(bounds.right, x[at] + NODE_WIDTH / 2);
    bounds.top = Math.min(bounds.top, y[at] - NODE_HEIGHT / 2);
    bounds.bottom = Math.max(bounds.bottom, y[at] + NODE_HEIGHT / 2);
  }
  for (const line of lines) {
    bounds.top = Math.min(bounds.top, line.top);
    bounds.bottom = Math.max(bounds.bottom, line.bottom);
  }
  return bounds;
}
