// Keys that work wherever nobody types, and the page that tells them.

const SHORTCUTS = [
  ["Move around", [
    [["←", "→", "↑", "↓"], "move the drawing"],
    [["+", "-"], "zoom in, zoom out"],
    [["0"], "fit all"],
    [["Shift", "←/→"], "go along an edge: to what it was made from, to what uses it"],
    [["Shift", "↑/↓"], "go to the next node of the column"],
    [["Enter"], "open the node"],
  ]],
  ["Find", [
    [["/"], "search"],
    [["n", "Shift+n"], "next match, match before"],
    [["f"], "filters"],
    [["o"], "only the line of the selection"],
  ]],
  ["Look", [
    [["c"], "compare the selection with the next node that is chosen"],
    [["Shift", "click"], "compare the selection with this node"],
    [["g", "l"], "graph, list"],
    [["t"], "light or dark"],
    [["Escape"], "close, step by step"],
    [["?"], "these shortcuts"],
  ]],
];

function isTyping(target) {
  return target instanceof HTMLTextAreaElement || (target instanceof HTMLInputElement && !["checkbox", "radio", "button"].includes(target.type));
}

function makeKeyboard(actions) {
  const help = byId("help");
  help.append(dialogHead("help-title", "Keyboard shortcuts", help),
    element("div", { class: "dialog-body" }, ...SHORTCUTS.map(([title, rows]) => section(title, element("dl", { class: "keys" },
      ...rows.flatMap(([keys, what]) => [element("dt", {}, ...keys.map((key) => element("kbd", { text: key }))), element("dd", { text: what })]))))));
  const open = () => { if (!document.querySelector("dialog[open]")) help.showModal(); };
  byId("help-button").addEventListener("click", open);
  const keys = { ...actions, "?": open };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  for (const dialog of document.querySelectorAll("dialog")) {
    // A click beside a dialog closes it.
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  }
}
