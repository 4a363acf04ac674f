"use strict";
// The dial in your hand: power, tilt, which groups are kept, G; and all that moves with them.
if (document.getElementById("dial-data")) (() => {
  const { percent, number, fixed, element, shape, byId } = words;
  const data = words.data("dial-data"), { crowd, sizes, marks } = data;
  const yours = marks.find((mark) => mark.yours);
  const free = { center: "mean", spread: "group", ddof: 0, eps: 0 };
  const state = { dial: yours.dial, at: sizes.findIndex((s) => s.G === data.group_size), keep: data.keep === "mixed" };
  const start = { ...state };
  const POWER = [-3.2, 2.4], TILT = [-0.9, 1.8];
  const clamp = (v, [low, high]) => Math.min(high, Math.max(low, v));

  // The crowd's groups at each size, computed when first asked for.
  const cache = new Map();
  const groupsAt = (G) => {
    if (!cache.has(G)) cache.set(G, law.groupsOf(crowd, G));
    return cache.get(G);
  };
  const shares = (dial, G) => law.bands(crowd, groupsAt(G), dial);
  const same = (a, b) => ["power", "tilt", "center", "spread", "ddof", "eps"].every((key) => a[key] === b[key]);
  const named = (dial) => marks.find((mark) => same(mark.dial, dial));
  const ghosts = marks.filter((mark) => ["grpo", "dr-grpo", "maxrl"].includes(mark.name));
  const nameOf = (dial) => named(dial)?.text ?? `power ${number(dial.power)}, tilt ${number(dial.tilt)}`;

  function formula(dial) {
    const known = named(dial);
    if (known) return known.dial.formula;
    let text = dial.power === 0 && dial.tilt === 0 ? "R − μ" : "(R − μ)";
    if (dial.power) text += dial.power === 1 ? " / σ" : dial.power > 0 ? ` / σ^${+dial.power.toFixed(2)}` : ` · σ^${+(-dial.power).toFixed(2)}`;
    return dial.tilt ? `${text} · (μ/(1−μ))^${+(-dial.tilt).toFixed(2)}` : text;
  }

  // ---- the plane
  const W = 440, H = 330, plane = byId("plane");
  const px = plot.axes(plane, {
    width: W, height: H, left: 50, right: 10, top: 10, bottom: 42,
    x: { title: "power: how far to divide by σ", ticks: [-3, -2, -1, 0, 1, 2], of: plot.linear(...POWER), text: (t) => String(t).replace("-", "−") },
    y: { title: "tilt: towards hard problems", ticks: [-0.5, 0, 0.5, 1, 1.5], of: plot.linear(...TILT), text: (t) => String(t).replace("-", "−") },
  });
  const heat = shape("g", { class: "heat" });
  const COLUMNS = 28, ROWS = 18;
  const cells = [];
  for (let i = 0; i < COLUMNS; i++)
    for (let j = 0; j < ROWS; j++) {
      const a = POWER[0] + ((POWER[1] - POWER[0]) * (i + 0.5)) / COLUMNS, t = TILT[0] + ((TILT[1] - TILT[0]) * (j + 0.5)) / ROWS;
      const w = (W - 60) / COLUMNS, h = (H - 52) / ROWS;
      const cell = shape("rect", { x: px.across(a) - w / 2, y: px.up(t) - h / 2, width: w, height: h });
      cells.push([cell, { ...free, power: a, tilt: t }]);
      heat.append(cell);
    }
  plane.prepend(heat);
  px.marks.append(plot.line([-1, 0, 1, 2, 3].map((i) => [px.across(-i), px.up(i / 2)]), { class: "family" }));
  const places = { grpo: [9, 15, "start"], "dr-grpo": [-9, 17, "end"], rloo: [-9, 31, "end"], maxrl: [9, -8, "start"], logit: [0, 19, "middle"], "pass@2": [10, 4, "start"], "pass@4": [10, 4, "start"] };
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
    const box = plane.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * W, y = ((event.clientY - box.top) / box.height) * H;
    const power = POWER[0] + ((x - 50) / (W - 60)) * (POWER[1] - POWER[0]), tilt = TILT[0] + ((H - 42 - y) / (H - 52)) * (TILT[1] - TILT[0]);
    // A named rule is caught when the point comes near it.
    const near = marks.find((m) => Math.hypot(px.across(m.dial.power) - x, px.up(m.dial.tilt) - y) < 9);
    turn(near ? near.dial : { ...free, power: clamp(+power.toFixed(2), POWER), tilt: clamp(+tilt.toFixed(2), TILT) });
  }
  plane.addEventListener("pointerdown", (event) => {
    plane.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    point(event);
    event.preventDefault();
  });
  plane.addEventListener("pointermove", (event) => {
    if (plane.hasPointerCapture(event.pointerId)) point(event);
  });
  handle.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.25 : 0.05;
    const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    move(state.dial.power + dx, state.dial.tilt + dy);
  });

  // ---- the controls
  const move = (power, tilt) => {
    const dial = { ...free, power: clamp(+power.toFixed(4), POWER), tilt: clamp(+tilt.toFixed(4), TILT) };
    const there = marks.find((m) => Math.abs(m.dial.power - dial.power) < 1e-6 && Math.abs(m.dial.tilt - dial.tilt) < 1e-6);
    turn(there ? there.dial : dial);
  };
  const chips = marks.map((mark) => {
    const chip = element("button", { type: "button", "aria-pressed": "false" }, mark.text + (mark.yours ? " · yours" : ""));
    chip.addEventListener("click", () => turn(mark.dial));
    byId("marks").append(chip);
    return [chip, mark];
  });
  byId("power").addEventListener("input", (e) => move(+e.target.value, state.dial.tilt));
  byId("tilt").addEventListener("input", (e) => move(state.dial.power, +e.target.value));
  byId("size").max = sizes.length - 1;
  byId("size").addEventListener("input", (e) => ((state.at = +e.target.value), show()));
  byId("keep").addEventListener("change", (e) => ((state.keep = e.target.checked), show()));
  byId("price").addEventListener("input", show);
  if (data.price !== null) byId("price").value = data.price;
  function turn(dial) {
    state.dial = dial;
    show();
  }

  // ---- what is shown
  const reading = (id, name, value, note) =>
    element("div", { id }, element("dt", {}, name), element("dd", {}, element("b", {}, value), element("small", {}, note)));

  // What an update of so many prompts costs and brings.
  function update(at, keep) {
    const { G, silent } = sizes[at], B = data.batch, mixed = 1 - silent;
    const rollouts = keep ? (B * G) / mixed : B * G;
    return { rollouts, mixed: keep ? B : B * mixed, each: G / mixed, G };
  }

  function beforeAfter() {
    const price = byId("price").value === "" ? null : Math.max(0, +byId("price").value);
    const rows = [["before", start], ["now", state]].map(([name, s]) => {
      const u = update(s.at, s.keep), whole = (x, digits) => (isFinite(x) ? fixed(x, digits) : "without end");
      const cells = [name, `${nameOf(s.dial)}, G = ${u.G}${s.keep ? ", silent replaced" : ""}`, whole(u.rollouts, 0), whole(u.mixed, 1), whole(u.each, 2)];
      if (price !== null) cells.push(whole((price * u.rollouts) / 1000, 2), whole(price * u.each, 2));
      return element("tr", {}, ...cells.map((text, i) => element(i ? "td" : "th", i ? {} : { scope: "row" }, text)));
    });
    const heads = ["", "rule", `rollouts an update of ${data.batch} prompts`, "mixed groups in it", "rollouts a mixed group"];
    if (price !== null) heads.push("cost an update", "cost of 1,000 mixed groups");
    byId("before").replaceChildren(
      element("caption", {}, "What it costs, expected over these problems"),
      element("thead", {}, element("tr", {}, ...heads.map((h) => element("th", { scope: "col" }, h)))),
      element("tbody", {}, ...rows),
    );
  }

  // For each rule at hand: its shares by band at this G.
  function columns(G) {
    const now = { name: "now", text: nameOf(state.dial), color: null, found: shares(state.dial, G) };
    const others = [yours, ...ghosts].filter((m, i, all) => all.indexOf(m) === i);
    return [now, ...others.map((m) => ({ name: m.name, text: m.text, color: m.color, found: shares(m.dial, G) }))];
  }

  function drawShares(rules) {
    const now = rules[0].found.bands, top = Math.max(...rules.flatMap((r) => r.found.bands.map((b) => b.gradient)), ...now.map((b) => b.problems));
    const svg = byId("shares"), line = 34, height = 7 * line + 44, left = 62, right = 58;
    const [end, step] = [[0.1, 0.02], [0.2, 0.05], [0.3, 0.1], [0.4, 0.1], [0.5, 0.1], [0.6, 0.2], [0.8, 0.2]].find(([e]) => e >= top) ?? [1, 0.2];
    const ticks = Array.from({ length: Math.round(end / step) + 1 }, (_, i) => i * step);
    const { across, marks: layer, width } = plot.axes(svg, {
      height, left, right, top: 4, bottom: 40,
      x: { title: `share (n = ${fixed(data.problems, 0)} problems)`, ticks, of: plot.linear(0, end), text: (t) => percent(t, 0) },
      y: { title: "solved, as logged", ticks: [], of: plot.linear(0, 1), text: String },
    });
    crowd.bands.forEach((name, b) => {
      const y = 4 + b * line;
      layer.append(
        shape("rect", { class: "crowd", x: left, y: y + 4, width: across(now[b].problems) - left, height: line - 8 }),
        shape("rect", { class: "now", x: left, y: y + 10, width: Math.max(0, across(now[b].gradient) - left), height: line - 20 }),
        plot.label(left - 8, y + line / 2 + 4, name, { "text-anchor": "end", class: "band" }),
        plot.label(width - right + 52, y + line / 2 + 4, percent(now[b].gradient), { "text-anchor": "end", class: "value", id: `share-${b}` }),
      );
      for (const rule of rules.slice(1)) {
        const x = across(rule.found.bands[b].gradient);
        layer.append(shape("line", { class: "ghost", x1: x, x2: x, y1: y + 3, y2: y + line - 3, ...(rule.color ? { style: `stroke:${rule.color}` } : {}) }));
      }
    });
    byId("key").replaceChildren(
      element("span", {}, element("i", { class: "swatch now" }), `now: ${rules[0].text}`),
      ...rules.slice(1).map((r) => element("span", {}, element("i", { class: "swatch tick", ...(r.color ? { style: `background:${r.color}` } : {}) }), r.text)),
      element("span", {}, element("i", { class: "swatch crowd" }), "share of the problems"),
    );
  }

  function drawSilent() {
    const svg = byId("silent"), last = sizes[sizes.length - 1].G, top = Math.max(...sizes.map((s) => s.high ?? s.silent)) > 0.5 ? 1 : 0.5;
    const powers = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].filter((g) => g <= last);
    const { across, up, marks: layer } = plot.axes(svg, {
      height: 270,
      x: { title: "group size G", ticks: powers, of: plot.log(2, last), text: String },
      y: { title: "silent share of groups", ticks: [0, 0.25, 0.5, 0.75, 1].map((t) => t * top), of: plot.linear(0, top), text: (t) => percent(t, 0) },
    });
    const known = sizes.filter((s) => s.low !== null && s.high !== null);
    if (known.length > 1) layer.append(plot.area(known.map((s) => [across(s.G), up(s.high)]), known.map((s) => [across(s.G), up(s.low)]), { class: "between" }));
    else for (const s of known) layer.append(shape("line", { class: "reach", x1: across(s.G), x2: across(s.G), y1: up(s.low), y2: up(s.high) }));
    const here = sizes[state.at];
    layer.append(
      plot.line(sizes.map((s) => [across(s.G), up(s.silent)]), { class: "main" }),
      shape("line", { class: "cursor", x1: across(here.G), x2: across(here.G), y1: up(0), y2: up(top) }),
      shape("circle", { class: "here", cx: across(here.G), cy: up(here.silent), r: 5.5 }),
      plot.label(across(here.G) + (here.G > 40 ? -9 : 9), up(here.silent) - 10, `G = ${here.G}: ${percent(here.silent)}`, { class: "value", "text-anchor": here.G > 40 ? "end" : "start" }),
    );
    const how = { unbiased: "unbiased, from the answers logged", estimated: "estimated from the fitted spread of solve rates", "plug-in": "at the rates given" };
    const methods = [...new Set(sizes.map((s) => s.method))].map((m) => {
      const at = sizes.filter((s) => s.method === m).map((s) => s.G);
      return sizes.every((s) => s.method === m) ? how[m] : `G = ${at[0]}–${at[at.length - 1]}: ${how[m]}`;
    });
    byId("silent-key").textContent = `${methods.join("; ")}${known.length ? "; band: 95% interval" : ""}.`;
  }

  const steps = Array.from({ length: 81 }, (_, i) => Math.sin((i / 80) * (Math.PI / 2)) ** 2);
  function drawCurves(G, rules) {
    const dials = [{ dial: state.dial, text: rules[0].text, class: "main" }, ...ghosts.filter((m) => !same(m.dial, state.dial)).map((m) => ({ ...m, class: "ghost" }))];
    const x = { title: "solve rate p", ticks: [0, 0.2, 0.4, 0.6, 0.8, 1], of: plot.linear(0, 1), text: String };
    const curves = dials.map((d) => {
      const risen = steps.map((p) => law.objective(p, G, d.dial)), whole = risen[80] - risen[0];
      return { ...d, risen: risen.map((v) => (v - risen[0]) / whole), weight: steps.map((p) => law.weight(p, G, d.dial) / whole) };
    });
    const draw = (id, key, y) => {
      const { across, up, marks: layer } = plot.axes(byId(id), { height: 270, x, y });
      for (const c of curves.slice().reverse()) {
        const points = steps.map((p, i) => [across(p), up(Math.min(c[key][i], y.top * 1.02))]);
        layer.append(plot.line(points, { class: c.class, ...(c.class === "ghost" && c.color ? { style: `stroke:${c.color}` } : {}) }));
      }
      // Each name stands where its curve is farthest from the others and from the names that stand already.
      const taken = [], height = (c, i) => up(Math.min(c[key][i], y.top));
      for (const c of curves) {
        const others = curves.filter((o) => steps.some((_, i) => Math.abs(height(o, i) - height(c, i)) > 3));
        let best = null;
        for (let i = 14; i <= 62; i += 2) {
          const at = [across(steps[i]), height(c, i)];
          const apart = Math.min(30, ...others.map((o) => Math.abs(height(o, i) - at[1])));
          const room = Math.min(30, ...taken.map(([tx, ty]) => Math.max(Math.abs(tx - at[0]) - 40, Math.abs(ty - at[1]) - 2)));
          if (!best || apart + room > best.worth + 0.5) best = { at, worth: apart + room, i };
        }
        const [tx, ty] = best.at, above = others.every((o) => height(o, best.i) >= ty - 1);
        taken.push([tx, ty]);
        layer.append(plot.label(tx, ty + (above ? -8 : 18), c.text, { "text-anchor": "middle", class: `name${c.class === "main" ? " yours" : ""}`, ...(c.color && c.class === "ghost" ? { style: `fill:${c.color}` } : {}) }));
      }
    };
    const most = Math.min(8, Math.max(2, ...curves.map((c) => Math.max(...c.weight.slice(8, 73)))));
    const top = [2, 3, 4, 6, 8].find((t) => t >= most) ?? 8;
    draw("objective", "risen", { title: "objective, 0 to 1", ticks: x.ticks, of: plot.linear(0, 1), text: String, top: 1 });
    draw("slope", "weight", { title: "weight of dp, mean 1", ticks: Array.from({ length: top + 1 }, (_, i) => i), of: plot.linear(0, top), text: String, top });
    const limit = marks.find((m) => m.limit && m.dial.power === state.dial.power && m.dial.tilt === state.dial.tilt)?.limit;
    const ends = law.exponents(state.dial).map((e) => +e.toFixed(3));
    byId("objective-key").textContent = `At G = ${G}, exact, scaled to run from 0 to 1. At large G: ${limit ?? `∫ p^−a (1−p)^−b with a = ${ends[0]}, b = ${ends[1]}`.replaceAll("^−-", "^")}.`;
  }

  function drawNumbers(rules, G) {
    const now = rules[0].found.bands;
    const heads = ["solved", "problems", "silent", "kept groups", ...rules.map((r, i) => (i ? r.text : `now: ${r.text}`)), "fidelity"];
    byId("numbers").replaceChildren(
      element("caption", {}, `Where the update goes at G = ${G}: shares by rule; fidelity of the rule as it is now`),
      element("thead", {}, element("tr", {}, ...heads.map((h) => element("th", { scope: "col" }, h)))),
      element("tbody", {}, ...crowd.bands.map((name, b) => {
        const band = now[b], held = (v) => (band.problems > 0 ? percent(v) : "–");
        const cells = [percent(band.problems), percent(band.silent), held(band.kept), ...rules.map((r) => held(r.found.bands[b].gradient)), percent(band.fidelity)];
        return element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((text) => element("td", {}, text)));
      })),
    );
  }

  function drawHeat(G) {
    const groups = groupsAt(G);
    const found = cells.map(([, dial]) => {
      const table = law.gains(G, dial), by = groups.map((row) => row.reduce((s, w, k) => s + w * table[k], 0));
      const all = by.reduce((a, b) => a + b, 0);
      return all > 0 ? (by[0] + by[1] + by[2]) / all : 0;
    });
    const low = Math.min(...found), high = Math.max(...found);
    found.forEach((v, i) => cells[i][0].setAttribute("fill-opacity", high > low ? (0.04 + (0.5 * (v - low)) / (high - low)).toFixed(3) : 0.04));
    byId("heat").textContent = `, from ${percent(low, 0)} to ${percent(high, 0)}`;
  }
  let heated = null;

  function show() {
    const size = sizes[state.at], G = size.G, { dial } = state;
    const rules = columns(G), now = rules[0].found;
    handle.setAttribute("transform", `translate(${px.across(clamp(dial.power, POWER))} ${px.up(clamp(dial.tilt, TILT))})`);
    handle.setAttribute("aria-valuenow", dial.power);
    handle.setAttribute("aria-valuetext", `power ${number(dial.power)}, tilt ${number(dial.tilt)}${named(dial) ? `, ${named(dial).text}` : ""}`);
    chips.forEach(([chip, mark]) => chip.setAttribute("aria-pressed", String(same(mark.dial, dial))));
    byId("power").value = dial.power;
    byId("tilt").value = dial.tilt;
    byId("size").value = state.at;
    byId("size").setAttribute("aria-valuetext", `G = ${G}`);
    byId("keep").checked = state.keep;
    byId("power-told").textContent = number(dial.power);
    byId("tilt-told").textContent = number(dial.tilt);
    byId("size-told").textContent = String(G);
    byId("rule").textContent = `A = ${formula(dial)}${state.keep ? ", silent groups replaced" : ""}`;
    const mixed = 1 - size.silent, between = size.low === null ? size.method : `${percent(size.low)} to ${percent(size.high)}, ${size.method}`;
    byId("readings").replaceChildren(
      reading("silent-share", "silent groups", percent(size.silent), between),
      reading("mixed-groups", "mixed groups per 1,000 rollouts", number((1000 * mixed) / G), `${percent(size.all_wrong)} all wrong, ${percent(size.all_right)} all right`),
      reading("fidelity", "fidelity", percent(now.fidelity), "of the large-G update realised"),
      reading("draws", "groups drawn for each kept", mixed > 0 ? number(1 / mixed) : "without end", state.keep ? "DAPO: silent ones are replaced" : "if silent ones were replaced"),
    );
    if (heated !== G) drawHeat((heated = G));
    drawShares(rules);
    beforeAfter();
    drawSilent();
    drawCurves(G, rules);
    drawNumbers(rules, G);
    byId("told").textContent = `${nameOf(dial)}, G = ${G}: ${percent(size.silent)} silent, fidelity ${percent(now.fidelity)}`;
  }

  byId("dial").hidden = false;
  addEventListener("resize", show);
  show();
})();
