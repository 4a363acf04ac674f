"""A claim, what it was published as, and what comes out here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from groupsigma.errors import ArgumentError

Verdict = Literal["holds", "misworded", "filled in", "ours", "fails", "skipped"]

#: What each verdict means, for the screen and the docs.
MEANING: dict[Verdict, str] = {
    "holds": "the number comes out again",
    "misworded": "the number comes out again, the paper's sentence about it does not hold",
    "filled in": "an entry the paper leaves open",
    "ours": "a result beyond the paper",
    "fails": "the number does not come out again",
    "skipped": "needs data that is not here",
}


class Missing(Exception):
    """Raised by a computation whose data is absent; its text says what is needed."""


@dataclass(frozen=True)
class Claim:
    """One checkable statement.

    compute returns our numbers, in the order of `published`; `within` is the largest
    difference from the published ones, half a unit of their last digit unless said
    otherwise; where it is itself computed, from the spread over repeated draws, it is a
    function with one number for each published one. With no published numbers `holds` decides.
    """

    name: str
    where: str
    says: str
    published: tuple[float, ...]
    compute: Callable[[], tuple[float, ...]]
    within: float | Callable[[], tuple[float, ...]] = 0.0
    form: str = ".4g"
    holds: Callable[[tuple[float, ...]], bool] | None = None
    verdict: Verdict = "holds"
    comment: str = ""


@dataclass(frozen=True)
class Result:
    """A claim with our numbers beside the published ones; `within` where the tolerance was computed."""

    name: str
    where: str
    says: str
    published: tuple[float, ...]
    ours: tuple[float, ...]
    verdict: Verdict
    comment: str
    form: str = field(default=".4g", repr=False)
    within: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {k: v for k, v in asdict(self).items() if k != "form"}


def check(claims: Iterable[Claim]) -> list[Result]:
    """Compute every claim; one whose data is missing is skipped with the reason, never passed."""
    return [_check(claim) for claim in claims]


def choose(claims: Iterable[Claim], names: Iterable[str], others: Iterable[str] = ()) -> list[Claim]:
    """The claims whose name, or first part of it, is among `names`; all when there are none.

    others: further names for the hint, of what is no claim.
    """
    wanted, every = set(names), list(claims)
    known = {c.name for c in every} | {c.name.split("/")[0] for c in every}
    if unknown := wanted - known:
        parts = sorted({c.name.split("/")[0] for c in every})
        raise ArgumentError(
            "reproduce", "names of claims", ", ".join(sorted(unknown)), hint="one of " + ", ".join([*parts, *others])
        )
    return [c for c in every if not wanted or c.name in wanted or c.name.split("/")[0] in wanted]


def _check(claim: Claim) -> Result:
    try:
        ours = claim.compute()
    except Missing as reason:
        return Result(claim.name, claim.where, claim.says, claim.published, (), "skipped", str(reason), claim.form)
    good = claim.holds is None or claim.holds(ours)
    within = claim.within() if callable(claim.within) else (claim.within,) * len(claim.published)
    if claim.published:
        good = good and len(ours) == len(claim.published) == len(within)
        good = good and all(abs(a - b) <= w for a, b, w in zip(ours, claim.published, within, strict=False))
    verdict: Verdict = claim.verdict if good else "fails"
    shown = within if callable(claim.within) else ()
    head = (claim.name, claim.where, claim.says, claim.published)
    return Result(*head, ours, verdict, claim.comment, claim.form, shown)
