"""The controlled run, three methods, 6,000 prompts, 150 steps: ours against a plain NumPy loop.

    python benchmarks/dynamics.py

Same process, turn by turn. The plain loop is written as one would write it down: G uniform
numbers a group, summed; the gain from the formula; DAPO's silent groups drawn again up to four times. It
keeps what the paper's figures need (silent share measured and in closed form, two means, answers); ours
keeps the mass by tenth, its closed form and the energy besides. Writes DYNAMICS.md beside this file.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measure import compare

from groupsigma import DAPO, DR_GRPO, GRPO, simulate
from groupsigma.experiments.controlled import STEP_SIZE, STEPS, G, seeds, start

HERE = Path(__file__).parent
REPEATS = 15
DIALS = {"GRPO": GRPO, "Dr. GRPO": DR_GRPO, "DAPO": DAPO}


def plain(p0: Any, method: str, rng: np.random.Generator) -> dict[str, Any]:
    theta = np.log(p0 / (1 - p0))
    hard = p0 <= np.quantile(p0, 0.25)
    kept: dict[str, list[float]] = {"silent": [], "silent_predicted": [], "solve_rate": [], "hardest": []}
    answers = 0
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-theta))
        kept["solve_rate"].append(p.mean())
        kept["hardest"].append(p[hard].mean())
        kept["silent_predicted"].append(np.mean(p**G + (1 - p) ** G))
        k = (rng.random((len(p), G)) < p[:, None]).sum(axis=1)
        answers += G * len(p)
        silent = (k == 0) | (k == G)
        kept["silent"].append(silent.mean())
        if method == "DAPO":
            for _ in range(3):
                k[silent] = (rng.random((int(silent.sum()), G)) < p[silent][:, None]).sum(axis=1)
                answers += G * int(silent.sum())
                silent = (k == 0) | (k == G)
        gain = k * (G - k) / G**2 if method == "Dr. GRPO" else np.sqrt(k * (G - k)) / G
        theta = theta + STEP_SIZE * gain
    return {**kept, "final": 1 / (1 + np.exp(-theta)), "answers": answers}


def main() -> None:
    p0 = start(seeds()[0])

    def ours() -> list[Any]:
        return [simulate(p0, dial=dial, rng=np.random.default_rng(1)) for dial in DIALS.values()]

    def loop() -> list[Any]:
        return [plain(p0, method, np.random.default_rng(2)) for method in DIALS]

    pairs = {"all three": (ours, loop)}
    for method, dial in DIALS.items():
        pairs[method] = (
            lambda dial=dial: [simulate(p0, dial=dial, rng=np.random.default_rng(1))],
            lambda method=method: [plain(p0, method, np.random.default_rng(2))],
        )
    lines = [
        "# The controlled run: ours against a plain NumPy loop",
        "",
        "Written by `python benchmarks/dynamics.py`; do not edit. 6,000 prompts, 150 steps, G = 8; seconds, least,",
        f"median and largest of {REPEATS}, turn by turn in one process. End: solve rate of the hardest quartile, both.",
        "",
        "| run | ours | plain loop | ratio | end, ours | end, plain |",
        "|---|---|---|---|---|---|",
    ]
    for name, (mine, theirs) in pairs.items():
        a, b = compare(mine, theirs, repeats=REPEATS)
        ends = [
            ", ".join(f"{end:.4f}" for end in ([r.hardest[-1] for r in a.result])),
            ", ".join(f"{r['final'][p0 <= np.quantile(p0, 0.25)].mean():.4f}" for r in b.result),
        ]
        cells = [f"{min(t.seconds):.3f} / {median(t.seconds):.3f} / {max(t.seconds):.3f}" for t in (a, b)]
        ratio = median(b.seconds) / median(a.seconds)
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {ratio:.1f} | {ends[0]} | {ends[1]} |")
    (HERE / "DYNAMICS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
