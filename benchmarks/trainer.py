"""Time inside our code in a real TRL step of 1,024 answers, and memory, with stock TRL beside it.

    python benchmarks/trainer.py            # writes TRAINER.md beside this file

The Llama of 83,072 parameters that `reproduce lm --quick` teaches, untaught, on the CPU: a step of it takes a second or two,
of a model that people train minutes, so the share here is an upper bound.
"""

import gc
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
STEPS, ANSWERS, G = 8, 1024, 8


def one(kind: str) -> dict:
    """A run in this process: seconds of each step, and those spent in our own functions."""
    import numpy as np
    import trl
    from datasets import Dataset

    from groupsigma import DAPO, GRPO
    from groupsigma.experiments import addition
    from groupsigma.trainers import trl as ours

    rows = addition.problems(20_000, np.random.default_rng(0))
    spent = [0.0]

    def clocked(owner, name):
        """Add what a method takes, without what it hands on to TRL."""
        plain = getattr(owner, name)

        def run(*args, **kwargs):
            outer, started = spent[0], time.perf_counter()
            spent[0] = 0.0
            try:
                return plain(*args, **kwargs)
            finally:
                spent[0] = outer + time.perf_counter() - started

        setattr(owner, name, run)

    for name in ("_dial_in", "_visit", "_scored", "_foresee", "_one_entry", "_note"):
        clocked(ours.GRPOTrainer, name)
    for name in ("answers", "whole", "filled", "share"):
        clocked(ours, name)

    def reward(completions, **_):
        return [float("3" in text) for text in completions]

    with tempfile.TemporaryDirectory() as folder:
        args = trl.GRPOConfig(
            output_dir=folder, use_cpu=True, bf16=False, report_to=[], per_device_train_batch_size=128,
            gradient_accumulation_steps=ANSWERS // 128, num_generations=G, max_completion_length=8, max_steps=STEPS,
            logging_steps=1, save_strategy="no", disable_tqdm=True, seed=1,
        )  # fmt: skip
        kind_of = {"stock": {}, "GRPO": {"dial": GRPO}, "DAPO": {"dial": DAPO}}[kind]
        trainer = (trl.GRPOTrainer if kind == "stock" else ours.GRPOTrainer)(
            model=addition.new_model(addition.QUICK), reward_funcs=reward, args=args, train_dataset=Dataset.from_list(rows),
            processing_class=addition.new_tokenizer(), **kind_of,
        )  # fmt: skip
        gc.collect()
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    drawn = trainer.draws.drawn * G if kind == "DAPO" else STEPS * ANSWERS
    return {
        "kind": kind,
        "seconds": seconds / STEPS,
        "ours": spent[0] / STEPS,
        "answers": drawn / STEPS,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    lines = [
        "# Our part of a TRL step",
        "",
        f"`python benchmarks/trainer.py`, {platform.machine()}, {os.cpu_count()} cores, TRL 1.16, "
        f"{ANSWERS:,} answers a step, G = {G}, a Llama of 83,072 parameters; a process each, in turn.",
        "",
        "| trainer | answers sampled a step | seconds a step | inside our code | share | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for kind in ("stock", "GRPO", "DAPO", "stock", "GRPO", "DAPO"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", __file__, kind], capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        lines.append(
            f"| {kind} | {found['answers']:,.0f} | {found['seconds']:.2f} | {found['ours'] * 1e3:.1f} ms | "
            f"{found['ours'] / found['seconds']:.2%} | {found['memory']:,.0f} MiB |"
        )
    text = "\n".join(lines) + "\n"
    (HERE / "TRAINER.md").write_text(text)
    print(text)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(one(sys.argv[1])))
    else:
        main()
