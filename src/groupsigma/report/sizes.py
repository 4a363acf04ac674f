"""Silence at every group size a page can be set to, with its interval: what `audit -G` says at each."""

from __future__ import annotations

from typing import Any

from groupsigma import splits
from groupsigma.audit import Audit, best_at
from groupsigma.bounds import Region
from groupsigma.groups import Groups
from groupsigma.mixture import Mixture
from groupsigma.splits import Split

#: Stops of the slider: every size to 32, then coarser.
STOPS = (*range(2, 33), *range(36, 65, 4), *range(72, 129, 8), *range(160, 257, 32))


def sizes(
    audit: Audit, groups: Groups, tally: Groups, spread: Mixture | None, where: Region | None
) -> list[dict[str, Any]]:
    """One entry a stop: how groups of that size divide, by the best of the four ways to know.

    The interval is over problems for unbiased numbers, over all spreads that fit for estimated ones. Where prompts
    come several times it is given at the audited size only. where: as `region(groups)`, None for rates.
    """
    stops = sorted({*STOPS, audit.group_size} - {1})
    several = splits.has_visits(groups)
    most = splits.ceiling(groups if several else tally)
    out = []
    for G in stops:
        split = audit.best if audit.group_size == G else best_at(tally, spread, G, where, most)
        out.append(_entry(G, split, bare=several and audit.group_size != G and split.method == "unbiased"))
    return out


def _entry(G: int, split: Split, bare: bool) -> dict[str, Any]:
    silent = split.silent
    return {
        "G": G,
        "method": split.method,
        "all_wrong": split.all_wrong.value,
        "all_right": split.all_right.value,
        "silent": silent.value,
        "low": None if bare else silent.low,
        "high": None if bare else silent.high,
        "problems": split.problems,
    }
