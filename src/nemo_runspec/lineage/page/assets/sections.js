// What the panel says of a node, one function for each of its tabs.

const SHOWN_LINKS = 40;

function table(head, rows, options = {}) {
  if (!rows.length) return element("p", { class: "soft none", text: options.empty || "None." });
  return element("div", { class: "scroll" }, element("table", { class: options.isHeadless ? "facts pairs-table" : "facts" },
    options.caption ? element("caption", { text: options.caption }) : null,
    element("thead", { class: options.isHeadless ? "unseen" : null }, element("tr", {}, ...head.map((text) => element("th", { scope: "col", text })))),
    element("tbody", {}, ...rows)));
}

function pairRow(name, value) {
  return element("tr", {}, element("th", { scope: "row", title: name, text: name }),
    element("td", { class: "mono" }, value instanceof Node ? value : valueText(value)));
}

function section(title, ...content) {
  return element("section", { class: "part" }, element("h3", { text: title }), ...content);
}

function copyButton(text, what, label = "Copy") {
  return element("button", {
    type: "button", class: "quiet copy", text: label, "aria-label": `Copy ${what}`,
    onclick: (event) => copyText(text, event.currentTarget),
  });
}

function markNotice(kind, title, mark) {
  const who = [mark.by && `by ${mark.by}`, mark.at && timeText(mark.at)].filter(Boolean).join(", ");
  return element("div", { class: `mark mark-${kind}`, role: "note" }, icon(kind),
    element("div", {}, element("strong", { text: title }), who ? element("span", { class: "soft", text: ` ${who}` }) : null,
      mark.reason ? element("p", { text: mark.reason }) : null));
}

function marks(node) {
  const { revoked, accepted, gone } = node.raw;
  const found = [];
  if (revoked) {
    const isAbove = revoked.reference && revoked.reference !== node.label;
    found.push(markNotice("revoked", isAbove ? `Made from ${revoked.reference}, which was revoked` : "Revoked", revoked));
  }
  if (accepted) found.push(markNotice("accepted", "Accepted for a key that it was not made with", accepted));
  if (gone) found.push(markNotice("gone", "Its data is gone", { reason: gone }));
  return found;
}

const WHY = {
  fresh: "What changed",
  depends: "Why it may run",
  running: "Who makes it",
  blocked: "What it waits for",
  recorded: "Reasons",
  external: "Reasons",
};

function why(node) {
  const reasons = node.raw.reasons || [];
  if (!reasons.length) return null;
  return section(WHY[node.state] || `Why it is ${node.state}`,
    element("ul", { class: "reasons" }, ...reasons.map((reason) => element("li", {},
      element("span", { class: "tag", text: reason.category || "reason" }),
      element("span", { class: "reason-text", text: reason.text || reason.what || "" })))));
}

/** A path as a link to it, where the browser lets this page open files: when it is one itself. */
function pathLink(path) {
  if (location.protocol !== "file:" || !path.startsWith("/")) return element("span", { class: "mono", text: path });
  const address = `file://${path.split("/").map(encodeURIComponent).join("/")}`;
  return element("a", { class: "mono", href: address, target: "_blank", rel: "noopener", text: path });
}

/** [label, value] of the facts that are known. */
function factsOf(node) {
  const { raw, run, manifest } = node;
  const commit = run.commit && element("span", {}, element("span", { class: "mono", title: run.commit, text: run.commit.slice(0, 12) }),
    run.dirty ? element("span", { class: "tag warn", title: "The working tree differed from the commit", text: "+ uncommitted changes" }) : null,
    copyButton(run.commit, "commit"));
  return [
    ["Type", node.type], ["Made", timeText(manifest.created_at)], ["By", node.user], ["Host", run.host],
    ["Commit", commit], ["Profile", run.profile], ["Recipe", run.recipe], ["Target", raw.address || run.address],
    ["Aliases", node.aliases.join(", ")], ["Data", manifest.path || (node.kind === "external" ? node.name : "")],
    ["Job", run.job || manifest.producer], ["Log", raw.log && element("span", {}, pathLink(raw.log), copyButton(raw.log, "path of the log"))],
    ["Started", timeText(run.started_at)], ["Ended", timeText(run.ended_at)],
  ].filter(([, value]) => value);
}

