// Which nodes are shown: by state, type and kind, and only the line of the selected one.

const FACETS = [
  { name: "state", title: "State", of: (node) => node.state },
  { name: "type", title: "Type", of: (node) => node.type || "no type" },
  { name: "kind", title: "Kind", of: (node) => node.kind },
];

function passed(graph, { hidden, onlyLine, selected }) {
  const line = onlyLine && selected >= 0 ? lineOf(graph, selected) : null;
  return Uint8Array.from(graph.nodes, (node) => Number(
    FACETS.every(({ name, of }) => !hidden[name].has(of(node))) && (!line || line.has(node.index)),
  ));
}

function makeFilters(graph, state) {
  const panel = byId("filters");
  const button = byId("filters-button");

  function apply(changes) {
    const next = { ...state.values, ...changes };
    state.set({ ...changes, shown: passed(graph, next) });
  }

  function toggle(facet, value, isShown) {
    const names = new Set(state.values.hidden[facet]);
    if (isShown) names.delete(value);
    else names.add(value);
    apply({ hidden: { ...state.values.hidden, [facet]: names } });
  }

  function render() {
    const focused = document.activeElement && document.activeElement.id;
    const { hidden, onlyLine, selected, shown } = state.values;
    const line = element("input", {
      type: "checkbox", id: "only-line", checked: onlyLine, disabled: selected < 0 && !onlyLine,
      onchange: (event) => apply({ onlyLine: event.target.checked }),
    });
    panel.replaceChildren(
      element("div", { class: "filters-head" },
        element("h2", { text: "Filter" }),
        element("button", { type: "button", class: "quiet", id: "filters-reset", text: "Reset", onclick: reset }),
        element("button", { type: "button", class: "quiet", id: "filters-close", "aria-label": "Close filters", onclick: () => setOpen(false) }, icon("close"))),
      element("label", { class: "check", for: "only-line" }, line,
        element("span", { text: selected < 0 && !onlyLine ? "Only the line of the selection (select a node)" : "Only the line of the selection" })),
      ...FACETS.map((facet) => facetBox(facet, hidden)),
      element("p", { class: "soft filters-total", text: `${shown.reduce((sum, each) => sum + each, 0).toLocaleString("en-US")} of ${plural(graph.nodes.length, "node")} shown` }),
    );
    if (focused && panel.querySelector(`#${CSS.escape(focused)}`)) byId(focused).focus();
    const count = FACETS.reduce((sum, { name }) => sum + hidden[name].size, 0) + (onlyLine ? 1 : 0);
    byId("filter-count").textContent = count;
    byId("filter-count").hidden = !count;
    button.setAttribute("aria-label", count ? `Filter, ${count} set` : "Filter");
  }

  function facetBox({ name, title, of }, hidden) {
    const counts = new Map();
    for (const node of graph.nodes) counts.set(of(node), (counts.get(of(node)) || 0) + 1);
    const rows = [...counts].sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1)).map(([value, count], at) => {
      const id = `filter-${name}-${at}`;
      const box = element("input", {
        type: "checkbox", id, checked: !hidden[name].has(value),
        onchange: (event) => toggle(name, value, event.target.checked),
      });
      return element("label", { class: "check", for: id, title: name === "state" ? STATES[value] : value }, box,
        name === "state" ? stateBadge(value) : element("span", { class: "check-text", text: KIND_LABELS[value] || value }),
        element("span", { class: "soft number", text: count.toLocaleString("en-US") }));
    });
    return element("fieldset", {}, element("legend", { text: title }), ...rows);
  }

  function reset() {
    apply({ hidden: { state: new Set(), type: new Set(), kind: new Set() }, onlyLine: false });
  }

  function setOpen(isOpen) {
    panel.hidden = !isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) panel.querySelector("input:not(:disabled)")?.focus();
    else button.focus();
  }

  button.addEventListener("click", () => setOpen(panel.hidden));
  state.on(["selected"], ({ onlyLine, selected }) => {
    // Without a selection there is no line to keep to.
    if (onlyLine) apply({ onlyLine: selected >= 0 });
  });
  state.on(["shown", "selected", "hidden", "onlyLine"], render);
  state.on(["shown"], ({ shown }) => announce(`${plural(shown.reduce((sum, each) => sum + each, 0), "node")} shown`));
  render();
  return { setOpen, isOpen: () => !panel.hidden, toggle };
}
