// What the reader chose. One value, one way to change it, and those who are told.

/** Holds values; `set` tells the listeners which of them changed. */
function makeState(initial) {
  const values = { ...initial };
  const listeners = [];
  return {
    values,
    set(changes) {
      const changed = Object.keys(changes).filter((name) => values[name] !== changes[name]);
      if (!changed.length) return;
      Object.assign(values, changes);
      for (const { names, tell } of listeners) {
        if (names.some((name) => changed.includes(name))) tell(values);
      }
    },
    /** Calls `tell` whenever one of the named values changed. */
    on(names, tell) {
      listeners.push({ names, tell });
    },
  };
}

function initialState(graph) {
  return {
    view: "graph",
    selected: -1,
    second: -1,
    cursor: -1,
    hover: -1,
    picking: false,
    query: "",
    hits: [],
    hit: -1,
    // Names of states, types and kinds that are left out.
    hidden: { state: new Set(), type: new Set(), kind: new Set() },
    onlyLine: false,
    shown: new Uint8Array(graph.nodes.length).fill(1),
    theme: "light",
  };
}
