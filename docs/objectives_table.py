"""Print what sampling rules weigh by solve rate, and their tries, for docs/objectives.md."""

import numpy as np

from groupsigma.experiments.objectives import WEIGHTS, relative, tries

P = np.array([0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98])


def printed(title: str, cells: dict[str, np.ndarray], form: str) -> None:
    """One table, a rule a line."""
    print(f"{title:<31}" + "".join(f"{p:>7g}" for p in P))
    for name, row in cells.items():
        print(f"{name:<31}" + "".join(f"{x:>7{form}}" for x in row))


printed("F'(p)/F'(.5) at p =", {name: relative(name, P) for name in WEIGHTS}, ".2f")
limits = {
    "limit 1 (Dr. GRPO)": np.ones_like(P),
    "limit 1/√(p(1−p)) (GRPO)": 0.5 / np.sqrt(P * (1 - P)),
    "limit 1/(p(1−p)) (log-odds)": 0.25 / (P * (1 - P)),
}
printed("without end in G", limits, ".2f")
print()
printed("answers to a prompt of p =", {name: tries(name, P) for name in WEIGHTS}, ".1f")
