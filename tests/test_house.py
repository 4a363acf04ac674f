"""The house: imports go down only, the package stays light, its public face and its wheel are whole."""

import ast
import inspect
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import groupsigma

SOURCE = Path(groupsigma.__file__).parent
ROOT = Path(__file__).parent.parent

#: From the ground up; a module may import those before it. A folder stands for its files.
ORDER = (
    "errors", "limits", "checks", "arrays", "dial", "presets", "methods", "sigma", "expect", "law", "bands",
    "advantages", "identity", "groups", "estimate", "mixture", "bounds", "drift", "survey",
    "value", "odds", "belief", "baseline", "allocate", "plan", "stopping", "implied",
    "splits", "audit", "findings", "measures", "resample", "differences", "compare", "compare_findings",
    "simulate", "metrics", "tracker", "stream",
    "removed", "claimed", "foretold", "windows", "course", "course_findings", "watch",
    "readers.columns", "readers.reading", "readers.files", "readers.bigmath", "readers.grid", "readers.sums",
    "readers.layout", "readers.lines", "readers.keys", "readers.table", "readers.packed", "readers.rewards",
    "readers.repeats",
    "readers.trl", "readers.verl", "readers.prime_rl", "readers.verifiers", "readers.skyrl", "readers.lm_eval",
    "readers.inspect_ai", "readers.slime", "readers.layouts", "readers.scalars",
    "readers.log", "readers.rollouts", "readers.sources",
    "readers",
    "__init__", "figures",
    "checkers", "referee", "problems",
    "answerers", "answerers.endpoint", "answerers.local", "answerers.vllm", "probe",
    "trainers", "trainers.notes", "trainers.order", "trainers.given", "trainers.draws", "trainers.checkpoint",
    "trainers.versions", "trainers.tokens", "trainers.named", "trainers.late", "trainers.verl", "trainers.verl_sampler",
    "trainers.slime", "trainers.skyrl", "trainers.tinker", "trainers.areal",
    "trainers.roll", "trainers.ms_swift",
    "trainers.rollouts", "trainers.watch", "trainers.monitor", "trainers.reward", "trainers.trl", "training",
    "conformance", "conformance.recorded", "conformance.formulas", "conformance.own", "conformance.filters",
    "conformance.plugs", "conformance.trainers", "conformance.suite", "conformance.__main__", "conformance.traps",
    "experiments", "experiments.run", "experiments.gym", "experiments.tasks", "experiments.pool",
    "experiments.precision", "experiments.addition", "experiments.gradients",
    "experiments.draw",
    "experiments.worlds", "experiments.claims", "experiments.readings", "experiments.arena", "experiments.language",
    "experiments.norms", "experiments.arms", "experiments.departures",
    "experiments.engine", "experiments.published", "experiments.rules",
    "experiments.tournament", "experiments.static", "experiments.allocation",
    "experiments.history", "experiments.history_pictures",
    "experiments.controlled", "experiments.dynamics", "experiments.objectives",
    "experiments.paper_pictures", "experiments.pictures",
    "experiments.paper", "experiments.lm", "experiments.lm_full", "experiments.lm_scale", "experiments.lm_contrasts",
    "experiments.lm_stops", "experiments.lm_findings",
    "experiments.lm_pictures", "experiments.halves", "experiments.spend", "experiments.lm_allocation",
    "experiments.lm_contest", "experiments.lm_contest_findings", "experiments.lm_contest_pictures",
    "scalar_course", "screen", "course_screen", "scalar_screen", "history_screen", "compare_screen",
    "plan_screen", "allocation_screen", "lm_screen", "lm_full_screen", "lm_contest_screen",
    "output", "settings", "rewrite",
    "report", "report.crowd", "report.sizes", "report.marks", "report.rows", "report.picture",
    "report.charts", "report.page", "report.tables", "report.removed_page", "report.audit_pictures",
    "report.dial_pictures", "report.scalar_page",
    "report.audit_page", "report.plan_page", "report.compare_page", "report.reproduce_page",
    "verbs", "verbs.options", "verbs.told", "verbs.written", "verbs.running",
    "verbs.show", "verbs.audit", "verbs.compare", "verbs.plan",
    "verbs.dials", "verbs.traps",
    "verbs.reproduce", "verbs.probe", "verbs.train", "cli",
)  # fmt: skip


