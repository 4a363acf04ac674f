"""What checkers say of answers, whose answer they take, and what makes rows and names refused."""

import json
import math
import os
import sys

import numpy as np
import pytest

from groupsigma import ArgumentError
from groupsigma import checkers as c
from groupsigma.checkers import checker_name, exact, find_checker, procedural

# ---- exact ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("completion", "answer", "right"),
    [
        ("42", "42", True),
        ("  42\n", "42 ", True),
        ("42", 42, True),
        ("42", np.int64(42), True),
        ("42.0", 42, False),
        ("42", 42.0, False),
        ("4 2", "42", False),
        ("yes", "Yes", False),
        ("The answer is 42", "42", False),
        ("1,000", "1000", False),
        ("é", "e\u0301", False),
        ("\ud800", "\ud800", True),
        ("", "", True),
        ("True", True, True),
        ("42", None, None),
        ("nan", float("nan"), None),
    ],
)
def test_exact(completion, answer, right):
    assert exact(completion, {"answer": answer}) is right


# ---- math ----------------------------------------------------------------------------------------


def judged(completion, answer):
    pytest.importorskip("math_verify")
    return c.math(completion, {"answer": answer})


@pytest.mark.parametrize(
    "answer",
    [
        *(
            "42",
            42,
            42.0,
            "4.2e1",
            " 42. ",
            "**42**",
            "$42$",
            "$$42$$",
            "\\$42",
            "\\(42\\)",
            "\\boxed{42}",
            "\\frac{84}{2}",
        ),
        *("42 \\text{ cm}", "42 dollars", "so he has 42 eggs", "She sold 48/2 = <<48/2=24>>24.\n#### 42"),
    ],
)
def test_a_row_s_answer_however_written(answer):
    assert judged("The answer is \\boxed{42}.", answer) is True
    assert judged("The answer is \\boxed{24}.", answer) is False


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("\\boxed{0.00001}", 1e-05),
        ("\\boxed{\\frac{1}{2}}", "\\frac12"),
        ("\\boxed{0.5}", "\\frac12"),
        ("$x = 3$", "3"),
        ("\\boxed{2\\sqrt{3}}", "2\\sqrt3"),
        ("\\boxed{1+3x}", "3x+1"),
        ("<answer>3x+1</answer>", "1 + 3x"),
        ("<answer>2\\sqrt3</answer>", "\\sqrt{12}"),
        ("<answer>The total is 1,072 apples</answer>", 1072),
        ("first 7, no: <answer>8</answer> rather <answer> \\boxed{9} </answer> not 10", 9),
        ("7 and 8, so 9", 9),
        ("\\boxed{0.5}", "He eats 3 of 6.\n#### \\frac12"),
        ("\\boxed{(1,2)}", "(1, 2)"),
        ("\\boxed{\\text{Evelyn}}", "\\text{Evelyn}"),
        ("\\boxed{\\begin{pmatrix}1\\\\2\\end{pmatrix}}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"),
        ("\\boxed{8}, the final answer is 7", 8),
        ("so xy = ab + 2. \\boxed{ab+2}", "ab + 2"),
    ],
)
def test_right_answers(completion, answer):
    assert judged(completion, answer) is True


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        # Read bare, 2√3 is 2 and 3x+1 is 3, for the row as for what stands in tags.
        ("\\boxed{2}", "2\\sqrt3"),
        ("\\boxed{3}", "3x+1"),
        ("<answer>3x+1</answer>", "3"),
        ("<answer>sqrt(2)</answer>", "2"),
        ("<answer>7</answer>, I mean 8", "8"),
        ("", "3"),
        ("I do not know.", "3"),
        ("\\boxed{}", "3"),
        ("\\boxed{\\frac{1}{", "3"),
        ("\\boxed{1/0}", "3"),
        ("9" * 5000, "3"),
        ("\ud800", "3"),
        ("\\boxed{\\begin{pmatrix}1\\\\2\\end{pmatrix}}", "3"),
    ],
)
def test_wrong_answers(completion, answer):
    assert judged(completion, answer) is False


@pytest.mark.parametrize("answer", [None, float("nan"), "", "  ", "\\frac{1}{", "}{", "####"])
def test_rows_that_cannot_be_judged(answer):
    assert judged("\\boxed{3}", answer) is None


def test_math_says_what_trl_says_of_boxed_answers():
    accuracy = pytest.importorskip("trl.rewards").accuracy_reward
    golds = ["42", "\\frac{1}{2}", "$3x+1$", "$2\\sqrt3$", "$(1,2)$"]
    texts = [
        "\\boxed{42}",
        "$\\boxed{0.5}$",
        "\\boxed{1+3x}",
        "\\boxed{\\sqrt{12}}",
        "\\boxed{(1,2)}",
        "\\boxed{7}",
        "no",
    ]
    pairs = [(text, gold) for text in texts for gold in golds]
    theirs = accuracy([[{"role": "assistant", "content": text}] for text, _ in pairs], [gold for _, gold in pairs])
    assert [float(judged(text, gold)) for text, gold in pairs] == theirs
    assert sum(theirs) == 5


