"""Results as text for a terminal; needs no colour to be understood."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from groupsigma.audit import Audit, Share, Split
from groupsigma.dial import Dial
from groupsigma.experiments.claims import MEANING, Result
from groupsigma.findings import Finding
from groupsigma.presets import Preset
from groupsigma.sigma import advantage_pair, gain, mean_advantage, sigma

#: Width when the output is not a terminal, so that a file or a README block is stable.
WIDTH = 100


def show(parts: Iterable[RenderableType]) -> None:
    """Print to standard output; colour on a terminal only, no trailing blanks elsewhere."""
    if sys.stdout.isatty():
        Console(highlight=False).print(Group(*parts))
        return
    console = Console(file=io.StringIO(), width=int(os.environ.get("COLUMNS", WIDTH)), highlight=False)
    with console.capture() as capture:
        console.print(Group(*parts))
    print("\n".join(line.rstrip() for line in capture.get().rstrip().splitlines()))


def audit_screen(audit: Audit, findings: Sequence[Finding]) -> list[RenderableType]:
    """The first minute: groups, sizes, bands, findings, notes."""
    parts: list[RenderableType] = [Text(audit.source or "groups", style="bold"), Text(_counts(audit)), Text()]
    splits = [s for s in (audit.logged, audit.unbiased, audit.plugin) if s is not None]
    parts += [_groups_table(audit, splits), Text()]
    if audit.sizes:
        parts += [_sizes_table(audit), Text()]
    if audit.bands:
        parts += [_bands_table(audit), Text(_readings(audit)), Text()]
    for number, finding in enumerate(findings, 1):
        parts.append(Text(f"{number}. {finding.title}", style="bold"))
        parts += [Padding(Text(line), (0, 0, 0, 3)) for line in (finding.evidence, f"→ {finding.remedy}")]
    if audit.notes:
        parts += [Text(), *(Text(f"note: {note}", style="dim") for note in audit.notes)]
    return parts


def _counts(audit: Audit) -> str:
    least, median, most = audit.answers_per_problem
    each = f"{median} each" if least == median == most else f"{median} each ({least} to {most})"
    text = f"{audit.problems:,} problems, "
    text += f"{audit.answers:,} answers, {each}" if audit.answers else "solve rates only"
    text += f", mean reward {audit.mean_reward:.3f}"
    if audit.unscorable or audit.unscored_problems:
        text += f"; left out: {audit.unscorable:,} unscorable answers, {audit.unscored_problems:,} problems without any"
    return text


def _groups_table(audit: Audit, splits: Sequence[Split]) -> Table:
    table = _table("groups", "all wrong", "all right", "equal", "mixed", "silent", "95% interval", "from")
    how = {
        "logged": "all its answers",
        "unbiased": "logged draws",
        "plug-in": "k/n; too high",
    }
    if audit.logged is None:
        how["plug-in"] = "given rates"
    for split in splits:
        name = "as logged" if split.group_size is None else f"G = {split.group_size}, {split.method}"
        cells = (split.all_wrong, split.all_right, split.equal_partial, split.mixed, split.silent)
        text = how[split.method]
        if split.problems < 1:
            text += f", {split.problems:.2%} of problems" if split.problems < 0.9999 else ""
        table.add_row(name, *(f"{c.value:.1%}" for c in cells), _interval(split.silent), text)
    return table


def _sizes_table(audit: Audit) -> Table:
    table = _table("silent at G =", *(str(s.group_size) for s in audit.sizes))
    plain = {s.method for s in audit.sizes}
    for method in ("unbiased", "plug-in"):
        if method in plain:
            table.add_row(method, *(f"{s.silent.value:.1%}" if s.method == method else "" for s in audit.sizes))
    return table


def _bands_table(audit: Audit) -> Table:
    rules = [rule for rule in audit.bands[0].gradient if rule not in ("grpo", "dr-grpo", "dapo")]
    table = _table(
        "solved", "problems", "silent", "DAPO's batch", "GRPO = DAPO", "Dr. GRPO", *rules, f"{audit.dial} fidelity"
    )
    table.title = f"where the update goes at G = {audit.group_size}"
    for band in audit.bands:
        rates = [band.problems, band.silent, band.kept_groups, band.gradient["grpo"], band.gradient["dr-grpo"]]
        rates += [band.gradient[rule] for rule in rules] + [band.fidelity]
        table.add_row(band.name, *(f"{rate:.1%}" for rate in rates))
    return table


def _readings(audit: Audit) -> str:
    need = "no G brings" if audit.required_group_size is None else f"G = {audit.required_group_size} brings"
    draws = "no end" if audit.draws_per_kept_group is None else f"{audit.draws_per_kept_group:.2f}"
    return (
        f"fidelity {audit.fidelity:.1%} over all; {need} 95% to 90% of the problems solved sometimes (GRPO)\n"
        f"never solved {audit.never:.1%}, always {audit.always:.1%} as logged; DAPO draws for each kept group: {draws}"
    )


def group_screen(rewards: Sequence[float], k: int | None, G: int, dials: Mapping[str, Dial]) -> list[RenderableType]:
    """One group under several dials; k is None for graded rewards."""
    from groupsigma.advantages import advantages

    if k is None:
        table = _table("dial", "formula", *(f"R = {r:g}" for r in rewards))
        for name, dial in dials.items():
            table.add_row(name, repr(dial)[6:], *(f"{a:+.4f}" for a in advantages(list(rewards), dial)))
        return [Text(f"{G} graded rewards"), Text(), table]
    table = _table("dial", "formula", "A right", "A wrong", "update", "of GRPO's")
    reference = float(gain(k, G))
    for name, dial in dials.items():
        plus, minus = (float(a) for a in advantage_pair(k, G, dial))
        size, left = float(gain(k, G, dial)), float(mean_advantage(k, G, dial))
        update = f"{size:.4f} Δs" + (f" {left:+.3f} s̄" if abs(left) > 1e-12 else "")
        ratio = f"{size / reference:.3f}" if reference else ""
        right, wrong = (f"{plus:+.4f}" if k else "", f"{minus:+.4f}" if k < G else "")
        table.add_row(name, repr(dial)[6:], right, wrong, update, ratio)
    head = f"{k} of {G} right: σ = {float(sigma(k, G)):.6f}"
    head += ", a silent group: no update under any of these" if k in (0, G) else ", update g = (gain) Δs"
    return [Text(head, style="bold"), Text("Δs = mean score of the right answers − of the wrong ones"), Text(), table]


def dials_screen(presets: Mapping[str, Preset]) -> list[RenderableType]:
    """Every preset with its formula, std, source and where it is more than a Dial."""
    parts: list[RenderableType] = [Text("σ population, s sample standard deviation (ddof 1)", style="dim"), Text()]
    for name, preset in presets.items():
        lines = [f"{preset.what} ({preset.source})"]
        if preset.beyond:
            lines.append(f"beyond the formula: {preset.beyond}")
        parts.append(_entry(name, f"A = {repr(preset.dial)[6:]}", lines, 20))
    return parts


def claims_screen(results: Sequence[Result]) -> list[RenderableType]:
    """Verdict, claim, published, ours; then how many of each verdict."""
    parts: list[RenderableType] = []
    for result in results:
        lines = [result.says]
        for who, numbers in (("paper", result.published), ("ours ", result.ours)):
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


def _interval(share: Share) -> str:
    return "" if share.low is None or share.high is None else f"{share.low:.1%} to {share.high:.1%}"


def _table(first: str, *rest: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, show_edge=False)
    table.add_column(first, no_wrap=True)
    for name in rest:
        text = name in ("from", "formula")
        table.add_column(name, justify="left" if text else "right", no_wrap=text)
    return table