def imports_of(text, name):
    """The modules of ours that a source text imports, as names in ORDER."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("groupsigma"):
            module = (node.module or "").removeprefix("groupsigma").lstrip(".")
            for alias in node.names:
                inner = f"{module}.{alias.name}".lstrip(".")
                found.add(inner if inner in ORDER else module or "__init__")
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix("groupsigma.") for a in node.names if a.name.startswith("groupsigma")}
    return found - {name}


def upward(text, name):
    """Imports that do not go down, in the order of the house."""
    return sorted(i for i in imports_of(text, name) if ORDER.index(i) > ORDER.index(name))


def modules():
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts), path


def test_every_module_has_its_place():
    assert {name for name, _ in modules()} == set(ORDER)


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=[name for name, _ in modules()])
def test_imports_go_down_only(name, path):
    assert upward(path.read_text(), name) == []


@pytest.mark.parametrize(
    "text",
    [
        "from groupsigma.cli import app",
        "import groupsigma.audit",
        "from groupsigma import audit",
        "from groupsigma.readers import table",
    ],
)
def test_the_check_of_imports_can_fail(text):
    assert upward(text, "law")


def loaded(code):
    probe = f"{code}; import sys; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split())


HEAVY = {"torch", "duckdb", "altair", "typer", "rich", "pandas", "matplotlib", "trl", "verl"}


def test_importing_the_package_is_light():
    assert not loaded("import groupsigma") & HEAVY
    assert not loaded("import groupsigma as g; g.audit(g.Groups(['a'], [3], [8])); g.advantages([1, 0])") & HEAVY
    assert not loaded("import groupsigma as g; g.load('bigmath')") & HEAVY


def test_the_check_of_lightness_can_fail():
    assert loaded("import groupsigma, duckdb") & HEAVY == {"duckdb"}


def test_the_command_line_loads_a_verb_s_needs_with_the_verb():
    assert not loaded("import groupsigma.cli") & (HEAVY - {"typer", "rich"})


def public():
    """name(parameters) of everything in __all__."""
    for name in sorted(groupsigma.__all__):
        value = getattr(groupsigma, name)
        if inspect.isfunction(value):
            parameters = [
                (f"{p.name}={p.default!r}" if p.default is not p.empty else p.name)
                if p.kind < 3
                else f"*, {p.name}={p.default!r}"
                if p.default is not p.empty
                else f"*, {p.name}"
                for p in inspect.signature(value).parameters.values()
            ]
            yield f"{name}({', '.join(parameters)})"
        elif inspect.isclass(value):
            fields = getattr(value, "__dataclass_fields__", {})
            yield f"class {name}({', '.join(fields)})"
        else:
            yield name


def test_public_signatures_are_frozen():
    """To change them on purpose: python tests/test_house.py > tests/public_api.txt, and say so in CHANGELOG.md."""
    assert "\n".join(public()) + "\n" == (ROOT / "tests" / "public_api.txt").read_text()


def test_everything_public_is_documented_with_an_example():
    for name in groupsigma.__all__:
        value = getattr(groupsigma, name)
        if inspect.isfunction(value):
            assert value.__doc__ and ">>>" in value.__doc__, name
        elif inspect.isclass(value):
            assert value.__doc__, name


def test_the_wheel_works_away_from_the_sources(tmp_path):
    """Built, unpacked and used from another folder; data and py.typed are inside."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(target)
    assert {
        f"groupsigma/report/{name}" for name in ("page.html", "style.css", "law.js", "plane.js", "table.html")
    } <= set(names)
    assert "groupsigma/py.typed" in names and not any(n.startswith(("tests", "docs")) for n in names)
    code = (
        "import sys, groupsigma as g; assert g.__file__.startswith(sys.argv[1]), g.__file__;"
        "print(g.load('bigmath').problems); from groupsigma.cli import main;"
        "sys.argv = ['groupsigma', 'show', '3/8']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stdout.startswith("215608") and "0.484123" in done.stdout, done.stderr


if __name__ == "__main__":
    print("\n".join(public()))