function facts(node) {
  const found = factsOf(node);
  if (!found.length) return null;
  // What is known of a target that is not fresh is its newest version's.
  const isOlder = node.kind === "target" && node.manifest.version;
  return section(isOlder ? `Newest version: v${node.manifest.version}` : "Facts", element("dl", { class: "pairs" }, ...found.flatMap(([name, value]) => [
    element("dt", { text: name }), element("dd", {}, value instanceof Node ? value : valueText(value)),
  ])));
}

function cost(node) {
  const { seconds, gpu_hours: hours, nodes, gpus } = node.raw.spent || {};
  const known = (value) => value !== null && value !== undefined;
  const tiles = [
    known(seconds) && ["Time", durationText(seconds)],
    known(hours) && ["GPU-hours", numberText(hours)],
    known(nodes) && ["Nodes", numberText(nodes)],
    known(gpus) && ["GPUs a node", numberText(gpus)],
  ].filter(Boolean);
  if (!tiles.length) return null;
  return section(node.kind === "target" ? "Cost, last time" : "Cost", element("dl", { class: "tiles" },
    ...tiles.map(([name, value]) => element("div", {}, element("dt", { text: name }), element("dd", { text: value })))));
}

function links(graph, title, indices, keyOf, choose) {
  if (!indices.length) return null;
  const item = (at) => {
    const node = graph.nodes[at];
    const key = keyOf(at);
    return element("li", {}, element("button", { type: "button", class: `link-row state-${node.state}`, title: node.label, onclick: () => choose(at) },
      icon(node.state), element("span", { class: "link-name", text: node.label }),
      key ? element("span", { class: "tag", text: key }) : null, element("span", { class: "state-text", text: node.state })));
  };
  const list = element("ul", { class: "links" }, ...indices.slice(0, SHOWN_LINKS).map(item));
  const more = indices.length - SHOWN_LINKS;
  const button = more > 0 ? element("button", {
    type: "button", class: "quiet", text: `Show ${more.toLocaleString("en-US")} more`,
    onclick: () => { list.append(...indices.slice(SHOWN_LINKS).map(item)); button.remove(); list.querySelectorAll("button")[SHOWN_LINKS].focus(); },
  }) : null;
  return section(`${title} (${indices.length.toLocaleString("en-US")})`, list, button);
}

function overview(graph, node, choose) {
  const keys = new Map();
  for (const edge of graph.edges) {
    if (edge.to === node.index) keys.set(edge.from, edge.keys.join(", "));
    if (edge.from === node.index) keys.set(edge.to, edge.keys.join(", "));
  }
  const keyOf = (at) => keys.get(at);
  const metadata = flatten(node.manifest.metadata || {});
  return [
    ...marks(node), why(node), cost(node), facts(node),
    links(graph, "Made from", graph.above[node.index], keyOf, choose),
    links(graph, "Used by", graph.below[node.index], keyOf, choose),
    metadata.length ? section("Metadata", table(["Key", "Value"], metadata.map(([key, value]) => pairRow(key, value)), { isHeadless: true })) : null,
  ].filter(Boolean);
}

function config(node) {
  const pairs = flatten((node.manifest.parts || {}).config || {});
  return pairs.length ? [table(["Key", "Value"], pairs.map(([key, value]) => pairRow(key, value)), { caption: "The composed config, as it counts" })] : [];
}

function keyParts(node) {
  const { parts = {}, explain = {}, key, content } = node.manifest;
  if (!key && !Object.keys(parts).length) return [];
  const digest = (text) => element("span", { class: "mono", title: text, text: shortDigest(text) });
  const rows = (pairs, show = (value) => value) => pairs.map(([name, value]) => pairRow(name, show(value)));
  const object = (value) => Object.entries(isObject(value) ? value : {});
  const inputs = (parts.inputs || []).map(([name, artifact, identity]) => {
    const label = name === null ? artifact : `${name}=${artifact}`;
    const version = (explain.inputs || {})[label];
    return pairRow(label, element("span", {}, version ? `${version}  ` : null, digest(identity ?? "missing")));
  });
  const command = flatten({ command: parts.command ?? {}, environment: parts.environment ?? {}, output: parts.output ?? {} })
    .filter(([, value]) => value !== null && !(Array.isArray(value) && !value.length) && !(isObject(value) && !Object.keys(value).length));
  const groups = [
    ["Inputs", inputs],
    ["External data", rows(parts.external || [], digest)],
    ["Recipe and command", [...(parts.recipe ? [pairRow("recipe", parts.recipe)] : []), ...rows(command, (value) => (typeof value === "string" ? digest(value) : value))]],
    ["Element", parts.element === undefined ? [] : rows(isObject(parts.element) ? flatten(parts.element) : [["element", parts.element]])],
    ["Elements", rows(parts.elements || [], (value) => digest(value ?? "missing"))],
    ["Environment variables", rows(object(parts.env))],
    ["Requirements", rows(object(explain.requirements))],
    ["Files", rows(object(explain.files), digest)],
  ].filter(([, found]) => found.length);
  const top = [["key", key], ["content", content], ["code", parts.code]].filter(([, value]) => value);
  return [
    section("Key", table(["Part", "Value"], top.map(([name, value]) => pairRow(name, element("span", {}, digest(value), copyButton(value, name)))), { isHeadless: true })),
    ...groups.map(([title, found]) => section(`${title} (${found.length})`, table(["Name", "Value"], found, { isHeadless: true }))),
  ];
}

