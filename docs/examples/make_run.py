"""The made-up run of docs/logs.md, as verl would write it: python docs/examples/make_run.py."""

import json
from pathlib import Path

import numpy as np

PROMPTS, BATCH, G, STEPS = 48, 24, 8, 8


def main() -> None:
    rng = np.random.default_rng(7)
    odds = rng.normal(-0.5, 2.5, PROMPTS)
    order = np.concatenate([rng.permutation(PROMPTS) for _ in range(STEPS * BATCH // PROMPTS)])
    folder = Path(__file__).parent / "run"
    folder.mkdir(exist_ok=True)
    for step in range(1, STEPS + 1):
        rows = [
            row(step, prompt, bool(score))
            for prompt in order[(step - 1) * BATCH : step * BATCH].tolist()
            for score in rng.random(G) < 1 / (1 + np.exp(-odds[prompt]))
        ]
        odds += 0.1
        text = "".join(json.dumps(one) + "\n" for one in rows)
        (folder / f"{step}.jsonl").write_text(text)


def row(step: int, prompt: int, right: bool) -> dict[str, object]:
    answer = str(2 * prompt) if right else "?"
    return {
        "input": f"{prompt} + {prompt} =",
        "output": answer,
        "gts": str(2 * prompt),
        "score": float(right),
        "step": step,
    }


if __name__ == "__main__":
    main()
