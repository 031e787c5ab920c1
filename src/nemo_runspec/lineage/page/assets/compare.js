// Two nodes side by side: what differs between them, and by how much.

/** [key, one, other] for every key of either; undefined where one has not got it. */
function paired(one, other) {
  const values = new Map(other);
  const seen = new Set();
  const rows = one.map(([key, value]) => {
    seen.add(key);
    return [key, value, values.get(key)];
  });
  return [...rows, ...other.filter(([key]) => !seen.has(key)).map(([key, value]) => [key, undefined, value])];
}

function isSame(one, other) {
  return one === other || (one !== undefined && other !== undefined && JSON.stringify(one) === JSON.stringify(other));
}

/** What is compared: [title, pairs of a node, how a value is shown]. */
const COMPARED = [
  { title: "Config", of: ({ manifest }) => flatten((manifest.parts || {}).config || {}) },
  { title: "Metrics", of: ({ raw }) => Object.entries(raw.metrics || {}), isNumber: true },
  { title: "Inputs", of: inputPairs, show: shortDigest },
  { title: "Code", of: ({ manifest }) => Object.entries((manifest.explain || {}).files || {}), show: shortDigest, isCode: true },
  { title: "Requirements", of: ({ manifest }) => Object.entries((manifest.explain || {}).requirements || {}) },
  { title: "Command and environment", of: commandPairs, show: shortDigest },
  { title: "Run", of: runPairs },
  { title: "Metadata", of: ({ manifest }) => flatten(manifest.metadata || {}) },
];

function inputPairs({ manifest }) {
  const { parts = {}, explain = {} } = manifest;
  return (parts.inputs || []).map(([key, name, identity]) => {
    const label = key === null ? name : `${key}=${name}`;
    const version = (explain.inputs || {})[label];
    return [label, version ? `${version} ${shortDigest(identity ?? "missing")}` : identity ?? "missing"];
  }).concat((parts.external || []).map(([uri, print]) => [uri, print]));
}

function commandPairs({ manifest }) {
  const { recipe, command, environment, env, output, element: fanOut } = manifest.parts || {};
  const known = Object.entries({ recipe, command, environment, env, output, element: fanOut }).filter(([, value]) => value !== undefined);
  return flatten(Object.fromEntries(known));
}

function runPairs(node) {
  const { run, raw } = node;
  const spent = raw.spent || {};
  return Object.entries({
    state: node.state, made: timeText(node.created), by: run.user, host: run.host, profile: run.profile,
    commit: run.commit, "uncommitted changes": run.dirty, target: raw.address || run.address,
    "wall-clock time": durationText(spent.seconds), "GPU-hours": spent.gpu_hours, nodes: spent.nodes,
    "GPUs per node": spent.gpus, key: node.manifest.key, content: node.manifest.content,
  }).filter(([, value]) => value !== undefined && value !== null && value !== "");
}

function compareSection({ title, of, show = valueText, isNumber, isCode }, one, other, withEqual) {
  const rows = paired(of(one), of(other));
  const differing = rows.filter(([, was, is]) => !isSame(was, is));
  const shown = withEqual ? rows : differing;
  const extra = isCode ? [codeNote(one, other, differing.map(([file]) => file))] : [];
  const count = element("span", { class: "count", text: String(differing.length), "aria-label": plural(differing.length, "difference") });
  const head = element("h3", {}, `${title} `, count);
  if (!shown.length && !isCode) return null;
  if (!shown.length) return element("section", { class: "part" }, head, ...extra, element("p", { class: "soft", text: "No file differs." }));
  const names = one.name === other.name ? [one.versionText, other.versionText] : [one.label, other.label];
  const headers = ["", "Key", ...names, ...(isNumber ? ["Change"] : [])];
  const lines = shown.map(([key, was, is]) => compareRow(key, was, is, isNumber ? numberText : show, isNumber));
  return element("section", { class: "part" }, head, ...extra,
    element("div", { class: "scroll" }, element("table", { class: "facts differences" },
      element("thead", {}, element("tr", {}, ...headers.map((text) => element("th", { scope: "col", class: text === "Change" ? "number" : null, title: text, text })))),
      element("tbody", {}, ...lines))));
}

