// Texts and elements. Whatever comes from the data gets into the page as text, never as markup.

/** Makes an element. Attributes: `class`, `text`, `on…` for listeners, anything else as it is. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

/** A value of JSON as people read it: texts as they are, all else as JSON. */
function valueText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** 2026-11-21T14:08:28.35+00:00 in the reader's own time zone. */
function timeText(iso) {
  const at = iso ? new Date(iso) : null;
  if (!at || Number.isNaN(at.getTime())) return iso || "";
  const date = [at.getFullYear(), at.getMonth() + 1, at.getDate()];
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()];
  const two = (number) => String(number).padStart(2, "0");
  return `${date.map(two).join("-")} ${time.map(two).join(":")}`;
}

function durationText(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `${numberText(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** At most four significant digits, none lost of a whole number; JSON has null for NaN and infinities. */
function numberText(value) {
  if (value === null) return "not finite";
  if (typeof value !== "number") return valueText(value);
  if (Number.isInteger(value)) return Math.abs(value) < 1e15 ? value.toLocaleString("en-US") : String(value);
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(3);
  return String(Number(value.toPrecision(size >= 1000 ? 6 : 4)));
}

/** sha256:0123456789abcdef… of a long digest; anything else as it is. */
function shortDigest(value) {
  const text = valueText(value);
  const digest = text.slice(text.lastIndexOf(":") + 1);
  return /^[0-9a-f]{40,}$/.test(digest) ? `${text.slice(0, text.length - digest.length + 12)}…` : text;
}

function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en-US")} ${count === 1 ? one : many}`;
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** Nested data as [dotted key, value] pairs, in order; empty objects and lists are values. */
function flatten(value) {
  const pairs = [];
  const waiting = [["", value]];
  while (waiting.length) {
    const [path, here] = waiting.pop();
    let inner = [];
    if (Array.isArray(here)) inner = here.map((item, index) => [`${path}[${index}]`, item]);
    else if (isObject(here)) {
      inner = Object.entries(here).map(([key, item]) => [path ? `${path}.${key}` : key, item]);
    }
    if (inner.length) waiting.push(...inner.reverse());
    else if (path) pairs.push([path, here]);
  }
  return pairs;
}

/** Puts a text on the clipboard; says in the button whether that worked. */
async function copyText(text, button) {
  const label = button.textContent;
  let said = "Copied";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Some browsers give a page of file:// no clipboard: what is selected can still be copied.
    const area = element("textarea", { class: "unseen" });
    area.value = text;
    (button.closest("dialog") || document.body).append(area);
    area.select();
    said = document.execCommand("copy") ? "Copied" : "Not copied";
    area.remove();
    button.focus();
  }
  button.textContent = said;
  announce(said);
  setTimeout(() => { button.textContent = label; }, 1500);
}

/** Tells a screen reader. */
function announce(text) {
  byId("live").textContent = text;
}
