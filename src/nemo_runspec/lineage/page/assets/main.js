// Joins the parts.

const THEME_KEY = "runspec-lineage-theme";

function makeTheme(state) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = storedTheme();
  const apply = () => {
    const theme = chosen || (system.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    byId("theme").setAttribute("aria-pressed", String(theme === "dark"));
    state.set({ theme });
  };
  const toggle = () => {
    chosen = state.values.theme === "dark" ? "light" : "dark";
    storeTheme(chosen);
    apply();
  };
  system.addEventListener("change", apply);
  byId("theme").addEventListener("click", toggle);
  apply();
  return { toggle };
}

// A browser may refuse a page of file:// its storage: the choice then holds until it is closed.
function storedTheme() {
  try {
    return localStorage.getItem(THEME_KEY);
  } catch {
    return null;
  }
}

function storeTheme(theme) {
  try {
    localStorage.setItem(THEME_KEY, theme);
  } catch (error) {
    console.info(`the theme is not kept: ${error.message}`);
  }
}

function showEmpty() {
  byId("graph-view").hidden = true;
  byId("empty").hidden = false;
  byId("empty").append(icon("recorded"), element("h2", { text: "Nothing is recorded here" }),
    element("p", { text: "No artifact, target or input belongs to this lineage. Once a job has logged an artifact, it and what it was made from stand here." }));
}

function makeLegend(graph, state, filters) {
  const counts = new Map();
  for (const node of graph.nodes) counts.set(node.state, (counts.get(node.state) || 0) + 1);
  const render = () => byId("legend").replaceChildren(...Object.keys(STATES).filter((name) => counts.has(name)).map((name) => {
    const isShown = !state.values.hidden.state.has(name);
    return element("button", {
      type: "button", class: `legend-item state-${name}`, "aria-pressed": String(isShown), id: `legend-${name}`,
      title: `${STATES[name]}; click to ${isShown ? "hide" : "show"}`,
      onclick: () => { filters.toggle("state", name, !isShown); byId(`legend-${name}`).focus(); },
    }, icon(name), element("span", { text: name }), element("span", { class: "number", text: counts.get(name).toLocaleString("en-US") }));
  }));
  state.on(["hidden"], render);
  render();
}

function start() {
  const content = JSON.parse(byId("lineage-data").textContent);
  const graph = buildGraph(content);
  const state = makeState(initialState(graph));
  for (const place of document.querySelectorAll("[data-icon]")) place.append(icon(place.dataset.icon));
  makeTheme(state);
  byId("summary").textContent = `${plural(graph.nodes.length, "node")}, ${plural(graph.edges.length, "edge")}`;
  byId("store").textContent = content.store;
  byId("store").title = `Store: ${content.store}`;
  if (!graph.nodes.length) {
    for (const tool of document.querySelectorAll("#search, #filters-button, #view-graph, #view-list")) tool.disabled = true;
    showEmpty();
    makeKeyboard({});
    return;
  }
  run(graph, state);
}

function run(graph, state) {
  const compare = makeCompare(graph, state);
  const choose = (at, isSecond = false) => {
    const { selected, picking } = state.values;
    if (at >= 0 && selected >= 0 && at !== selected && (isSecond || picking)) compareWith(at);
    else {
      state.set({ selected: at, cursor: at, picking: false });
      if (at >= 0) {
        announce(described(graph, graph.nodes[at]));
        location.replace(`#${new URLSearchParams({ node: graph.nodes[at].id })}`);
      }
    }
  };
  const compareWith = (at) => {
    state.set({ second: at, picking: false });
    compare.open(state.values.selected, at);
  };
  const pick = () => { if (state.values.selected >= 0) state.set({ picking: true }); };
  /** Opens a node, and takes the keyboard along. */
  const open = (at, isSecond = false) => {
    choose(at, isSecond);
    if (at >= 0 && !byId("compare").open) panel.focus();
    else if (at < 0) focusView();
  };
  const focusView = () => (state.values.view === "graph" ? byId("graph").focus() : list.focus());

  const filters = makeFilters(graph, state);
  const canvas = makeCanvas(graph, state, open);
  const list = makeList(graph, state, open);
  const visit = (at, isSecond) => {
    open(at, isSecond);
    if (at >= 0 && state.values.view === "graph") canvas.show(at);
  };
  const panel = makePanel(graph, state, { choose: visit, pick, compareWith });
  const search = makeSearch(graph, state, {
    preview: (at) => { if (state.values.view === "graph") canvas.show(at); },
    open: visit,
  });
  makeLegend(graph, state, filters);

  const setView = (view) => {
    state.set({ view });
    byId("graph-view").hidden = view !== "graph";
    byId("list-view").hidden = view !== "list";
    byId("view-graph").setAttribute("aria-pressed", String(view === "graph"));
    byId("view-list").setAttribute("aria-pressed", String(view === "list"));
  };
  byId("view-graph").addEventListener("click", () => setView("graph"));
  byId("view-list").addEventListener("click", () => setView("list"));
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    setView("list");
    list.focus();
  });

  state.on(["picking"], ({ picking, selected }) => {
    const text = picking ? `Choose what to compare ${graph.nodes[selected].label} with. Escape cancels.` : "";
    byId("picking").textContent = text;
    byId("picking").hidden = !picking;
    byId("graph").classList.toggle("picking-node", picking);
  });
  state.on(["shown"], ({ shown }) => byId("graph-view").classList.toggle("nothing", !shown.includes(1)));
  byId("graph").setAttribute("aria-label", `Lineage of ${plural(graph.nodes.length, "node")} and ${plural(graph.edges.length, "edge")}`);

  const nextHit = (by) => {
    const { hits, hit } = state.values;
    if (!hits.length) return;
    const next = (hit + by + hits.length) % hits.length;
    state.set({ hit: next, cursor: hits[next] });
    announce(`${next + 1} of ${hits.length}: ${described(graph, graph.nodes[hits[next]])}`);
    if (state.values.view === "graph") canvas.show(hits[next]);
  };
  const escape = () => {
    if (state.values.picking) state.set({ picking: false });
    else if (filters.isOpen()) filters.setOpen(false);
    else if (state.values.selected >= 0) open(-1);
    else state.set({ cursor: -1 });
  };
  makeKeyboard({
    "/": search.focus, f: () => byId("filters-button").click(), o: () => byId("only-line").click(),
    n: () => nextHit(1), N: () => nextHit(-1), c: pick, g: () => setView("graph"), l: () => setView("list"),
    t: () => byId("theme").click(), "+": () => canvas.zoom(ZOOM_STEP), "=": () => canvas.zoom(ZOOM_STEP),
    "-": () => canvas.zoom(1 / ZOOM_STEP), 0: canvas.fit, Escape: escape,
  });

  const asked = graph.index.get(new URLSearchParams(location.hash.slice(1)).get("node"));
  if (asked !== undefined) visit(asked);
}

start();
