"""Where the identity stops, as tables: a batch used again, mini-batches, stale answers, KL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Run = Mapping[str, Any]


def _jobs(found: Run, kind: str) -> list[tuple[list[Any], Any]]:
    return [(row["job"][1:], row["found"]) for row in found["departures"] if row["job"][0] == kind]


def reused(found: Run) -> list[dict[str, Any]]:
    """By learning rate, clip and pass over one batch: how far the update is from today's Σ σ Δs, mean of seeds.

    distance, cosine: of the two; along: the part of u along g, in ‖g‖; ratio, cut: what importance ratios alone and
    the clip do; gained: held-out accuracy since before the batch (least, most: over seeds), and by as many fresh
    batches.
    """
    by: dict[tuple[float, str, int], list[dict[str, float]]] = {}
    for (rate, clip, _), came in _jobs(found, "passes"):
        for at, row in enumerate(came["updates"], 1):
            by.setdefault((rate, clip, at), []).append({
                "distance": row["today"]["distance"], "cosine": row["today"]["cosine"],
                "ratio": row["ratio"]["distance"], "cut": row["cut"], "clipped": row["clipped"],
                "along": row["today"]["cosine"] * row["today"]["length"],
                "gained": row["held_out"] - came["held_out"], "fresh": row["fresh"] - came["held_out"],
            })  # fmt: skip
    return [
        {"rate": rate, "clip": clip, "pass": at, **{name: float(np.mean([r[name] for r in rows])) for name in rows[0]},
         "least": min(r["gained"] for r in rows), "most": max(r["gained"] for r in rows)}
        for (rate, clip, at), rows in by.items()
    ]  # fmt: skip


def split(found: Run) -> list[dict[str, Any]]:
    """One pass over a batch in M mini-batches, of whole groups or torn: how far each update is from its Σ σ Δs.

    whole: how far the first is from the whole batch's. Means of seeds.
    """
    by: dict[tuple[int, int], list[tuple[list[float], float]]] = {}
    for (M, torn, _), came in _jobs(found, "minis"):
        ages = [row["today"]["distance"] for row in came["updates"]]
        by.setdefault((M, torn), []).append((ages, came["updates"][0]["whole"]["distance"]))
    return [
        {"M": M, "torn": bool(torn), "ages": np.mean([a for a, _ in rows], 0).tolist(),
         "whole": float(np.mean([w for _, w in rows]))}
        for (M, torn), rows in by.items()
    ]  # fmt: skip


def aged(found: Run, clip: str) -> list[dict[str, float]]:
    """By age in updates: the distance of all groups' update as one, with its range, and the median group's."""
    ages: dict[int, list[dict[str, float]]] = {}
    for _, came in _jobs(found, "stale"):
        for row in came:
            told = row[clip]
            ages.setdefault(row["age"], []).append(
                {"all": told["all"]["distance"], "group": float(np.median(told["distance"]))}
            )
    return [
        {"age": age, **{name: float(np.mean([r[name] for r in rows])) for name in rows[0]},
         "low": min(r["all"] for r in rows), "high": max(r["all"] for r in rows)}
        for age, rows in ages.items()
    ]  # fmt: skip


def pulled(found: Run) -> list[dict[str, Any]]:
    """Each batch under KL to the start: β trained with, updates, seed; KL a token; h its gradient, g = Σ σ Δs.

    size: ‖h‖/‖g‖; corrected: the same of TRL's default estimator; cosine: of g and h; silent: the silent groups' share
    of ‖h‖².
    """
    out = []
    for (beta, seed), came in _jobs(found, "kl"):
        for row in came:
            told = row["published"]
            if row["updates"]:
                silent = told["share"]["all_right"] + told["share"]["all_wrong"]
                out.append({
                    "beta": beta, "updates": row["updates"], "seed": seed, "kl": row["kl"], "size": told["size"],
                    "corrected": row["corrected"]["size"], "cosine": told["cosine"], "silent": silent,
                })  # fmt: skip
    return sorted(out, key=lambda row: (row["beta"], row["updates"], row["seed"]))
