// Search by anything that a node is known by: every word must be found in it.

const SHOWN_HITS = 60;

/** Indices of the nodes that hold every word of the query; those named like it come first. */
function findNodes(graph, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const found = graph.nodes.filter((node) => words.every((word) => node.search.includes(word)));
  const rank = (node) => {
    const label = node.label.toLowerCase();
    if (label === query.toLowerCase().trim()) return 0;
    if (label.startsWith(words[0])) return 1;
    return words.every((word) => label.includes(word)) ? 2 : 3;
  };
  return found
    .map((node) => [rank(node), node.index])
    .sort((one, other) => one[0] - other[0] || one[1] - other[1])
    .map(([, at]) => at);
}

function makeSearch(graph, state, { preview, open }) {
  const input = byId("search");
  const list = byId("hits");
  const count = byId("hit-count");

  function search() {
    const query = input.value.trim();
    // What the filters leave out is not found either.
    const hits = findNodes(graph, query).filter((at) => state.values.shown[at]);
    count.textContent = query ? plural(hits.length, "match", "matches") : "";
    state.set({ query, hits, hit: -1 });
    render();
  }

  function render() {
    const { hits, hit, query } = state.values;
    list.replaceChildren(...hits.slice(0, SHOWN_HITS).map((at, place) => option(at, place, place === hit)));
    if (query && !hits.length) {
      list.append(element("li", { class: "none", role: "option", "aria-disabled": "true", text: "Nothing has all of these words." }));
    } else if (hits.length > SHOWN_HITS) {
      list.append(element("li", { class: "none", role: "option", "aria-disabled": "true", text: `and ${plural(hits.length - SHOWN_HITS, "more")}: type more of it` }));
    }
    setOpen(Boolean(query));
  }

  function option(at, place, isCurrent) {
    const node = graph.nodes[at];
    return element("li", {
      id: `hit-${place}`, class: `state-${node.state}`, role: "option", "aria-selected": String(isCurrent), title: node.label,
      onmousedown: (event) => event.preventDefault(),
      onclick: () => { state.set({ hit: place }); choose(); },
    }, icon(node.state), element("span", { class: "hit-name", text: node.label }),
    element("span", { class: "soft", text: [node.type, node.user, node.created.slice(0, 10)].filter(Boolean).join(" · ") }));
  }

  function setOpen(isOpen) {
    list.hidden = !isOpen;
    input.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) input.removeAttribute("aria-activedescendant");
  }

  function move(by) {
    const shown = Math.min(state.values.hits.length, SHOWN_HITS);
    if (!shown) return;
    const hit = (state.values.hit + by + shown + (state.values.hit < 0 && by < 0 ? 1 : 0)) % shown;
    state.set({ hit });
    for (const [place, item] of [...list.children].entries()) {
      if (place < shown) item.setAttribute("aria-selected", String(place === hit));
    }
    setOpen(true);
    input.setAttribute("aria-activedescendant", `hit-${hit}`);
    list.children[hit].scrollIntoView({ block: "nearest" });
    count.textContent = `${hit + 1} of ${state.values.hits.length.toLocaleString("en-US")}`;
    preview(state.values.hits[hit]);
  }

  function choose() {
    const { hits, hit } = state.values;
    if (!hits.length) return;
    setOpen(false);
    open(hits[Math.max(0, hit)]);
  }

  function clear() {
    input.value = "";
    search();
  }

  input.addEventListener("input", search);
  input.addEventListener("focus", () => { if (state.values.query) setOpen(true); });
  input.addEventListener("blur", () => setOpen(false));
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(-1);
    else if (event.key === "Enter") choose();
    else if (event.key === "Escape") {
      if (input.value) clear();
      else input.blur();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  state.on(["shown"], () => { if (input.value) search(); setOpen(false); });
  return { focus: () => { input.focus(); input.select(); } };
}
