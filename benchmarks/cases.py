"""The benchmarks: each a function that returns rows. `python cases.py NAME` prints them as JSON."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import peers
from measure import Row, compare, peak

import groupsigma as gs


def bigmath_rates() -> Any:
    """The solve rates of the 215,608 Big-Math problems, one by one, in a fixed random order."""
    groups = gs.load("bigmath")
    rates = np.repeat(groups.solve_rate, groups.count)
    return np.random.default_rng(1).permutation(rates)


def million_rates() -> Any:
    return np.random.default_rng(2).random(1_000_000)


def gain_bigmath() -> list[Row]:
    p, G = bigmath_rates(), 1024
    ours, scipy = compare(lambda: gs.expected_gain(p, G), lambda: peers.scipy_gain(p, G), repeats=9)
    apart = np.max(np.abs(ours.result - scipy.result))
    few = p[:20_000]
    ours_few, plain = compare(lambda: gs.expected_gain(few, G), lambda: peers.textbook_gain(few, G), repeats=(5, 3))
    lost, lost_later, lost_ours = (
        f"{np.mean(~np.isfinite(gains)):.1%}"
        for gains in (plain.result, peers.textbook_gain(few, G, sigma_first=True), ours_few.result)
    )
    return [
        Row(
            "expected_gain, 215,608 Big-Math rates, G = 1024",
            ours.seconds,
            against="scipy binom.pmf on the distinct rates",
            alternative=scipy.seconds,
            at_most=0.1,
            note=f"largest difference {apart:.0e}",
        ),
        Row(
            "expected_gain, 20,000 of them, G = 1024",
            ours_few.seconds,
            against="textbook formula, one broadcast",
            alternative=plain.seconds,
            note=f"NaN or inf: {lost} of the textbook's results multiplied from the left, "
            f"{lost_later} with √(k(G−k))/G first (which ends at G = 1029), {lost_ours} of ours",
        ),
    ]


def gain_million() -> list[Row]:
    p, G = million_rates(), 64
    ours, plain = compare(lambda: gs.expected_gain(p, G), lambda: peers.textbook_gain(p, G), repeats=(5, 3))
    apart = np.max(np.abs(ours.result - plain.result))
    return [
        Row(
            "expected_gain, 10⁶ distinct p, G = 64",
            ours.seconds,
            against="textbook formula, one broadcast",
            alternative=plain.seconds,
            at_most=1.0,
            note=f"largest difference {apart:.0e}",
        )
    ]


def memory() -> list[Row]:
    """Its own process: `peak` may only be called from one that has computed nothing."""
    few = "bigmath_rates()[:20_000], 1024)"
    return [
        Row(
            "expected_gain, 215,608 Big-Math rates, G = 1024: peak memory",
            peak("gs.expected_gain(bigmath_rates(), 1024)"),
            unit="MB",
            against="scipy binom.pmf on the distinct rates",
            alternative=peak("peers.scipy_gain(bigmath_rates(), 1024)"),
            at_most=200,
            note="above the interpreter with numpy and groupsigma; scipy's counts its own import",
        ),
        Row(
            "expected_gain, 20,000 of them, G = 1024: peak memory",
            peak(f"gs.expected_gain({few}"),
            unit="MB",
            against="textbook formula, one broadcast",
            alternative=peak(f"peers.textbook_gain({few}"),
            note="the textbook's grows with p × G",
        ),
        Row(
            "expected_gain, 10⁶ distinct p, G = 64: peak memory",
            peak("gs.expected_gain(million_rates(), 64)"),
            unit="MB",
            against="textbook formula, one broadcast",
            alternative=peak("peers.textbook_gain(million_rates(), 64)"),
            at_most=500,
        ),
    ]


def required_size() -> list[Row]:
    p, few = np.random.default_rng(3).uniform(0.001, 0.999, 10_000), 20
    ours, loop = compare(
        lambda: gs.required_group_size(p, 0.99),
        lambda: [peers.scipy_required_group_size(x, 0.99) for x in p[:few]],
        repeats=(5, 3),
    )
    same = int(np.sum(ours.result[:few] == loop.result))
    return [
        Row("required_group_size, 10⁴ p, fidelity .99", ours.seconds, at_most=1.0),
        Row(
            "required_group_size, one value",
            [1000 * s / len(p) for s in ours.seconds],
            unit="ms",
            against=f"trying every G with scipy binom.pmf, {few} of the p",
            alternative=[1000 * s / few for s in loop.seconds],
            note=f"{same} of {few} group sizes equal",
        ),
    ]


def dense() -> list[Row]:
    """10⁶ groups of 8 against the line that trainers write."""
    rng = np.random.default_rng(4)
    graded = rng.random((1_000_000, 8))
    binary = (rng.random(graded.shape) < rng.beta(0.3, 0.3, (len(graded), 1))).astype(np.float64)

    def plain_numpy(r: Any) -> Any:
        return (r - r.mean(-1, keepdims=True)) / (r.std(-1, keepdims=True) + 1e-6)

    def plain_torch(r: Any) -> Any:
        return (r - r.mean(-1, keepdim=True)) / (r.std(-1, keepdim=True) + 1e-6)

    libraries: dict[str, Any] = {"NumPy": (np.asarray, plain_numpy), "torch": None}
    if peers.version_of("torch"):
        import torch

        libraries["torch"] = (torch.from_numpy, plain_torch)
    rows = []
    for kind, rewards, factor in (("graded", graded, 1.0), ("0/1", binary, 2.0)):
        for dtype in (np.float64, np.float32):
            for library, functions in libraries.items():
                ours = plain = None
                if functions:
                    convert, line = functions
                    r = convert(rewards.astype(dtype))
                    ours, plain = partial(gs.advantages, r), partial(line, r)
                a, b = compare(ours, plain, repeats=9)
                rows.append(
                    Row(
                        f"advantages, 10⁶ groups of 8, {kind}, {library} {np.dtype(dtype).name}",
                        a.seconds,
                        against="(r − mean) / (std + 1e-6)",
                        alternative=b.seconds,
                        at_least=factor,
                    )
                )
    return rows


def ragged() -> list[Row]:
    """10⁶ rows in groups of 2 to 16, shuffled, against the functions that verl ships."""
    rng = np.random.default_rng(5)
    rows, sizes = 1_000_000, rng.integers(2, 17, 125_000)
    ids = np.repeat(np.arange(len(sizes)), sizes)[:rows]
    r = (rng.random(rows) < rng.beta(0.3, 0.3, len(sizes))[ids]).astype(np.float32)
    order = rng.permutation(rows)
    ids, r = ids[order], r[order]
    uids = np.array([str(uuid.UUID(bytes=rng.bytes(16))) for _ in sizes], dtype=object)[ids]
    n, k = np.bincount(ids), np.bincount(ids, r)
    mixed = ((k > 0) & (k < n))[ids]

    release = peers.version_of("verl") if peers.version_of("torch") else None
    rewards: Any = r
    if release:
        import torch

        rewards = torch.from_numpy(r)
        tokens = rewards[:, None]
        mask = torch.ones_like(tokens)

    found = []
    for labels, index in (("uid strings", uids), ("whole numbers", ids)):
        for estimator, times, target in (("grpo", 3, 20 if index is uids else None), ("grpo_vectorized", 7, None)):
            ours = partial(gs.advantages_by_prompt, rewards, index, gs.DIALS["verl"], weight="proportional")
            theirs = None
            if release:
                outcome = peers.verl_function(f"compute_{estimator}_outcome_advantage")
                theirs = partial(outcome, tokens, mask, index)
            a, b = compare(ours, theirs, repeats=(7, times))
            note = ""
            if theirs:
                apart = np.max(np.abs(np.asarray(a.result) - b.result[0][:, 0].numpy())[mixed])
                note = f"largest difference on mixed groups {apart:.0e}"
                assert apart <= 1e-5, note
                if index is ids and estimator == "grpo_vectorized":
                    note += "; it takes the numbers as group codes unread and works in float32, ours does neither"
            found.append(
                Row(
                    f"advantages_by_prompt, 10⁶ ragged rows, {labels}",
                    a.seconds,
                    against=f"verl {release or '0.9.1'} {estimator}",
                    alternative=b.seconds,
                    at_least=target,
                    note=note,
                )
            )
    return found


def audit_file() -> list[Row]:
    """Whole processes: 10⁵ groups of 8, each tool on the layout it reads."""
    rng = np.random.default_rng(6)
    right = (rng.random((100_000, 8)) < rng.beta(0.3, 0.3, (100_000, 1))).astype(int).tolist()
    release = peers.version_of("rlvr-audit")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        completions, groups = Path(folder) / "completions.jsonl", Path(folder) / "groups.jsonl"
        with completions.open("w") as file:
            for i, group in enumerate(right):
                file.writelines(f'{{"prompt_id": "problem-{i:06d}", "reward": {r}}}\n' for r in group)
        with groups.open("w") as file:
            file.writelines(f'{{"prompt_id": "problem-{i:06d}", "rewards": {g}}}\n' for i, g in enumerate(right))
        for form in ("json", "text"):
            command = ["rlvr-audit", "inspect", "--file", str(groups), "--G", "8", "--format", form]
            ours, theirs = compare(
                partial(run, "groupsigma", "audit", str(completions), "--json"),
                partial(run, *command) if release else None,
                repeats=(5, 3),
            )
            rows.append(
                Row(
                    "groupsigma audit FILE --json, 10⁵ groups of 8, whole process",
                    ours.seconds,
                    against=f"rlvr-audit {release or '0.1.0'} inspect --format {form}",
                    alternative=theirs.seconds,
                    at_least=15,
                )
            )
            if release and form == "json":
                a = json.loads(ours.result)["metrics"]["silent_logged"]
                b = json.loads(theirs.result)["advantage_collapse"]["frac_zero_variance_groups"]
                rows[-1].note = f"silent share {a:.5f} and {b:.5f}"
                assert abs(a - b) < 1e-9, rows[-1].note
    return rows


def startup() -> list[Row]:
    screen, help_ = compare(
        lambda: run("groupsigma", "audit", "bigmath"), lambda: run("groupsigma", "--help"), repeats=9
    )
    return [
        Row("groupsigma audit bigmath, whole process", screen.seconds, at_most=1.5),
        Row("groupsigma --help, whole process", help_.seconds, at_most=0.3),
    ]


def few_answers() -> list[Row]:
    """10⁶ problems with 1 to 64 answers each: the fitted spread, and the bounds for one G."""
    rng = np.random.default_rng(7)
    n = rng.integers(1, 65, 1_000_000)
    groups = gs.Groups(np.arange(len(n)), rng.binomial(n, rng.beta(0.5, 0.5, len(n))), n)
    eight = gs.Groups(np.arange(len(n)), rng.binomial(8, rng.beta(0.5, 0.5, len(n))), np.full(len(n), 8))
    fitted, bounded = compare(lambda: gs.mixture(groups), lambda: gs.silent_rate_interval(eight, 16), repeats=3)
    return [
        Row("mixture, 10⁶ problems, n from 1 to 64", fitted.seconds, at_most=2.0),
        Row("silent_rate_interval, 10⁶ problems, n = 8, G = 16", bounded.seconds, at_most=0.5),
    ]


def beliefs_of(problems: int) -> gs.Beliefs:
    """So many problems with 8 discounted answers each: every belief is another."""
    rng = np.random.default_rng(8)
    told = gs.Beliefs.about(np.arange(problems))
    told = told.observe(np.arange(problems), rng.binomial(8, rng.beta(0.4, 0.4, problems)), np.full(problems, 8))
    some = rng.permutation(problems)[: problems // 2]
    return told.advance(1).observe(some, rng.binomial(4, 0.5, len(some)), np.full(len(some), 4)).advance(2)


def planning() -> list[Row]:
    """A plan for distinct beliefs: inside a training step, and for a million problems."""
    step, million = beliefs_of(100_000), beliefs_of(1_000_000)
    fast, greedy = compare(
        lambda: gs.plan(step, budget=4096), lambda: peers.heap_greedy(step.weight, step.p, 4096, 32), repeats=(9, 1)
    )
    note = f"value {fast.result.value:.6g} and {greedy.result:.6g}"
    whole, _ = compare(lambda: gs.plan(million, budget=1_000_000), None, repeats=3)
    return [
        Row(
            "plan, 10⁵ distinct beliefs, 4,096 answers",
            fast.seconds,
            against="a heap of marginal gains",
            alternative=greedy.seconds,
            at_most=0.1,
            note=note,
        ),
        Row(
            "plan, 10⁶ distinct beliefs, 10⁶ answers",
            whole.seconds,
            at_most=2.0,
            note=f"with the beliefs {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB at most",
        ),
    ]


def run(tool: str, *arguments: str) -> str:
    """What a command of this Python's environment prints."""
    program = which(tool, path=str(Path(sys.executable).parent))
    assert program, f"{tool} is not installed beside this Python"
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout


CASES: dict[str, Callable[[], list[Row]]] = {
    "gain-bigmath": gain_bigmath,
    "gain-million": gain_million,
    "memory": memory,
    "required-size": required_size,
    "advantages": dense,
    "advantages-by-prompt": ragged,
    "audit-file": audit_file,
    "startup": startup,
    "few-answers": few_answers,
    "planning": planning,
}

if __name__ == "__main__":
    print(json.dumps([row.to_dict() for row in CASES[sys.argv[1]]()]))
