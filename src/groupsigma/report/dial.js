"use strict";
// The dial in your hand: power, tilt, which groups are kept, G; and all that moves with them.
if (document.getElementById("dial-data")) (() => {
  const { percent, number, element, byId } = words;
  const data = words.data("dial-data"), { crowd, sizes, marks } = data;
  const yours = marks.find((mark) => mark.yours);
  const free = { center: "mean", spread: "group", ddof: 0, eps: 0 };
  const state = { dial: yours.dial, at: sizes.findIndex((s) => s.G === data.group_size), keep: data.keep === "mixed" };
  const start = { ...state };
  // The plane holds the named rules with some room, and yours.
  const around = (key, low, high) => [Math.min(low, yours.dial[key] - 0.4), Math.max(high, yours.dial[key] + 0.4)];
  const POWER = around("power", -3.2, 2.4), TILT = around("tilt", -0.9, 1.8);
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

  const move = (power, tilt) => {
    const dial = { ...free, power: clamp(+power.toFixed(4), POWER), tilt: clamp(+tilt.toFixed(4), TILT) };
    const there = marks.find((m) => Math.abs(m.dial.power - dial.power) < 1e-6 && Math.abs(m.dial.tilt - dial.tilt) < 1e-6);
    turn(there ? there.dial : dial);
  };
  const board = plane(marks, { power: POWER, tilt: TILT, free, clamp }, turn, (dx, dy) => move(state.dial.power + dx, state.dial.tilt + dy));
  const chips = marks.map((mark) => {
    const chip = element("button", { type: "button", "aria-pressed": "false" }, mark.text + (mark.yours ? " · yours" : ""));
    chip.addEventListener("click", () => turn(mark.dial));
    byId("marks").append(chip);
    return [chip, mark];
  });
  for (const [id, [low, high]] of [["power", POWER], ["tilt", TILT]]) Object.assign(byId(id), { min: low, max: high });
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

  // The rule as it is, yours, and the others it is held against, with their shares by band at this G.
  function rulesAt(G) {
    const now = { text: nameOf(state.dial), color: null, found: shares(state.dial, G) };
    const others = [yours, ...ghosts].filter((m, i, all) => all.indexOf(m) === i);
    return [now, ...others.map((m) => ({ text: m.text, color: m.color, found: shares(m.dial, G) }))];
  }

  let shaded = null;
  function show() {
    const size = sizes[state.at], G = size.G, { dial, keep } = state, now = { size, G, dial, keep, rules: rulesAt(G) };
    board.place(dial, named(dial)?.text);
    if (shaded !== G) board.shade(groupsAt((shaded = G)));
    chips.forEach(([chip, mark]) => chip.setAttribute("aria-pressed", String(same(mark.dial, dial))));
    for (const key of ["power", "tilt"]) {
      byId(key).value = dial[key];
      byId(`${key}-told`).textContent = number(dial[key]);
    }
    byId("size").value = state.at;
    byId("size").setAttribute("aria-valuetext", `G = ${G}`);
    byId("size-told").textContent = String(G);
    byId("keep").checked = keep;
    byId("rule").textContent = `A = ${formula(dial)}${keep ? ", silent groups replaced" : ""}`;
    const price = byId("price").value === "" ? null : Math.max(0, +byId("price").value);
    const setting = (s) => ({ text: nameOf(s.dial), size: sizes[s.at], keep: s.keep });
    const limit = marks.find((m) => m.limit && m.dial.power === dial.power && m.dial.tilt === dial.tilt)?.limit;
    views.readings(now);
    views.shares(now, crowd.bands, data.counted);
    views.costs([["before", setting(start)], ["now", setting(state)]], data.batch, price);
    views.silent(now, sizes);
    views.curves(now, ghosts.filter((m) => !same(m.dial, dial)), limit);
    views.numbers(now, crowd.bands);
    byId("told").textContent = `${nameOf(dial)}, G = ${G}: ${percent(size.silent)} silent, fidelity ${percent(now.rules[0].found.fidelity)}`;
  }

  byId("dial").hidden = false;
  addEventListener("resize", show);
  show();
})();
