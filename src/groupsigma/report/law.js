"use strict";
// The closed forms of sigma.py and law.py, once more in float64: a dial is a table over k, k of G right,
// and everything shown is a mean of that table over k ~ Binomial(G, p). Held to the Python ones by tests/test_report.py.
const law = (() => {
  // (s + ε)^−α over the other answers; 1 where s is 0.
  const othersFactor = (k, n, dial) => {
    const std = Math.sqrt((k * (n - k)) / Math.max(n - dial.ddof, 1) / n);
    return std > 0 ? Math.pow(std + dial.eps, -dial.power) : 1;
  };

  // A₊ − A₋ on a mixed group, 0 on a silent one.
  function contrast(k, G, dial) {
    if (k <= 0 || k >= G) return 0;
    let [plus, minus] = { mean: [(G - k) / G, -k / G], loo: [(G - k) / (G - 1), -k / (G - 1)], none: [1, 0] }[dial.center];
    if (dial.spread === "group") {
      const std = Math.sqrt((k * (G - k)) / (G - dial.ddof) / G) + dial.eps;
      const factor = Math.exp(-dial.power * Math.log(std) - dial.tilt * (Math.log(k) - Math.log(G - k)));
      return (plus - minus) * factor;
    }
    const lean = Math.pow(k / (G - k), -dial.tilt);
    return (plus * othersFactor(k - 1, G - 1, dial) - minus * othersFactor(k, G - 1, dial)) * lean;
  }

  // gain(k, G) for k = 0 … G: the update is gain · Δs.
  const gains = (G, dial) => Float64Array.from({ length: G + 1 }, (_, k) => (contrast(k, G, dial) * k * (G - k)) / (G * G));

  // Binomial(G, p) weights of k = 0 … G, built outward from the peak and divided by their own sum.
  function binomial(G, p) {
    const w = new Float64Array(G + 1);
    if (p <= 0 || p >= 1) {
      w[p <= 0 ? 0 : G] = 1;
      return w;
    }
    const odds = p / (1 - p), peak = Math.min(G, Math.floor((G + 1) * p));
    let total = (w[peak] = 1);
    for (let k = peak; k < G && w[k] > 0; k++) total += w[k + 1] = (w[k] * (G - k) * odds) / (k + 1);
    for (let k = peak; k > 0 && w[k] > 0; k--) total += w[k - 1] = (w[k] * k) / ((G - k + 1) * odds);
    for (let k = 0; k <= G; k++) w[k] /= total;
    return w;
  }

  const mean = (weights, table) => {
    let sum = 0;
    for (let k = 0; k < weights.length; k++) sum += weights[k] * table[k];
    return sum;
  };

  const expectedGain = (p, G, dial) => mean(binomial(G, p), gains(G, dial));

  const exponents = (dial) => [dial.power / 2 + dial.tilt, dial.power / 2 - dial.tilt];

  // lim E[gain] as G → ∞.
  function limitGain(p, dial) {
    if (p <= 0 || p >= 1) return 0;
    const [a, b] = exponents(dial);
    if (!dial.eps) return Math.pow(p, 1 - a) * Math.pow(1 - p, 1 - b);
    const std = Math.sqrt(p * (1 - p)) + dial.eps;
    return p * (1 - p) * Math.pow(std, -dial.power) * Math.pow(p, -dial.tilt) * Math.pow(1 - p, dial.tilt);
  }

  // What groups of G put on dp: W_G(p) = (1 − 1/G) E[(A₊ − A₋)(j+1)], j ~ Binomial(G−2, p).
  function weight(p, G, dial) {
    const table = Float64Array.from({ length: G - 1 }, (_, j) => contrast(j + 1, G, dial));
    return (1 - 1 / G) * mean(binomial(G - 2, p), table);
  }

  // What groups of G ascend: ∫₀ᵖ W_G, a mean over Binomial(G−1, p).
  function objective(p, G, dial) {
    const table = new Float64Array(G);
    for (let j = 1; j < G; j++) table[j] = table[j - 1] + contrast(j, G, dial);
    return mean(binomial(G - 1, p), table) / G;
  }

  // The crowd's groups of G: share of all groups by band and by k. Then every dial is a sum over k.
  function groupsOf(crowd, G) {
    const counts = crowd.bands.map(() => new Float64Array(G + 1));
    crowd.p.forEach((p, j) => {
      const held = crowd.mass.map((row) => row[j]);
      if (!held.some((m) => m > 0)) return;
      const w = binomial(G, p);
      counts.forEach((row, b) => {
        if (held[b] > 0) for (let k = 0; k <= G; k++) row[k] += held[b] * w[k];
      });
    });
    return counts;
  }

  const sum = (row) => row.reduce((a, b) => a + b, 0);

  // By band: problems, silent groups among them, share of the mixed groups, and fidelity's two parts.
  function bands(crowd, groups, dial) {
    const table = gains(groups[0].length - 1, dial);
    const limit = crowd.p.map((p) => limitGain(p, dial));
    const rows = groups.map((row, b) => ({
      problems: sum(crowd.mass[b]),
      silent: row[0] + row[row.length - 1],
      mixed: sum(row.slice(1, -1)),
      gain: mean(row, table),
      limit: mean(crowd.mass[b], limit),
    }));
    const all = (key) => sum(rows.map((row) => row[key]));
    const ratio = (part, whole) => (whole > 0 ? part / whole : null);
    const mixed = all("mixed"), gain = all("gain");
    return {
      fidelity: ratio(gain, all("limit")),
      bands: rows.map((row) => ({
        problems: row.problems,
        silent: ratio(row.silent, row.problems),
        kept: ratio(row.mixed, mixed) ?? 0,
        gradient: ratio(row.gain, gain) ?? 0,
        fidelity: ratio(row.gain, row.limit),
      })),
    };
  }

  return { contrast, gains, binomial, expectedGain, limitGain, weight, objective, groupsOf, bands, exponents };
})();