def test_math_leaves_no_alarm_and_no_warning(caplog):
    import signal
    import threading

    before = signal.getsignal(signal.SIGALRM)
    heard = []
    thread = threading.Thread(target=lambda: heard.append(judged("\\boxed{3}", "3")))
    thread.start()
    thread.join()
    assert heard == [True] and signal.getsignal(signal.SIGALRM) is before and not caplog.records


# ---- reasoning-gym ---------------------------------------------------------------------------------


def gym():
    return pytest.importorskip("reasoning_gym")


@pytest.mark.filterwarnings("ignore")
def test_every_task_scores_its_rows_as_it_scores_its_entries():
    """Through JSON, which keeps no tuples; right and wrong answers; all tasks there are."""
    from reasoning_gym.factory import DATASETS, create_dataset

    right = 0
    for task in sorted(set(DATASETS) - {"composite"}):
        made = create_dataset(task, size=1, seed=5)
        rows = procedural(f"reasoning-gym:{task}?size=1&seed=5")
        for at, row in enumerate(json.loads(json.dumps(rows))):
            entry = made[at]
            assert (row["prompt"], row["answer"]) == (entry["question"], entry["answer"]), task
            assert json.loads(row["metadata"])["source_dataset"] == task and "options" not in entry["metadata"]
            for answer in {entry["answer"], "17", "[[1]]"} - {None}:
                try:
                    score = made.score_answer(answer, entry)
                except Exception as error:
                    with pytest.raises(type(error)):
                        c.reasoning_gym(answer, row)
                    continue
                assert c.reasoning_gym(f"<answer>{answer}</answer>", row) == score, task
                right += answer == entry["answer"] and score == 1
    assert right > 90


@pytest.mark.parametrize(
    ("completion", "score"),
    [
        ("{}", 1),
        (" {}\n", 1),
        ("<think>17</think> so <answer>\n{}\n</answer> done", 1),
        ("<answer>17</answer><answer>{}</answer>", 1),
        ("<answer>{}</answer><answer>x</answer>", 0),
        ("</answer>{}<answer>", pytest.approx(0.2, abs=0.15)),
        ("", 0),
    ],
)
def test_where_the_answer_is_taken_from(completion, score):
    gym()
    (row,) = procedural("reasoning-gym:chain_sum?size=1")
    assert c.reasoning_gym(completion.format(row["answer"]), row) == score


def test_options_of_a_task_reach_its_scorer():
    """decimal_arithmetic forgives one unit of the last place that its options ask for."""
    gym()
    scores = []
    for places in (2, 5):
        source = f"reasoning-gym:decimal_arithmetic?size=1&min_num_decimal_places=2&max_num_decimal_places={places}"
        (row,) = procedural(source)
        assert json.loads(row["metadata"])["options"]["max_num_decimal_places"] == places
        scores.append(c.reasoning_gym(str(float(row["answer"]) + 0.005), row))
    assert scores == [1, 0]


def test_metadata_may_be_a_mapping_and_must_name_its_task():
    gym()
    (row,) = procedural("reasoning-gym:chain_sum?size=1")
    as_mapping = {**row, "metadata": json.loads(row["metadata"])}
    assert c.reasoning_gym(row["answer"], as_mapping) == 1
    for bad, says in (("{}", "source_dataset"), ("[1]", "source_dataset"), ('{"source_dataset": "x"}', "got 'x'")):
        with pytest.raises(ArgumentError, match=says):
            c.reasoning_gym("1", {**row, "metadata": bad})


# ---- rows made --------------------------------------------------------------------------------------


def test_rows_are_the_same_for_the_same_source(capsys):
    gym()
    rows = procedural("reasoning-gym:chain_sum?size=3&seed=7&max_terms=2")
    assert rows == procedural("reasoning-gym:chain_sum?max_terms=2&seed=7&size=3") and len(rows) == 3
    assert rows != procedural("reasoning-gym:chain_sum?size=3&seed=8&max_terms=2")
    assert len(procedural("reasoning-gym:chain_sum")) == 500
    assert procedural("reasoning-gym:chain_sum")[:2] == procedural("reasoning-gym:chain_sum?seed=0&size=2")
    assert all(set(row) == {"prompt", "answer", "metadata"} for row in rows)
    # A task that prints dots.
    procedural("reasoning-gym:bf?size=1")
    assert capsys.readouterr().out == ""


