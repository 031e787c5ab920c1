// The same nodes as a table, for those who read better than they look.

// Widths in parts of the whole.
const COLUMNS = [
  { title: "Name", width: 21, of: (node) => node.name, class: "name" },
  { title: "Version", width: 6, of: (node) => node.version ?? -1, text: (node) => node.versionText },
  { title: "State", width: 16, of: (node) => node.state },
  { title: "Type", width: 13, of: (node) => node.type },
  { title: "Made", width: 13, of: (node) => node.created, text: (node) => timeText(node.created).slice(0, 16) },
  { title: "By", width: 8, of: (node) => node.user },
  { title: "Commit", width: 11, of: (node) => node.commit, text: (node) => node.commit.slice(0, 10) + (node.run.dirty ? " +" : ""), class: "mono" },
  { title: "GPU-hours", width: 8, of: (node) => node.gpuHours ?? -1, text: (node) => (node.gpuHours === null || node.gpuHours === undefined ? "" : numberText(node.gpuHours)), class: "number" },
  { title: "Made from", width: 8, of: (node, graph) => graph.above[node.index].length, class: "number" },
  { title: "Used by", width: 7, of: (node, graph) => graph.below[node.index].length, class: "number" },
];

function makeList(graph, state, choose) {
  const view = byId("list-view");
  const rows = [];
  const body = element("tbody", { role: "rowgroup" });
  const headers = COLUMNS.map((column, at) => element("th", { scope: "col", role: "columnheader", class: column.class === "number" ? "number" : null },
    element("button", { type: "button", class: "sort", text: column.title, onclick: () => sort(at) })));
  const caption = element("caption", { class: "list-caption" });
  let sorted = { column: -1, isDown: false };
  let isMade = false;

  function row(node) {
    const cells = COLUMNS.map((column, at) => {
      if (at === 0) {
        return element("th", { scope: "row", role: "rowheader", class: "name" }, element("button", {
          type: "button", class: "link", title: node.label, "aria-label": described(graph, node), text: node.name,
          onclick: (event) => choose(node.index, event.shiftKey || event.ctrlKey || event.metaKey),
        }));
      }
      if (column.title === "State") {
        const marks = ["revoked", "accepted"].filter((mark) => node.raw[mark]).map((mark) => markBadge(mark));
        return element("td", { role: "cell" }, element("span", { class: "badges" }, stateBadge(node.state), marks));
      }
      const text = column.text ? column.text(node) : String(column.of(node, graph));
      return element("td", { role: "cell", class: column.class, title: text.length > 20 ? text : null, text });
    });
    return element("tr", { role: "row" }, ...cells);
  }

  function make() {
    if (isMade) return;
    isMade = true;
    for (const node of graph.nodes) rows.push(row(node));
    body.append(...rows);
    // Rows are laid out as grids, so that the browser may leave out those that are not in view; the
    // roles keep them the rows of a table.
    const table = element("table", { class: "list", role: "table" }, caption,
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...headers)), body);
    table.style.setProperty("--columns", COLUMNS.map(({ width }) => `minmax(0, ${width}fr)`).join(" "));
    view.append(table);
  }

  function sort(column) {
    sorted = { column, isDown: sorted.column === column && !sorted.isDown };
    const { of } = COLUMNS[column];
    const order = graph.nodes.map((node) => [of(node, graph), node.index]);
    order.sort((one, other) => compared(one[0], other[0]) * (sorted.isDown ? -1 : 1) || one[1] - other[1]);
    body.append(...order.map(([, at]) => rows[at]));
    headers.forEach((header, at) => {
      if (at === column) header.setAttribute("aria-sort", sorted.isDown ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    });
    showCount(rows.filter((each) => !each.hidden).length);
  }

  function update() {
    if (state.values.view !== "list") return;
    make();
    const { shown, selected, second, query } = state.values;
    const hits = query ? new Set(state.values.hits) : null;
    let count = 0;
    rows.forEach((each, at) => {
      const isShown = Boolean(shown[at]) && (!hits || hits.has(at));
      count += isShown ? 1 : 0;
      each.hidden = !isShown;
      each.classList.toggle("selected", at === selected);
      each.classList.toggle("second", at === second);
      if (at === selected) each.setAttribute("aria-current", "true");
      else each.removeAttribute("aria-current");
    });
    showCount(count);
  }

  function showCount(count) {
    const order = sorted.column < 0 ? "what is used before what uses it" : `by ${COLUMNS[sorted.column].title.toLowerCase()}`;
    caption.textContent = `${count.toLocaleString("en-US")} of ${plural(graph.nodes.length, "node")}, ${order}`;
  }

  state.on(["view", "shown", "hits", "selected", "second", "query"], update);
  return { focus: () => view.focus() };
}

function compared(one, other) {
  if (typeof one === "string") return one.localeCompare(other, "en", { numeric: true });
  return one - other;
}

function markBadge(mark) {
  return element("span", { class: `badge mark-${mark}` }, icon(mark), element("span", { text: mark }));
}
