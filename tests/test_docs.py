"""Documentation that cannot drift: every shown output is what its command prints."""

import re
import subprocess
import sys
from pathlib import Path

import groupsigma

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_shown_output_is_todays():
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_check_can_fail():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import generate
    finally:
        sys.path.pop(0)
    page = "<!-- run: groupsigma --version -->\n\n```text\nsomething old\n```\n"
    assert generate.comparable(generate.regenerated(page)) != generate.comparable(page)
    assert generate.comparable("a 1.2e-13 b") == generate.comparable("a 9.9e-16 b") != generate.comparable("a 0.12 b")


def test_every_public_name_is_in_the_reference():
    reference = (ROOT / "docs" / "api.md").read_text()
    missing = [name for name in groupsigma.__all__ if not re.search(rf"^(class )?{re.escape(name)}\b", reference, re.M)]
    assert missing == []


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_python_of_the_readme_runs():
    # The one between them needs a model; tests/test_trl.py runs it with one.
    first, _, second = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    names: dict = {}
    exec(first, names)
    assert names["spent"].tries.tolist() == [6, 5, 5]
    exec(second, names)
    assert names["gs"].required_group_size([0.5, 0.05]).tolist() == [11, 69]
