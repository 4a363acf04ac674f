"use strict";
// The plane power × tilt: the named rules on it, the point that is dragged, and how it is shaded.
// turn(dial): told when the point is put somewhere; step(power, tilt): when keys move it by so much.
const plane = (marks, { power: POWER, tilt: TILT, free, clamp }, turn, step) => {
  const { percent, number, shape, byId } = words;
  const W = 440, H = 330, LEFT = 50, RIGHT = 10, TOP = 10, BOTTOM = 42, COLUMNS = 28, ROWS = 18;
  const svg = byId("plane"), signed = (t) => String(t).replace("-", "−");
  const whole = ([low, high], by) => Array.from({ length: 1 + Math.floor((high - low) / by) }, (_, i) => Math.ceil(low / by) * by + i * by).filter((t) => t <= high);
  const px = plot.axes(svg, {
    width: W, height: H, left: LEFT, right: RIGHT, top: TOP, bottom: BOTTOM,
    x: { title: "power: how far to divide by σ", ticks: whole(POWER, POWER[1] - POWER[0] > 9 ? 2 : 1), of: plot.linear(...POWER), text: signed },
    y: { title: "tilt: towards hard problems", ticks: whole(TILT, TILT[1] - TILT[0] > 4 ? 1 : 0.5), of: plot.linear(...TILT), text: signed },
  });

  const heat = shape("g", { class: "heat" });
  const cells = [];
  for (let i = 0; i < COLUMNS; i++)
    for (let j = 0; j < ROWS; j++) {
      const a = POWER[0] + ((POWER[1] - POWER[0]) * (i + 0.5)) / COLUMNS, t = TILT[0] + ((TILT[1] - TILT[0]) * (j + 0.5)) / ROWS;
      const w = (W - LEFT - RIGHT) / COLUMNS, h = (H - TOP - BOTTOM) / ROWS;
      const cell = shape("rect", { x: px.across(a) - w / 2, y: px.up(t) - h / 2, width: w, height: h });
      cells.push([cell, { ...free, power: a, tilt: t }]);
      heat.append(cell);
    }
  svg.prepend(heat);
  px.marks.append(plot.line([-1, 0, 1, 2, 3].map((i) => [px.across(-i), px.up(i / 2)]), { class: "family" }));
  const places = { grpo: [0, 25, "middle"], "dr-grpo": [-9, 17, "end"], rloo: [-9, 31, "end"], maxrl: [9, -8, "start"], logit: [0, 25, "middle"], "pass@2": [10, 4, "start"], "pass@4": [10, 4, "start"] };
  for (const mark of marks) {
    const x = px.across(clamp(mark.dial.power, POWER)), y = px.up(clamp(mark.dial.tilt, TILT));
    const [dx, dy, anchor] = (mark.yours && mark.name === "grpo" ? null : places[mark.name]) ?? [9, -12, "start"];
    px.marks.append(
      shape("circle", { class: "mark", cx: x, cy: y, r: 5, ...(mark.color ? { style: `fill:${mark.color}` } : {}) }),
      plot.label(x + dx, y + dy, mark.text + (mark.yours ? " · yours" : ""), { class: `name${mark.yours ? " yours" : ""}`, "text-anchor": anchor }),
    );
  }
  const handle = shape("g", { class: "handle", tabindex: "0", role: "slider", "aria-label": "dial", "aria-valuemin": POWER[0], "aria-valuemax": POWER[1] },
    shape("circle", { class: "ring", r: 13 }), shape("circle", { class: "core", r: 4 }));
  px.marks.append(handle);

  function point(event) {
    const box = svg.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * W, y = ((event.clientY - box.top) / box.height) * H;
    const power = POWER[0] + ((x - LEFT) / (W - LEFT - RIGHT)) * (POWER[1] - POWER[0]), tilt = TILT[0] + ((H - BOTTOM - y) / (H - TOP - BOTTOM)) * (TILT[1] - TILT[0]);
    // A named rule is caught when the point comes near it.
    const near = marks.find((m) => Math.hypot(px.across(m.dial.power) - x, px.up(m.dial.tilt) - y) < 9);
    turn(near ? near.dial : { ...free, power: clamp(+power.toFixed(2), POWER), tilt: clamp(+tilt.toFixed(2), TILT) });
  }
  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    point(event);
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => {
    if (svg.hasPointerCapture(event.pointerId)) point(event);
  });
  handle.addEventListener("keydown", (event) => {
    const by = event.shiftKey ? 0.25 : 0.05;
    const [dx, dy] = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, by], ArrowDown: [0, -by] }[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    step(dx, dy);
  });

  // The point, where this rule is; name: what it is called, if anything.
  function place(dial, name) {
    handle.setAttribute("transform", `translate(${px.across(clamp(dial.power, POWER))} ${px.up(clamp(dial.tilt, TILT))})`);
    handle.setAttribute("aria-valuenow", dial.power);
    handle.setAttribute("aria-valuetext", `power ${number(dial.power)}, tilt ${number(dial.tilt)}${name ? `, ${name}` : ""}`);
  }

  // How much of the update each rule of the plane spends on the three hardest bands, with these groups.
  function shade(groups) {
    const G = groups[0].length - 1;
    const found = cells.map(([, dial]) => {
      const table = law.gains(G, dial), by = groups.map((row) => row.reduce((s, w, k) => s + w * table[k], 0));
      const all = by.reduce((a, b) => a + b, 0);
      return all > 0 ? (by[0] + by[1] + by[2]) / all : 0;
    });
    const low = Math.min(...found), high = Math.max(...found);
    found.forEach((v, i) => cells[i][0].setAttribute("fill-opacity", high > low ? (0.04 + (0.5 * (v - low)) / (high - low)).toFixed(3) : 0.04));
    byId("heat").textContent = `, from ${percent(low, 0)} to ${percent(high, 0)}`;
  }

  return { place, shade };
};
