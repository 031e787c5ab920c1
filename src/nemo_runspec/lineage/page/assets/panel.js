// The panel beside the drawing: what is known of the selected node.

const TABS = [
  { name: "overview", title: "Overview", of: overview },
  { name: "config", title: "Config", of: (graph, node) => config(node) },
  { name: "key", title: "Key", of: (graph, node) => keyParts(node) },
  { name: "metrics", title: "Metrics", of: (graph, node) => metrics(node) },
  { name: "cards", title: "Cards", of: (graph, node) => cards(node) },
  { name: "manifest", title: "Manifest", of: (graph, node) => manifest(node) },
];

function makePanel(graph, state, { choose, pick, compareWith }) {
  const panel = byId("panel");
  let current = "overview";

  function render({ selected }) {
    panel.hidden = selected < 0;
    document.body.classList.toggle("with-panel", selected >= 0);
    if (selected < 0) return;
    const node = graph.nodes[selected];
    const found = TABS.filter((tab) => tab.name === "overview" || tab.of(graph, node, choose).length);
    if (!found.some((tab) => tab.name === current)) current = "overview";
    const body = element("div", { class: "panel-body", id: "tab-panel", role: "tabpanel", tabindex: "0" });
    const tabs = element("div", { class: "tabs", role: "tablist", "aria-label": "Details" });
    const buttons = found.map((tab) => element("button", {
      type: "button", role: "tab", id: `tab-${tab.name}`, "aria-controls": "tab-panel", text: tab.title,
      onclick: () => show(tab.name),
    }));
    tabs.append(...buttons);
    tabs.addEventListener("keydown", (event) => {
      const at = buttons.indexOf(document.activeElement);
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: buttons.length - 1 }[event.key];
      if (at < 0 || to === undefined) return;
      event.preventDefault();
      const next = (to + buttons.length) % buttons.length;
      show(found[next].name);
      buttons[next].focus();
    });

    function show(name) {
      current = name;
      found.forEach((tab, at) => {
        buttons[at].setAttribute("aria-selected", String(tab.name === name));
        buttons[at].tabIndex = tab.name === name ? 0 : -1;
      });
      body.setAttribute("aria-labelledby", `tab-${name}`);
      body.replaceChildren(...found.find((tab) => tab.name === name).of(graph, node, choose));
      body.scrollTop = 0;
    }

    panel.replaceChildren(head(node), tabs, body);
    show(current);
  }

  function head(node) {
    const { revoked, accepted, gone } = node.raw;
    const badges = element("div", { class: "badges" },
      node.versionText ? element("span", { class: "badge version", text: node.versionText }) : null,
      stateBadge(node.state),
      revoked ? markBadge("revoked") : null,
      accepted ? markBadge("accepted") : null,
      gone && node.state !== "gone" ? markBadge("gone") : null,
      ...node.aliases.map((alias) => element("span", { class: "badge alias", title: "alias" }, icon("alias"), element("span", { text: alias }))));
    return element("div", { class: "panel-head" },
      element("div", { class: "panel-title" },
        element("h2", { id: "panel-title", tabindex: "-1", title: node.name, text: node.name }),
        element("button", { type: "button", class: "quiet", "aria-label": "Close details", title: "Close (Escape)", id: "panel-close", onclick: () => choose(-1) }, icon("close"))),
      element("p", { class: "soft panel-kind", text: [KIND_LABELS[node.kind] || node.kind, node.type].filter(Boolean).join(" · ") }),
      badges,
      element("div", { class: "panel-tools" }, copyButton(node.label, "reference", "Copy reference"), ...compareTools(node)));
  }

  /** Comparing with an older version of the same name is one click; with any other, two. */
  function compareTools(node) {
    if (node.kind === "external") return [];
    const older = graph.nodes
      .filter((other) => other.name === node.name && other.kind === "version" && other.index !== node.index)
      .sort((one, other) => other.version - one.version);
    const before = older.find((other) => node.version === null || node.version === undefined || other.version < node.version) || older[0];
    return [
      before ? element("button", { type: "button", class: "quiet", text: `Compare with ${before.versionText}`, onclick: () => compareWith(before.index) }) : null,
      element("button", { type: "button", class: "quiet", text: "Compare with…", title: "Then choose the other one (c)", onclick: pick }),
    ].filter(Boolean);
  }

  state.on(["selected"], render);
  return { focus: () => byId("panel-title")?.focus() };
}