function metrics(node) {
  const numbers = Object.entries(node.raw.metrics || {});
  const series = Object.entries(node.raw.series || {}).filter(([, points]) => points.length);
  return [
    numbers.length ? section("Values", table(["Metric", "Value"], numbers.map(([name, value]) => {
      const row = pairRow(name, numberText(value));
      row.lastChild.classList.add("number");
      row.lastChild.title = valueText(value);
      return row;
    }), { isHeadless: true })) : null,
    series.length ? section("Logged", ...series.map(([name, points]) => chart(name, points))) : null,
  ].filter(Boolean);
}

/** Elements of a card that would ask for something outside of it, or act. */
const CARD_REFUSED = "script, link, meta, base, iframe, frame, object, embed, form, portal";

const CARD_SOURCES = new Set(["src", "srcset", "href", "xlink:href", "poster", "background", "ping", "action", "formaction"]);

/** An HTML card in a frame without scripts, network and a way out of it. */
function cardFrame(card) {
  // A parsed document loads nothing: what is taken out here is never asked for.
  const parsed = new DOMParser().parseFromString(card.body, "text/html");
  for (const refused of parsed.querySelectorAll(CARD_REFUSED)) refused.remove();
  for (const each of parsed.querySelectorAll("*")) {
    for (const { name, value } of [...each.attributes]) {
      const isOutside = CARD_SOURCES.has(name) && !/^\s*(data:|#)/i.test(value);
      if (name.startsWith("on") || isOutside) each.removeAttribute(name);
    }
  }
  const base = parsed.createElement("style");
  base.textContent = `html{color-scheme:light;background:#fff;color:#1f2328;font:14px/1.5 ${FONT}}body{margin:14px}img,svg,table{max-width:100%}`;
  parsed.head.prepend(base);
  return element("iframe", {
    class: "card-frame", sandbox: "", title: `Card: ${card.title}`, referrerpolicy: "no-referrer", loading: "lazy",
    srcdoc: `<!doctype html>${parsed.documentElement.outerHTML}`,
  });
}

function cardBody(card) {
  return card.kind === "html" ? cardFrame(card) : element("div", { class: "card-text" }, markdown(card.body));
}

function cards(node) {
  return (node.raw.cards || []).map((card) => element("section", { class: "part card" },
    element("div", { class: "card-head" }, element("h3", { text: card.title }),
      element("button", { type: "button", class: "quiet", text: "Enlarge", "aria-label": `Enlarge card ${card.title}`, onclick: () => enlarge(card) })),
    cardBody(card)));
}

function enlarge(card) {
  const dialog = byId("card");
  dialog.replaceChildren(dialogHead("card-title", card.title, dialog), element("div", { class: "dialog-body" }, cardBody(card)));
  dialog.showModal();
}

function dialogHead(id, title, dialog, ...tools) {
  return element("div", { class: "dialog-head" }, element("h2", { id, text: title }), ...tools,
    element("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => dialog.close() }, icon("close")));
}

function manifest(node) {
  if (!Object.keys(node.manifest).length) return [];
  const text = JSON.stringify(node.manifest, null, 2);
  return [element("div", { class: "tools" }, copyButton(text, "manifest")),
    element("pre", { class: "text", tabindex: "0", "aria-label": "manifest.json", text })];
}
