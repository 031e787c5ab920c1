// One set of shapes, 16 by 16, for the drawing (Path2D) and for the rest of the page (SVG).
// A state is told by its shape and its word, not by its colour alone.

const CIRCLE = "M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13Z";

const ICONS = {
  fresh: `${CIRCLE}M5 8.3l2.1 2.1L11.2 6`,
  stale: "M8 1.8L15 14.2H1ZM8 6.2v3.9M8 12v.1",
  depends: "M8 1.3L14.7 8L8 14.7L1.3 8ZM8 4.8v3.9M8 10.9v.1",
  running: `${CIRCLE}M6.5 5.1v5.8L11.2 8Z`,
  blocked: "M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3L1.5 10.7V5.3ZM4.8 8h6.4",
  gone: "M2 4.5h12M6 4.5v-2.5h4v2.5M3.8 4.5l.8 9.5h6.8l.8-9.5M6.8 7v4.5M9.2 7v4.5",
  missing: `${CIRCLE}M6 6.3a2 2 0 1 1 2.9 1.8c-.6.3-.9.7-.9 1.4M8 11.7v.1`,
  recorded: "M2.5 4c0-1.4 2.5-2.5 5.5-2.5s5.5 1.1 5.5 2.5v8c0 1.4-2.5 2.5-5.5 2.5s-5.5-1.1-5.5-2.5ZM2.5 4c0 1.4 2.5 2.5 5.5 2.5s5.5-1.1 5.5-2.5M2.5 8c0 1.4 2.5 2.5 5.5 2.5s5.5-1.1 5.5-2.5",
  external: "M6.5 2.5h-4v11h11v-4M9.5 1.5h5v5M14.2 1.8L7.5 8.5",
  revoked: `${CIRCLE}M3.5 3.5l9 9`,
  accepted: "M2 2h12v12H2ZM4.8 8.3l2.1 2.1L11.2 6",
  alias: "M2 2.5h5.5l6.5 6.5l-5.5 5.5L2 8ZM5 5.4v.1",
  filter: "M1.5 2.5h13L9.7 8.4v5.1l-3.4-1.8V8.4Z",
  graph: "M1.5 5.5h4v5h-4ZM10.5 1.5h4v5h-4ZM10.5 9.5h4v5h-4ZM5.5 8h2.5M8 4v8M8 4h2.5M8 12h2.5",
  list: "M5.5 3.5h9M5.5 8h9M5.5 12.5h9M2 3.5h.1M2 8h.1M2 12.5h.1",
  theme: "M13.8 9.6A6 6 0 1 1 6.4 2.2a4.8 4.8 0 0 0 7.4 7.4Z",
  help: `${CIRCLE}M6 6.3a2 2 0 1 1 2.9 1.8c-.6.3-.9.7-.9 1.4M8 11.7v.1`,
  minus: "M3 8h10",
  plus: "M3 8h10M8 3v10",
  fit: "M1.5 5.5v-4h4M10.5 1.5h4v4M14.5 10.5v4h-4M5.5 14.5h-4v-4",
  close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  swap: "M2 5.5h11.5M10.5 2.5l3 3l-3 3M14 10.5H2.5M5.5 7.5l-3 3l3 3",
};

// In the order in which they are listed.
const STATES = {
  fresh: "up to date: the store has it for today's key",
  stale: "something that it was made from changed",
  depends: "runs unless what is above it comes out the same",
  running: "a job makes it now",
  blocked: "something above it keeps it from running",
  gone: "recorded, but its data was deleted or overwritten",
  missing: "never built, or not in this store",
  recorded: "the store has it; nobody asked whether it is fresh",
  external: "data that no artifact holds",
};

const KIND_LABELS = { version: "Version", target: "Target", external: "External data" };

function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  drawing.setAttribute("viewBox", "0 0 16 16");
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  drawing.append(path);
  return drawing;
}

function stateBadge(state) {
  return element("span", { class: `badge state-${state}`, title: STATES[state] },
    icon(state), element("span", { text: state }));
}