/** Names what has no difference. */
function equalNote(one, other) {
  const equal = COMPARED.filter(({ of, isCode }) => !isCode && paired(of(one), of(other)).every(([, was, is]) => isSame(was, is)));
  if (!equal.length) return null;
  return element("p", { class: "part soft", text: `No difference in: ${equal.map(({ title }) => title.toLowerCase()).join(", ")}.` });
}

function compareRow(key, was, is, show, isNumber) {
  const kind = isSame(was, is) ? "equal" : was === undefined ? "added" : is === undefined ? "removed" : "changed";
  const sign = { equal: "", added: "+", removed: "−", changed: "≠" }[kind];
  const cell = (value, side) => element("td", { class: `mono ${side}`, title: value === undefined ? null : valueText(value), text: value === undefined ? "—" : show(value) });
  return element("tr", { class: kind },
    element("td", { class: "sign", title: kind, "aria-label": kind, text: sign }),
    element("th", { scope: "row", title: key, text: key }), cell(was, "one"), cell(is, "other"),
    isNumber ? element("td", { class: "mono number", text: changeText(was, is) }) : null);
}

function changeText(was, is) {
  if (typeof was !== "number" || typeof is !== "number" || was === is) return "";
  const change = is - was;
  const share = was ? ` (${change > 0 ? "+" : "−"}${numberText(Number(Math.abs((change / was) * 100).toPrecision(3)))} %)` : "";
  return `${change > 0 ? "+" : "−"}${numberText(Math.abs(change))}${share}`;
}

/** The command that shows the code between two commits. */
function codeNote(one, other, files) {
  const isCommit = (text) => /^[0-9a-f]{7,64}$/.test(text);
  const note = element("div", { class: "code-note" });
  if (isCommit(one.commit) && isCommit(other.commit)) {
    if (one.commit === other.commit) note.append(element("p", { class: "soft", text: `Both were made at commit ${one.commit.slice(0, 12)}.` }));
    else {
      const paths = files.length && files.length <= 12 ? ` -- ${files.map(quoted).join(" ")}` : "";
      const command = `git diff ${one.commit.slice(0, 12)}..${other.commit.slice(0, 12)}${paths}`;
      note.append(element("div", { class: "command" }, element("code", { text: command }), copyButton(command, "command")));
    }
  }
  const dirty = [one, other].filter((node) => node.run.dirty).map((node) => node.label);
  if (dirty.length) note.append(element("p", { class: "soft", text: `Made with uncommitted changes, which no commit shows: ${dirty.join(", ")}.` }));
  return note;
}

/** A path as a shell takes it for one word. */
function quoted(path) {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replace(/'/g, "'\\''")}'`;
}

function makeCompare(graph, state) {
  const dialog = byId("compare");
  let withEqual = false;

  function render(one, other) {
    const swap = element("button", { type: "button", class: "quiet", "aria-label": "Swap", title: "Swap", onclick: () => render(other, one) }, icon("swap"));
    const equal = element("input", {
      type: "checkbox", id: "with-equal", checked: withEqual,
      onchange: (event) => { withEqual = event.target.checked; render(one, other); byId("with-equal").focus(); },
    });
    const side = (node, name) => element("div", { class: `side ${name}` },
      element("strong", { class: "side-name", title: node.label, text: node.name }),
      element("div", { class: "badges" }, node.versionText ? element("span", { class: "badge version", text: node.versionText }) : null, stateBadge(node.state)));
    dialog.replaceChildren(
      dialogHead("compare-title", "Compare", dialog,
        element("label", { class: "check", for: "with-equal" }, equal, element("span", { text: "Show what is equal too" }))),
      element("div", { class: "dialog-body", tabindex: "0", role: "region", "aria-label": "Differences" },
        element("div", { class: "sides" }, side(one, "one"), swap, side(other, "other")),
        ...COMPARED.map((compared) => compareSection(compared, one, other, withEqual)).filter(Boolean), equalNote(one, other)));
  }

  /** Opens the comparison of two nodes, the older one first. */
  function open(first, second) {
    const pair = [graph.nodes[first], graph.nodes[second]];
    pair.sort((one, other) => (one.name === other.name ? (one.version ?? Infinity) - (other.version ?? Infinity) : one.created < other.created ? -1 : 1));
    render(...pair);
    if (!dialog.open) dialog.showModal();
  }

  dialog.addEventListener("close", () => state.set({ second: -1 }));
  return { open };
}
