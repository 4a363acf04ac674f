"""The account of dynamic sampling: groups drawn and kept, what was expected of them, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from groupsigma.law import cap_risk, draws_per_kept_group

_COUNTERS = ("drawn", "kept", "short", "expected", "came", "announced")


@dataclass
class Draws:
    """One run's search for mixed groups.

    Attributes:
        wanted: groups of a full batch. cap: draws for one batch at most, in batches.
        say: where words go. drawn, kept: groups so far; expected: draws foreseen for the batches in `foreseen`, which
            took `came` draws; short: batches that were not filled.
    """

    wanted: int
    cap: float
    say: Callable[[str], None]
    drawn: int = 0
    kept: int = 0
    short: int = 0
    expected: float = 0.0
    came: int = 0
    announced: bool = False

    @property
    def most(self) -> int:
        """Draws for one batch at most."""
        return int(self.cap * self.wanted * (1 + 1e-12))

    def announce(self, silent: float, source: str) -> None:
        """Tell once, before the first step, what replacing silent groups will cost."""
        if self.announced:
            return
        self.announced = True
        draws = float(draws_per_kept_group(silent))
        risk = float(cap_risk(silent, self.wanted, self.cap))
        self.say(
            f"replacing silent groups: by {source} {silent:.1%} are silent, so {draws:.2f} draws for each kept group, "
            f"{draws * self.wanted:.0f} for a batch of {self.wanted}; "
            f"chance to hit the cap of {self.cap:g} batches: {risk:.2g}"
        )

    def count(self, drawn: int, kept: int, silent: float | None, step: int) -> dict[str, float]:
        """Account for one batch; `silent` is the share foreseen for it. The numbers of a trainer's log."""
        missing = self.wanted - kept
        self.drawn += drawn
        self.kept += kept
        told = {"group/draws": float(drawn), "group/short": missing / self.wanted}
        if kept:
            told["group/draws_per_kept"] = drawn / kept
        if silent is not None:
            foreseen = min(float(draws_per_kept_group(silent)) * self.wanted, self.most)
            told["group/draws_predicted"] = foreseen / self.wanted
            told["group/cap_risk"] = float(cap_risk(silent, self.wanted, self.cap))
            self.expected += foreseen
            self.came += drawn
        if missing:
            self.short += 1
            why = f"the cap of {self.cap:g} batches" if drawn >= self.most else "the whole data set"
            if self.short <= 3:
                self.say(
                    f"step {step}: {why} gave {kept} mixed groups of {self.wanted} in {drawn} draws; training on those"
                    + ("; not said again" if self.short == 3 else "")
                )
        return told

    def summary(self) -> str:
        """What came beside what was expected; "" where nothing was kept."""
        if not self.kept:
            return ""
        text = (
            f"replacing silent groups: {self.drawn / self.kept:.2f} draws for each kept group "
            f"({self.drawn:,} drawn, {self.kept:,} kept)"
        )
        if self.came:
            text += f"; where draws were foreseen, {self.came:,} came and {self.expected:,.0f} were expected"
        return text + (f"; {self.short} batches were not filled" if self.short else "")

    def state(self) -> dict[str, float]:
        """The counters, for a checkpoint."""
        return {name: getattr(self, name) for name in _COUNTERS}

    def restore(self, held: dict[str, float]) -> None:
        """Go on from what `state` gave."""
        for name in _COUNTERS:
            setattr(self, name, held[name])
