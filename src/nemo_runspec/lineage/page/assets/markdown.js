// Markdown of cards: headings, paragraphs, lists, tables, quotes, code, emphasis and links. It makes
// elements with texts, so that HTML within it is shown, never run.

const INLINE = /`([^`]+)`|\*\*(.+?)\*\*|__(.+?)__|\*(\S(?:.*?\S)?)\*|\b_(\S(?:.*?\S)?)_\b|!\[([^\]]*)\]\(([^()\s]+)[^()]*\)|\[([^\]]+)\]\(([^()\s]+)[^()]*\)|(https?:\/\/[^\s<>()]+)/;
const IMAGE = /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$/;

function markdown(text) {
  const made = element("div", { class: "markdown" });
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  let at = 0;
  while (at < lines.length) {
    const [block, next] = markdownBlock(lines, at);
    if (block) made.append(block);
    at = next;
  }
  return made;
}

/** The block that starts at a line, and the line behind it. */
function markdownBlock(lines, at) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  const fence = line.match(/^\s*(```+|~~~+)/);
  if (fence) {
    let end = at + 1;
    while (end < lines.length && !lines[end].trim().startsWith(fence[1])) end += 1;
    return [element("pre", {}, element("code", { text: lines.slice(at + 1, end).join("\n") })), end + 1];
  }
  const heading = line.match(/^(#{1,6})\s+(.*?)\s*#*$/);
  // The page's own headings stand above those of a card.
  if (heading) return [element(`h${Math.min(6, heading[1].length + 3)}`, {}, ...inline(heading[2])), at + 1];
  if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) return [element("hr"), at + 1];
  if (/^\s*>/.test(line)) {
    const end = endOf(lines, at, (each) => /^\s*>/.test(each));
    const inside = lines.slice(at, end).map((each) => each.replace(/^\s*> ?/, "")).join("\n");
    return [element("blockquote", {}, ...markdown(inside).childNodes), end];
  }
  if (line.includes("|") && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(lines[at + 1] || "")) {
    const end = endOf(lines, at, (each) => each.includes("|"));
    return [markdownTable(lines.slice(at, end)), end];
  }
  const bullet = /^\s*(?:[-*+]|(\d+)[.)])\s+/;
  if (bullet.test(line)) {
    const isNumbered = line.match(bullet)[1] !== undefined;
    const end = endOf(lines, at, (each) => bullet.test(each) || /^\s{2,}\S/.test(each));
    const items = [];
    for (const each of lines.slice(at, end)) {
      if (bullet.test(each)) items.push(each.replace(bullet, ""));
      else items[items.length - 1] += ` ${each.trim()}`;
    }
    return [element(isNumbered ? "ol" : "ul", {}, ...items.map((item) => element("li", {}, ...inline(item)))), end];
  }
  const end = Math.max(at + 1, endOf(lines, at, (each) => each.trim() && !/^\s*(#{1,6}\s|>|```|~~~|[-*+]\s|\d+[.)]\s)/.test(each)));
  return [element("p", {}, ...inline(lines.slice(at, end).join(" "))), end];
}

function endOf(lines, at, isInside) {
  let end = at;
  while (end < lines.length && isInside(lines[end])) end += 1;
  return end;
}

function markdownTable(lines) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const [head, , ...rows] = lines;
  return element("table", { class: "facts" },
    element("thead", {}, element("tr", {}, ...cells(head).map((cell) => element("th", { scope: "col" }, ...inline(cell))))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells(row).map((cell) => element("td", {}, ...inline(cell)))))));
}

/** The pieces of a line of text. */
function inline(text) {
  const pieces = [];
  let rest = text;
  for (let match = rest.match(INLINE); match; match = rest.match(INLINE)) {
    const [whole, code, strong, strongToo, soft, softToo, alt, source, words, link, address] = match;
    if (match.index) pieces.push(rest.slice(0, match.index));
    if (code !== undefined) pieces.push(element("code", { text: code }));
    else if (strong ?? strongToo) pieces.push(element("strong", {}, ...inline(strong ?? strongToo)));
    else if (soft ?? softToo) pieces.push(element("em", {}, ...inline(soft ?? softToo)));
    else if (source !== undefined) pieces.push(IMAGE.test(source) ? element("img", { src: source, alt }) : `[image: ${alt || source}]`);
    else pieces.push(outsideLink(words ?? address, link ?? address));
    rest = rest.slice(match.index + whole.length);
  }
  if (rest) pieces.push(rest);
  return pieces;
}

/** A link that only a click follows; anything but http and mail is shown as text. */
function outsideLink(text, address) {
  if (!/^(https?:\/\/|mailto:)/i.test(address)) return `${text} (${address})`;
  return element("a", { href: address, target: "_blank", rel: "noopener noreferrer", title: address, text });
}
