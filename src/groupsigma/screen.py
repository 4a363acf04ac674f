"""Results as text for a terminal of 80 columns or more; needs no colour to be understood."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from groupsigma.audit import Audit
from groupsigma.dial import Dial
from groupsigma.experiments.claims import MEANING, Result
from groupsigma.findings import Finding
from groupsigma.presets import Preset, spoken
from groupsigma.sigma import advantage_pair, gain, is_silent, mean_advantage, sigma
from groupsigma.splits import Share, Split

#: Width when the output is not a terminal, so that a file or a README block is stable.
WIDTH = 96
#: No table is squeezed below this: a narrower terminal wraps lines, and no number is cut.
_LEAST = 80


def show(parts: Iterable[RenderableType]) -> None:
    """Print to standard output; colour on a terminal only, no trailing blanks elsewhere."""
    if sys.stdout.isatty():
        console = Console(highlight=False, markup=False)
        console.width = max(_LEAST, console.width)
        console.print(Group(*parts))
        return
    asked = os.environ.get("COLUMNS", "")
    width = max(_LEAST, int(asked) if asked.isdecimal() else WIDTH)
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(Group(*parts))
    print("\n".join(line.rstrip() for line in capture.get().rstrip().splitlines()))


def audit_screen(audit: Audit, findings: Sequence[Finding]) -> list[RenderableType]:
    """The first minute: groups, sizes, bands, findings, notes."""
    parts: list[RenderableType] = [Text(audit.source or "groups", style="bold"), Text(counted(audit)), Text()]
    parts += [groups_table(audit), Text()]
    if audit.sizes:
        parts += [_sizes_table(audit), Text()]
    if audit.bands and audit.group_size > 1:
        parts += [_bands_table(audit), Text(_readings(audit)), Text()]
    return [*parts, *closing(findings, audit.notes)]


def closing(findings: Sequence[Finding], notes: Sequence[str]) -> list[RenderableType]:
    """What every screen ends with: the findings, numbered, and the notes."""
    parts: list[RenderableType] = []
    for number, finding in enumerate(findings, 1):
        parts.append(Text(f"{number}. {finding.title}", style="bold"))
        parts += [Padding(Text(line), (0, 0, 0, 3)) for line in (finding.evidence, f"→ {finding.remedy}") if line]
    if notes:
        parts += [Text(), *(Text(f"note: {note}", style="dim") for note in notes)]
    return parts


def counted(audit: Audit) -> str:
    """What was read, in a line."""
    least, mean, most = audit.answers_per_problem
    each = f"{most} each" if least == most else f"{mean:.4g} each ({least} to {most})"
    text = many(audit.problems, audit.unit)
    if audit.unit == "group" and audit.prompts is not None:
        text += f" of {many(audit.prompts, 'prompt')}"
    text += f", {many(audit.answers, 'answer')}, {each}" if audit.answers else ", solve rates only"
    text += f", mean {'reward' if audit.never is None else 'solve rate'} over {audit.unit}s {audit.mean_reward:.3f}"
    if audit.unscorable:
        text += f"; {many(audit.unscorable, 'unscorable answer')} left out"
    if audit.unscored_problems:
        text += f"; {many(audit.unscored_problems, 'problem')} without a scorable answer left out"
    return text


def groups_table(audit: Audit) -> Table:
    """How groups divide, as logged and at G, each way to know."""
    graded = audit.never is None
    equal = ["all equal"] if graded else []
    table = table_of("groups", "all wrong", "all right", *equal, "mixed", "silent", "95% interval")
    for split in (audit.logged, audit.unbiased, audit.estimated, audit.plugin):
        if split is None or (split is audit.estimated and audit.best is audit.unbiased):
            continue
        partial = [split.equal_partial] if graded else []
        cells = [split.all_wrong, split.all_right, *partial, split.mixed, split.silent]
        name = _name(split, exact=audit.logged is None)
        table.add_row(name, *(f"{c.value:.1%}" for c in cells), _interval(split.silent))
    if audit.checked is not None:
        shares = (audit.checked.all_wrong, audit.checked.all_right, audit.checked.mixed, audit.checked.silent)
        table.add_row(f"G = {audit.group_size}, checker that errs", *(f"{c.value:.1%}" for c in shares), "")
    return table


def _name(split: Split, exact: bool) -> str:
    if split.group_size is None:
        return "as logged"
    text = f"G = {split.group_size}, {split.method}"
    if split.method == "plug-in":
        text = f"G = {split.group_size}, at the rates given" if exact else f"{text} (biased)"
    return text + (f" ({split.problems:.0%} of data)" if split.problems < 0.995 else "")


def _sizes_table(audit: Audit) -> Table:
    table = table_of("silent at G =", *(str(s.group_size) for s in audit.sizes))
    for method in dict.fromkeys(s.method for s in audit.sizes):
        cells = (f"{s.silent.value:.1%}" if s.method == method else "" for s in audit.sizes)
        table.add_row("at the rates given" if method == "plug-in" else method, *cells)
    return table


def _bands_table(audit: Audit) -> Table:
    rules = [rule for rule in audit.bands[0].gradient if rule not in ("grpo", "dr-grpo", "dapo")]
    names = map(spoken, rules)
    table = table_of("solved", "problems", "silent", "kept groups", "GRPO, DAPO", "Dr. GRPO", *names, "fidelity")
    table.title = f"where the update goes at G = {audit.group_size}: shares by rule, fidelity of {spoken(audit.dial)}"
    for band in audit.bands:
        shares = [band.kept_groups, *(band.gradient[rule] for rule in ("grpo", "dr-grpo", *rules))]
        cells = [band.problems, band.silent, *(shares if band.problems else [None] * len(shares)), band.fidelity]
        table.add_row(band.name, *("–" if c is None else f"{c:.1%}" for c in cells))
    return table


def _readings(audit: Audit) -> str:
    draws = "without end" if audit.draws_per_kept_group is None else f"{audit.draws_per_kept_group:.2f}"
    text = f"never solved {audit.never:.1%}, always {audit.always:.1%} as logged; DAPO draws per kept group {draws}"
    if audit.out_of_reach is not None:
        between = f" ({_interval(audit.out_of_reach)})" if audit.out_of_reach.low is not None else ""
        share = f"{audit.out_of_reach.value:.1%} of problems, estimated{between}"
        text += f"\nsilent 95% of the time even at G = 64, so out of reach: {share}"
    return text


def group_screen(rewards: Sequence[float], k: int | None, G: int, dials: Mapping[str, Dial]) -> list[RenderableType]:
    """One group under several dials; k is None unless all rewards are 0 or 1."""
    if k is None:
        return _graded_group(np.asarray(rewards, dtype=float), dials)
    table = table_of("dial", "A right", "A wrong", "update", "of GRPO's", "formula")
    reference = float(gain(k, G))
    for name, dial in dials.items():
        plus, minus = (float(a) for a in advantage_pair(k, G, dial))
        size, left = float(gain(k, G, dial)), float(mean_advantage(k, G, dial))
        update = f"{size:.4f} Δs" + (f" {left:+.3f} s̄" if abs(left) > 1e-12 else "") if 0 < k < G else "none"
        ratio = f"{size / reference:.3f}" if reference else ""
        right, wrong = (f"{plus:+.4f}" if k else "", f"{minus:+.4f}" if k < G else "")
        table.add_row(name, right, wrong, update, ratio, dial.formula)
    head = f"{k} of {G} right: σ = {float(sigma(k, G)):.6f}"
    meaning = "Δs: mean score of the right answers − of the wrong ones; s̄: of all"
    if k in (0, G):
        head, meaning = f"{head}, a silent group", "all answers agree, so nothing is compared and nothing learnt"
    return [Text(head, style="bold"), Text(meaning), Text(), table]


def _graded_group(rewards: np.ndarray, dials: Mapping[str, Dial]) -> list[RenderableType]:
    from groupsigma.advantages import advantages

    live = rewards[np.isfinite(rewards)]
    head = many(len(live), "reward")
    if len(live):
        head += f": μ = {live.mean():.6g}, σ = {0.0 if is_silent(live) else live.std():.6g}"
    if is_silent(rewards):
        head += ", a silent group"
    if len(live) < len(rewards):
        head += f"; {len(rewards) - len(live)} unscorable"
    table = table_of("reward", *dials)
    columns = [advantages(rewards, dial) for dial in dials.values()]
    for i, reward in enumerate(rewards):
        table.add_row(f"{reward:g}", *(f"{column[i]:+.4f}" for column in columns))
    return [Text(head, style="bold"), Text("update g = σ^(2−power) β, β the slope of score on reward"), Text(), table]


def dials_screen(presets: Mapping[str, Preset]) -> list[RenderableType]:
    """Every preset with its formula, std, source and where it is more than a Dial."""
    parts: list[RenderableType] = [Text("σ population, s sample standard deviation (ddof 1)", style="dim"), Text()]
    for name, preset in presets.items():
        lines = [f"{preset.what} ({preset.source})"]
        if preset.beyond:
            lines.append(f"beyond the formula: {preset.beyond}")
        parts.append(_entry(name, f"A = {preset.dial.formula}", lines, 20))
    return parts


def claims_screen(results: Sequence[Result]) -> list[RenderableType]:
    """Verdict, claim, published, ours; then how many of each verdict."""
    parts: list[RenderableType] = []
    for result in results:
        lines = [result.says]
        for who, numbers in (("paper", result.published), ("ours ", result.ours), ("    ±", result.within)):
            if numbers:
                lines.append(f"{who}  " + "  ".join(format(x, result.form) for x in numbers))
        if result.comment:
            lines.append(f"({result.comment})")
        parts.append(_entry(result.verdict, f"{result.name}, {result.where}", lines, 11))
    tally = {v: sum(r.verdict == v for r in results) for v in MEANING}
    return [*parts, Text(), *(Text(f"{n:3d} {v}: {MEANING[v]}") for v, n in tally.items() if n)]


def _entry(label: str, head: str, lines: Sequence[str], indent: int) -> RenderableType:
    """A label in the margin, a head beside it, lines below the head."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=indent, no_wrap=True)
    grid.add_column()
    grid.add_row(Text(label, style="bold"), Text(head, style="bold"))
    for line in lines:
        grid.add_row("", Text(line))
    return grid


def many(n: int, what: str) -> str:
    """1 problem, 2,000 problems."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _interval(share: Share) -> str:
    return "" if share.low is None or share.high is None else f"{share.low:.1%} to {share.high:.1%}"


def table_of(first: str, *rest: str) -> Table:
    """Numbers are never wrapped or cut; only a formula may take several lines."""
    table = Table(box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True, min_width=len(first))
    for name in rest:
        text = name == "formula"
        table.add_column(name, justify="left" if text else "right", no_wrap=not text)
    return table


def verdict_table(
    verdicts: Sequence[tuple[str, float, str, bool]], said: tuple[str, str] = ("holds", "fails")
) -> Table:
    """One line a verdict: whether it is so, the number, what is wanted, what it is about."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for style in ("bold", "", ""):
        grid.add_column(no_wrap=True, style=style)
    grid.add_column()
    for what, number, wanted, good in verdicts:
        grid.add_row(said[not good], f"{number:.3g}", wanted, what)
    return grid
