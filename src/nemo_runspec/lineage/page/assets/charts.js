// A logged metric as a small line chart.

const CHART = { width: 380, height: 128, left: 8, right: 8, top: 10, bottom: 20 };
const MOST_POINTS = 400;

function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** [step, value] pairs that can be drawn; a value logged without a step stands at its place. */
function chartPoints(series) {
  return series
    .map(([step, value], place) => [step ?? place, typeof value === "number" ? value : Number.NaN])
    .filter(([step, value]) => Number.isFinite(step) && Number.isFinite(value));
}

/** At most MOST_POINTS or so of them: of each stretch the lowest and the highest. */
function thinned(points) {
  if (points.length <= MOST_POINTS) return points;
  const stretch = Math.ceil(points.length / (MOST_POINTS / 2));
  const kept = [];
  for (let at = 0; at < points.length; at += stretch) {
    const part = points.slice(at, at + stretch);
    const low = part.reduce((best, each) => (each[1] < best[1] ? each : best));
    const high = part.reduce((best, each) => (each[1] > best[1] ? each : best));
    kept.push(...(low === high ? [low] : [low, high].sort((one, other) => one[0] - other[0])));
  }
  return kept;
}

/** The chart of one metric, with its figures beside it. */
function chart(name, series) {
  const points = chartPoints(series);
  const lost = series.length - points.length;
  const figure = element("figure", { class: "chart" });
  const readout = element("span", { class: "readout soft" });
  figure.append(element("figcaption", {}, element("span", { class: "chart-name", text: name, title: name }), readout));
  if (!points.length) {
    readout.textContent = `${plural(series.length, "value")}, none of them a number`;
    return figure;
  }
  const values = points.map(([, value]) => value);
  const low = values.reduce((one, other) => Math.min(one, other));
  const high = values.reduce((one, other) => Math.max(one, other));
  const [first, last] = [points[0], points[points.length - 1]];
  const ends = points.reduce(([one, other], [step]) => [Math.min(one, step), Math.max(other, step)], [Infinity, -Infinity]);
  const x = (step) => CHART.left + (ends[1] > ends[0] ? (step - ends[0]) / (ends[1] - ends[0]) : 0.5) * (CHART.width - CHART.left - CHART.right);
  const y = (value) => CHART.top + (high > low ? 1 - (value - low) / (high - low) : 0.5) * (CHART.height - CHART.top - CHART.bottom);
  const rest = `last ${numberText(last[1])} · min ${numberText(low)} · max ${numberText(high)}${lost ? ` · ${lost} not finite` : ""}`;
  readout.textContent = rest;
  const base = CHART.height - CHART.bottom;
  const cursor = svg("g", { class: "chart-cursor", visibility: "hidden" },
    svg("line", { y1: CHART.top, y2: base, x1: 0, x2: 0 }), svg("circle", { r: 3.5, cx: 0, cy: 0 }));
  const picture = svg("svg", {
    class: "chart-picture", viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img",
    "aria-label": `${name}: ${plural(points.length, "value")} from ${numberText(first[1])} at step ${first[0]} to ${numberText(last[1])} at step ${last[0]}; lowest ${numberText(low)}, highest ${numberText(high)}`,
  },
  svg("line", { class: "chart-axis", x1: CHART.left, x2: CHART.width - CHART.right, y1: base, y2: base }),
  svg("line", { class: "chart-grid", x1: CHART.left, x2: CHART.width - CHART.right, y1: CHART.top, y2: CHART.top }),
  label(CHART.left, CHART.height - 6, "start", String(ends[0])),
  label(CHART.width - CHART.right, CHART.height - 6, "end", `step ${ends[1]}`));
  const drawn = thinned(points);
  if (drawn.length > 1) {
    picture.append(svg("polyline", { class: "chart-line", points: drawn.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }));
  }
  picture.append(svg("circle", { class: "chart-end", r: 3, cx: x(last[0]), cy: y(last[1]) }), cursor);
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * CHART.width;
    const near = points.reduce((best, each) => (Math.abs(x(each[0]) - at) < Math.abs(x(best[0]) - at) ? each : best));
    cursor.setAttribute("visibility", "visible");
    cursor.setAttribute("transform", `translate(${x(near[0])} 0)`);
    cursor.lastChild.setAttribute("cy", y(near[1]));
    readout.textContent = `step ${near[0]}: ${numberText(near[1])}`;
  });
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    readout.textContent = rest;
  });
  figure.append(picture);
  return figure;
}

function label(x, y, anchor, text) {
  const made = svg("text", { class: "chart-label", x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}
