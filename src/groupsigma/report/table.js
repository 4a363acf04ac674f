"use strict";
// The problems: sorted, filtered, and saved as a trainer reads them. Every cell is text.
if (document.getElementById("problems-data")) (() => {
  const { percent, fixed, element, shape, byId } = words;
  const data = words.data("problems-data"), PAGE = 100;
  const any = (key) => data.rows.some((row) => row[key] !== undefined && row[key] !== null);
  const rate = data.graded ? "mean reward" : "solve rate";
  const columns = [
    ["id", data.rows.some((row) => row.count !== 1) ? "row of the data" : "problem"], ["count", "stands for"], ["right", "right"], ["answers", "answers"], ["rate", rate], ["low", `${data.level}% interval`],
    ["silent", data.silent], ["update", data.update], ["tries", "tries"], ["weight", "weight"], ["why", "why"], ["history", "visits"],
  ].filter(([key]) => any(key) && (key !== "count" || data.rows.some((row) => row.count !== 1)));
  const order = { key: null, down: false };
  let shown = PAGE;

  const bound = (id, otherwise) => (byId(id).value === "" ? otherwise : +byId(id).value);
  function selection() {
    const text = byId("find").value.toLowerCase(), from = bound("from", -Infinity), to = bound("to", Infinity), most = bound("most", Infinity);
    const kept = data.rows.filter((row) => row.rate >= from && row.rate <= to && row.silent <= most && (!text || row.id.toLowerCase().includes(text)));
    if (!order.key) return kept;
    const value = (row) => (order.key === "history" ? row.history?.length ?? 0 : row[order.key] ?? "");
    const sign = order.down ? -1 : 1;
    return kept.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true }));
    });
  }

  function spark(values) {
    const w = 84, h = 20, x = (i) => (values.length > 1 ? 2 + (i / (values.length - 1)) * (w - 4) : w / 2);
    const [low, high] = data.graded ? [Math.min(...values), Math.max(...values)] : [0, 1];
    const y = (v) => h - 3 - ((v - low) / (high - low || 1)) * (h - 6);
    const told = values.map((v) => (data.graded ? v : percent(v, 0))).join(", ");
    return shape("svg", { class: "spark", viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": `by visit: ${told}` },
      plot.line(values.map((v, i) => [x(i), y(v)]), {}), shape("circle", { cx: x(values.length - 1), cy: y(values[values.length - 1]), r: 2.2 }));
  }

  function cell(row, key) {
    const value = row[key];
    if (key === "id") {
      const rest = row.letters > row.id.length ? element("small", {}, ` … ${fixed(row.letters, 0)} letters`) : "";
      return element("th", { scope: "row" }, element("bdi", { dir: "auto", title: row.id }, row.id), rest);
    }
    if (value === undefined || value === null) return element("td", {}, "–");
    if (key === "history") return element("td", {}, spark(value));
    if (key === "low") return element("td", {}, `${percent(row.low, 0)} to ${percent(row.high, 0)}`);
    const text = { rate: (v) => (data.graded ? fixed(v, 3) : percent(v)), silent: percent, weight: (v) => fixed(v, 2), update: (v) => fixed(v, 2), why: String }[key] ?? ((v) => fixed(v, 0));
    return element("td", key === "why" ? { class: "words" } : {}, text(value));
  }

  const body = element("tbody");
  const heads = columns.map(([key, name]) => {
    const button = element("button", { type: "button" }, name), head = element("th", { scope: "col", class: key === "id" || key === "why" ? "words" : "" }, button);
    button.addEventListener("click", () => {
      order.down = order.key === key ? !order.down : key !== "id";
      order.key = key;
      heads.forEach(([node, k]) => (k === key ? node.setAttribute("aria-sort", order.down ? "descending" : "ascending") : node.removeAttribute("aria-sort")));
      show();
    });
    return [head, key];
  });
  byId("rows").append(element("thead", {}, element("tr", {}, ...heads.map(([head]) => head))), body);

  function show() {
    const kept = selection();
    body.replaceChildren(...kept.slice(0, shown).map((row) => element("tr", {}, ...columns.map(([key]) => cell(row, key)))));
    byId("counted").textContent = `${fixed(kept.length, 0)} of ${fixed(data.rows.length, 0)}`;
    byId("more").hidden = kept.length <= shown;
  }

  // ---- saved: the ids whole, or where only their beginning is here, the hash that --no-text writes.
  const saved = (row) => {
    const out = { prompt_id: row.hash ? row.hash : row.id };
    for (const key of ["count", "right", "answers", "rate", "low", "high", "silent", "update", "tries", "weight", "why"])
      if (row[key] !== undefined && row[key] !== null) out[{ rate: data.graded ? "reward" : "solve_rate", right: "n_correct", answers: "n_rollouts" }[key] ?? key] = row[key];
    return out;
  };
  const quoted = (v) => (/[",\n\r]/.test(String(v)) ? `"${String(v).replaceAll('"', '""')}"` : String(v));
  function asCsv(rows) {
    const names = [...new Set(rows.flatMap(Object.keys))];
    return [names, ...rows.map((row) => names.map((name) => row[name] ?? ""))].map((line) => line.map(quoted).join(",")).join("\n") + "\n";
  }
  function save(name, text, kind) {
    const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: kind })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  byId("csv").addEventListener("click", () => save("problems.csv", asCsv(selection().map(saved)), "text/csv"));
  byId("jsonl").addEventListener("click", () => save("problems.jsonl", selection().map((row) => JSON.stringify(saved(row)) + "\n").join(""), "application/jsonl"));
  for (const id of ["find", "from", "to", "most"]) byId(id).addEventListener("input", () => ((shown = PAGE), show()));
  byId("more").addEventListener("click", () => ((shown += 500), show()));
  byId("which").textContent = data.rule;
  byId("problems").hidden = false;
  show();
})();
