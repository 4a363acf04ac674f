"""Write again what the documentation shows: every block is the output of the command above it.

    python docs/generate.py            regenerate all blocks
    python docs/generate.py --check    exit 1 if a block differs from what its command prints now

A block is a comment `<!-- run: COMMAND -->` with a fenced block below it. `run with data:`
blocks need GROUPSIGMA_DATA and are left alone without it. Rounding errors (1.2e-13)
differ between machines and are not compared.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(<!-- run( with data)?: (.+?) -->\n+```\w*\n)(.*?)(```)", re.DOTALL)


def output(command: str) -> str:
    """What a command prints, run in the repository with this Python's groupsigma, 100 columns wide."""
    words = shlex.split(command)
    if words[0] == "groupsigma":
        words = [sys.executable, "-m", "groupsigma.cli", *words[1:]]
    elif words[0] == "python":
        words[0] = sys.executable
    env = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=env, check=True)
    return done.stdout.rstrip().replace("python -m groupsigma.cli", "groupsigma") + "\n"


def regenerated(page: str) -> str:
    """The page with every block's output replaced by today's."""

    def block(match: re.Match[str]) -> str:
        head, needs_data, command, _, end = match.groups()
        if needs_data and not os.environ.get("GROUPSIGMA_DATA"):
            return match[0]
        return f"{head}{output(command)}{end}"

    return BLOCK.sub(block, page)


def comparable(page: str) -> str:
    """A page with rounding errors masked."""
    return re.sub(r"\b\d\.\de-1\d\b", "~", page)


def main() -> int:
    """Regenerate or check all pages."""
    check = "--check" in sys.argv[1:]
    stale = []
    for path in PAGES:
        old = path.read_text(encoding="utf-8")
        new = regenerated(old)
        if comparable(new) != comparable(old):
            stale.append(path.relative_to(ROOT).as_posix())
            if not check:
                path.write_text(new, encoding="utf-8")
    for name in stale:
        print(f"{'differs from its commands' if check else 'regenerated'}: {name}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
