"use strict";
// A small chart: axes with their units and ticks, and lines, areas, words on them.
const plot = (() => {
  const { shape } = words;

  // As wide as its place, so that letters keep their size; x, y: {title, ticks, of: value -> 0…1, text: tick -> words}.
  function axes(svg, { width = roomFor(svg), height, left = 52, right = 12, top = 14, bottom = 40, x, y }) {
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const across = (v) => left + x.of(v) * (width - left - right);
    const up = (v) => height - bottom - y.of(v) * (height - top - bottom);
    const frame = shape("g", { class: "axes", "aria-hidden": "true" });
    for (const t of y.ticks)
      frame.append(
        shape("line", { class: "grid", x1: left, x2: width - right, y1: up(t), y2: up(t) }),
        shape("text", { x: left - 7, y: up(t) + 4, "text-anchor": "end" }, y.text(t)),
      );
    for (const t of x.ticks)
      frame.append(
        shape("line", { class: "grid", x1: across(t), x2: across(t), y1: top, y2: height - bottom }),
        shape("text", { x: across(t), y: height - bottom + 16, "text-anchor": "middle" }, x.text(t)),
      );
    frame.append(
      shape("text", { class: "title", x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, x.title),
      shape("text", { class: "title", transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.title),
    );
    const marks = shape("g", { class: "marks" });
    svg.replaceChildren(frame, marks);
    return { across, up, marks, width };
  }

  const roomFor = (svg) => Math.max(280, Math.min(760, svg.clientWidth || 440));

  const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  const line = (points, attributes) => shape("path", { d: path(points), fill: "none", ...attributes });
  const area = (above, below, attributes) => shape("path", { d: `${path([...above, ...below.slice().reverse()])}Z`, ...attributes });
  const label = (x, y, text, attributes = {}) => shape("text", { x, y, ...attributes }, text);
  const linear = (low, high) => (v) => (v - low) / (high - low);
  const log = (low, high) => (v) => Math.log(v / low) / Math.log(high / low);
  return { axes, line, area, label, linear, log };
})();