def test_values_of_options():
    gym()
    (row,) = procedural("reasoning-gym:basic_arithmetic?size=1&operators=[%22%2B%22]&allow_negation=false")
    assert json.loads(row["metadata"])["options"] == {"operators": ["+"], "allow_negation": False}
    assert "+" in row["prompt"]
    assert c.reasoning_gym(row["answer"], row) == 1


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("chain_sums", "one of reasoning-gym's 1.. tasks, got 'chain_sums'\nhint: did you mean chain_sum"),
        ("chain-sum?size=2", "did you mean chain_sum"),
        ("", "got ''\nhint: reasoning_gym.factory"),
        ("composite?size=2", "got 'composite'"),
        ("chain_sum?sizes=3", "options of chain_sum as key=value, got 'sizes=3'\nhint: did you mean size"),
        ("chain_sum?zzz=3", "hint: it has .*max_terms"),
        ("chain_sum?size", "got 'size'"),
        ("chain_sum?size=0", "size to be a whole number of at least 1, got 0"),
        ("chain_sum?size=many", "size to be a whole number of at least 1, got 'many'"),
        ("chain_sum?size=2.5", "got 2.5"),
        ("chain_sum?size=true", "got True"),
        ("chain_sum?seed=-1", "seed to be a whole number of at least 0"),
        ("chain_sum?min_terms=9&max_terms=2", "options that chain_sum can use, got AssertionError: "),
        ("chain_sum?max_terms=few", "options that chain_sum can use, got TypeError"),
    ],
)
def test_sources_refused(source, says):
    gym()
    with pytest.raises(ArgumentError, match=says) as error:
        procedural("reasoning-gym:" + source)
    assert str(error.value).startswith("reasoning-gym:" + source)


# ---- names ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with modules in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_checks.py").write_text(
        "import math\nLIMIT = 3\ndef strict(completion, row): return 1.0\n"
        "class Checks:\n    @staticmethod\n    def inner(completion, row): return 0.5\n"
    )
    (tmp_path / "broken_checks.py").write_text("import no_such_package\n")
    (tmp_path / "typo_checks.py").write_text("def f(:\n")
    (tmp_path / "leaving_checks.py").write_text("raise SystemExit(3)\n")
    yield tmp_path
    sys.modules.pop("own_checks", None)


def test_a_function_of_the_current_folder(folder):
    assert find_checker("own_checks:strict")("", {}) == 1.0
    assert find_checker("own_checks:Checks.inner")("", {}) == 0.5
    assert sys.path[0] == os.getcwd()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("maths", "exact, math, reasoning_gym or module:function, got 'maths'\nhint: did you mean 'math'"),
        ("own_checks", "hint: write own_checks:FUNCTION"),
        ("own_checks:", "hint: write own_checks:FUNCTION"),
        (":strict", "module:function, got ':strict'"),
        ("", "module:function, got ''"),
        (
            "own_cheks:strict",
            "a module own_cheks that can be imported, got ModuleNotFoundError.*\nhint: is own_cheks.py",
        ),
        ("own_checks.py:strict", "no path, no .py"),
        ("./own_checks.py:strict", "no path, no .py"),
        ("broken_checks:f", "got ModuleNotFoundError: No module named 'no_such_package'$"),
        ("typo_checks:f", "got SyntaxError"),
        ("leaving_checks:f", "got SystemExit: 3"),
        ("own_checks:strickt", "a function strickt in own_checks, got none of that name\nhint: did you mean 'strict'"),
        ("own_checks:Checks.outer", "a function Checks.outer"),
        ("own_checks:LIMIT", "a function own_checks:LIMIT, got int"),
    ],
)
def test_names_refused(folder, name, says):
    with pytest.raises(ArgumentError, match=says):
        find_checker(name)


@pytest.mark.parametrize(("name", "package"), [("math", "math_verify"), ("reasoning-gym", "reasoning_gym")])
def test_a_package_that_is_missing(monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ArgumentError, match=f"the package {package.replace('_', '-')}.*\nhint: pip install '\\.\\[train\\]'"
    ):
        find_checker(name)


def test_names_of_functions():
    from helpers import cut

    assert [checker_name(f) for f in c.CHECKERS.values()] == ["exact", "math", "reasoning_gym"]
    assert checker_name("reasoning-gym") == "reasoning_gym" and checker_name("a-b:c") == "a-b:c"
    assert checker_name(math.isclose) == "math:isclose"
    assert checker_name(cut) == "helpers:cut" and find_checker("helpers:cut") is cut


@pytest.mark.parametrize(
    "checker", [lambda completion, row: 1.0, (lambda: lambda c, r: c)(), "".join, math.sqrt.__call__, 3]
)
def test_functions_that_no_other_process_finds(checker):
    with pytest.raises(ArgumentError, match=r"other processes can import, got .*\nhint: put it into a module"):
        checker_name(checker)


def test_every_checker_says_its_columns():
    assert set(c.COLUMNS) == set(c.CHECKERS)
    for name, checker in c.CHECKERS.items():
        for column in c.COLUMNS[name]:
            row = {"answer": "3", "metadata": '{"source_dataset": "chain_sum"}'}
            del row[column]
            if name != "exact":
                pytest.importorskip({"math": "math_verify"}.get(name, name))
            with pytest.raises(KeyError, match=column):
                checker("3", row)
