"use strict";
// What moves with the dial, drawn: each view is handed what is shown now and keeps nothing.
// now: {size, G, dial, keep, rules}; rules: the rule as it is, then those it is held against, with their shares by band.
const views = (() => {
  const { percent, number, fixed, element, shape, byId } = words;
  const inked = (name, rule) => (rule.color ? { style: `${name}:${rule.color}` } : {});

  const reading = (id, name, value, note) =>
    element("div", { id }, element("dt", {}, name), element("dd", {}, element("b", {}, value), element("small", {}, note)));

  function readings({ size, G, keep, rules }) {
    const mixed = 1 - size.silent, between = size.low === null ? size.method : `${percent(size.low)} to ${percent(size.high)}, ${size.method}`;
    byId("readings").replaceChildren(
      reading("silent-share", "silent groups", percent(size.silent), between),
      reading("mixed-groups", "mixed groups per 1,000 rollouts", number((1000 * mixed) / G), `${percent(size.all_wrong)} all wrong, ${percent(size.all_right)} all right`),
      reading("fidelity", "fidelity", percent(rules[0].found.fidelity), "of the large-G update realised"),
      reading("draws", "groups drawn for each kept", mixed > 0 ? number(1 / mixed) : "without end", keep ? "DAPO: silent ones are replaced" : "if silent ones were replaced"),
    );
  }

  // What an update of so many prompts costs and brings.
  function update({ G, silent }, keep, B) {
    const mixed = 1 - silent;
    const rollouts = keep ? (B * G) / mixed : B * G;
    return { rollouts, mixed: keep ? B : B * mixed, each: G / mixed };
  }

  // settings: [name, {text, size, keep}] of each line; price: of 1,000 rollouts, or null.
  function costs(settings, batch, price) {
    const rows = settings.map(([name, { text, size, keep }]) => {
      const u = update(size, keep, batch), whole = (x, digits) => (isFinite(x) ? fixed(x, digits) : "without end");
      const cells = [name, `${text}, G = ${size.G}${keep ? ", silent replaced" : ""}`, whole(u.rollouts, 0), whole(u.mixed, 1), whole(u.each, 2)];
      if (price !== null) cells.push(whole((price * u.rollouts) / 1000, 2), whole(price * u.each, 2));
      return element("tr", {}, ...cells.map((text, i) => element(i ? "td" : "th", i ? {} : { scope: "row" }, text)));
    });
    const heads = ["", "rule", `rollouts an update of ${batch} prompts`, "mixed groups in it", "rollouts a mixed group"];
    if (price !== null) heads.push("cost an update", "cost of 1,000 mixed groups");
    byId("before").replaceChildren(
      element("caption", {}, "What it costs, expected over these problems"),
      element("thead", {}, element("tr", {}, ...heads.map((h) => element("th", { scope: "col" }, h)))),
      element("tbody", {}, ...rows),
    );
  }

  function shares({ rules }, bands, counted) {
    const now = rules[0].found.bands, top = Math.max(...rules.flatMap((r) => r.found.bands.map((b) => b.gradient)), ...now.map((b) => b.problems));
    const svg = byId("shares"), line = 34, height = 7 * line + 44, left = 62, right = 58;
    const [end, step] = [[0.1, 0.02], [0.2, 0.05], [0.3, 0.1], [0.4, 0.1], [0.5, 0.1], [0.6, 0.2], [0.8, 0.2]].find(([e]) => e >= top) ?? [1, 0.2];
    const ticks = Array.from({ length: Math.round(end / step) + 1 }, (_, i) => i * step);
    const { across, marks: layer, width } = plot.axes(svg, {
      height, left, right, top: 4, bottom: 40,
      x: { title: `share (n = ${counted})`, ticks, of: plot.linear(0, end), text: (t) => percent(t, 0) },
      y: { title: "solved, as logged", ticks: [], of: plot.linear(0, 1), text: String },
    });
    bands.forEach((name, b) => {
      const y = 4 + b * line;
      layer.append(
        shape("rect", { class: "crowd", x: left, y: y + 4, width: across(now[b].problems) - left, height: line - 8 }),
        shape("rect", { class: "now", x: left, y: y + 10, width: Math.max(0, across(now[b].gradient) - left), height: line - 20 }),
        plot.label(left - 8, y + line / 2 + 4, name, { "text-anchor": "end", class: "band" }),
        plot.label(width - right + 52, y + line / 2 + 4, percent(now[b].gradient), { "text-anchor": "end", class: "value", id: `share-${b}` }),
      );
      for (const rule of rules.slice(1)) {
        const x = across(rule.found.bands[b].gradient);
        layer.append(shape("line", { class: "ghost", x1: x, x2: x, y1: y + 3, y2: y + line - 3, ...inked("stroke", rule) }));
      }
    });
    byId("key").replaceChildren(
      element("span", {}, element("i", { class: "swatch now" }), `now: ${rules[0].text}`),
      ...rules.slice(1).map((r) => element("span", {}, element("i", { class: "swatch tick", ...inked("background", r) }), r.text)),
      element("span", {}, element("i", { class: "swatch crowd" }), "share of the problems"),
    );
  }

  function silent({ size: here }, sizes) {
    const svg = byId("silent"), last = sizes[sizes.length - 1].G, top = Math.max(...sizes.map((s) => s.high ?? s.silent)) > 0.5 ? 1 : 0.5;
    const powers = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].filter((g) => g <= last);
    const { across, up, marks: layer } = plot.axes(svg, {
      height: 270,
      x: { title: "group size G", ticks: powers, of: plot.log(2, last), text: String },
      y: { title: "silent share of groups", ticks: [0, 0.25, 0.5, 0.75, 1].map((t) => t * top), of: plot.linear(0, top), text: (t) => percent(t, 0) },
    });
    // An interval is not drawn over sizes between that have none.
    const runs = [[]];
    for (const s of sizes) s.low !== null && s.high !== null ? runs.at(-1).push(s) : runs.push([]);
    for (const run of runs) {
      if (run.length > 1) layer.append(plot.area(run.map((s) => [across(s.G), up(s.high)]), run.map((s) => [across(s.G), up(s.low)]), { class: "between" }));
      else for (const s of run) layer.append(shape("line", { class: "reach", x1: across(s.G), x2: across(s.G), y1: up(s.low), y2: up(s.high) }));
    }
    const known = runs.flat();
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
  // ghosts: other rules, with their colours; limit: what this one ascends at large G, where that has a name.
  function curves({ G, dial, rules }, ghosts, limit) {
    const dials = [{ dial, text: rules[0].text, class: "main" }, ...ghosts.map((m) => ({ ...m, class: "ghost" }))];
    const x = { title: "solve rate p", ticks: [0, 0.2, 0.4, 0.6, 0.8, 1], of: plot.linear(0, 1), text: String };
    const drawn = dials.map((d) => {
      const risen = steps.map((p) => law.objective(p, G, d.dial)), whole = risen[80] - risen[0];
      return { ...d, risen: risen.map((v) => (v - risen[0]) / whole), weight: steps.map((p) => law.weight(p, G, d.dial) / whole) };
    });
    const draw = (id, key, y) => {
      const { across, up, marks: layer } = plot.axes(byId(id), { height: 270, x, y });
      for (const c of drawn.slice().reverse()) {
        const points = steps.map((p, i) => [across(p), up(Math.min(c[key][i], y.top * 1.02))]);
        layer.append(plot.line(points, { class: c.class, ...inked("stroke", c) }));
      }
      // Each name stands where its curve is farthest from the others and from the names that stand already.
      const taken = [], height = (c, i) => up(Math.min(c[key][i], y.top));
      for (const c of drawn) {
        const others = drawn.filter((o) => steps.some((_, i) => Math.abs(height(o, i) - height(c, i)) > 3));
        let best = null;
        for (let i = 14; i <= 62; i += 2) {
          const at = [across(steps[i]), height(c, i)];
          const apart = Math.min(30, ...others.map((o) => Math.abs(height(o, i) - at[1])));
          const room = Math.min(30, ...taken.map(([tx, ty]) => Math.max(Math.abs(tx - at[0]) - 40, Math.abs(ty - at[1]) - 2)));
          if (!best || apart + room > best.worth + 0.5) best = { at, worth: apart + room, i };
        }
        const [tx, ty] = best.at, above = others.every((o) => height(o, best.i) >= ty - 1);
        taken.push([tx, ty]);
        layer.append(plot.label(tx, ty + (above ? -8 : 18), c.text, { "text-anchor": "middle", class: `name${c.class === "main" ? " yours" : ""}`, ...inked("fill", c) }));
      }
    };
    const most = Math.min(8, Math.max(2, ...drawn.map((c) => Math.max(...c.weight.slice(8, 73)))));
    const top = [2, 3, 4, 6, 8].find((t) => t >= most) ?? 8;
    draw("objective", "risen", { title: "objective, 0 to 1", ticks: x.ticks, of: plot.linear(0, 1), text: String, top: 1 });
    draw("slope", "weight", { title: "weight of dp, mean 1", ticks: Array.from({ length: top + 1 }, (_, i) => i), of: plot.linear(0, top), text: String, top });
    const ends = law.exponents(dial).map((e) => +e.toFixed(3));
    byId("objective-key").textContent = `At G = ${G}, exact, scaled to run from 0 to 1. At large G: ${limit ?? `∫ p^−a (1−p)^−b with a = ${ends[0]}, b = ${ends[1]}`.replaceAll("^−-", "^")}.`;
  }

  function numbers({ G, rules }, bands) {
    const now = rules[0].found.bands;
    const heads = ["solved", "problems", "silent", "kept groups", ...rules.map((r, i) => (i ? r.text : `now: ${r.text}`)), "fidelity"];
    byId("numbers").replaceChildren(
      element("caption", {}, `Where the update goes at G = ${G}: shares by rule; fidelity of the rule as it is now`),
      element("thead", {}, element("tr", {}, ...heads.map((h) => element("th", { scope: "col" }, h)))),
      element("tbody", {}, ...bands.map((name, b) => {
        const band = now[b], held = (v) => (band.problems > 0 ? percent(v) : "–");
        const cells = [percent(band.problems), percent(band.silent), held(band.kept), ...rules.map((r) => held(r.found.bands[b].gradient)), percent(band.fidelity)];
        return element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((text) => element("td", {}, text)));
      })),
    );
  }

  return { readings, costs, shares, silent, curves, numbers };
})();
