// The document as a graph with indices: what the rest of the page works on.

function makeNode(raw, index) {
  const manifest = isObject(raw.document) ? raw.document : {};
  const run = isObject(manifest.run) ? manifest.run : {};
  const node = {
    raw, manifest, run, index,
    id: raw.id,
    kind: raw.kind,
    state: raw.state in STATES ? raw.state : "recorded",
    name: raw.name || raw.id,
    version: raw.version,
    versionText: raw.version === null || raw.version === undefined ? "" : `v${raw.version}`,
    type: manifest.type || "",
    created: manifest.created_at || run.started_at || "",
    user: run.user || "",
    commit: run.commit || "",
    gpuHours: raw.spent ? raw.spent.gpu_hours : null,
    seconds: raw.spent ? raw.spent.seconds : null,
    aliases: raw.aliases || [],
  };
  node.label = node.versionText ? `${node.name}:${node.versionText}` : node.name;
  node.search = searchText(node);
  return node;
}

/** What a search looks into, in lower case; one line for each thing. */
function searchText(node) {
  const { raw, run } = node;
  const marks = [raw.revoked && "revoked", raw.accepted && "accepted", raw.gone && "gone"];
  const reasons = (raw.reasons || []).map((reason) => reason.text);
  return [
    node.label, node.name, node.versionText, node.id, raw.address, node.type, node.kind, node.state,
    node.user, run.host, node.commit, run.profile, run.recipe, node.created, ...node.aliases,
    ...marks, ...reasons,
  ].filter(Boolean).join("\n").toLowerCase();
}

/** Nodes with their links: `above` and `below` hold indices of nodes. */
function buildGraph(content) {
  const nodes = content.nodes.map(makeNode);
  const index = new Map(nodes.map((node) => [node.id, node.index]));
  const above = nodes.map(() => []);
  const below = nodes.map(() => []);
  const edges = [];
  const seen = new Map();
  for (const { above: from, below: to, key } of content.edges) {
    const a = index.get(from);
    const b = index.get(to);
    if (a === undefined || b === undefined || a === b) continue;
    const pair = a * nodes.length + b;
    // One line for two nodes, whatever number of keys name it.
    if (seen.has(pair)) {
      if (key) seen.get(pair).keys.push(key);
      continue;
    }
    const edge = { from: a, to: b, keys: key ? [key] : [] };
    seen.set(pair, edge);
    edges.push(edge);
    above[b].push(a);
    below[a].push(b);
  }
  const roots = content.roots.map((id) => index.get(id)).filter((at) => at !== undefined);
  return { nodes, index, above, below, edges, roots };
}

/** All nodes that can be reached from one along `links`, without itself. */
function reached(links, start) {
  const found = new Set();
  const waiting = [...links[start]];
  while (waiting.length) {
    const next = waiting.pop();
    if (next === start || found.has(next)) continue;
    found.add(next);
    waiting.push(...links[next]);
  }
  return found;
}

/** A node, all it was made from and all that was made from it. */
function lineOf(graph, index) {
  return new Set([index, ...reached(graph.above, index), ...reached(graph.below, index)]);
}
