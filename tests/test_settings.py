"""The lines to paste: TRL takes them, Hydra reads them, and they say what the audit or the plan said."""

import ast
import inspect
import json
import os
import re
import shlex

import numpy as np
import pytest

from groupsigma import (
    DAPO,
    DIALS,
    DR_GRPO,
    GRPO,
    ArgumentError,
    Beliefs,
    Dial,
    Groups,
    audit,
    cap_risk,
    gain,
    load,
    mean_advantage,
    plan,
    silent_rate,
)
from groupsigma.presets import find_dial
from groupsigma.settings import ROLLOUTS, Data, audit_settings, plan_settings, refill_cap
from groupsigma.value import value_table
from test_cli import run

GROUPS = Groups([f"q{i}" for i in range(90)], [i % 9 for i in range(90)], [8] * 90, source="problems.csv")
RATES = ["q1", "q2"], [0.5, 0.25]

#: Names and defaults of verl 0.9.0: verl/trainer/config/ppo_trainer.yaml with actor/actor.yaml, data/legacy_data.yaml,
#: rollout/rollout.yaml; estimators of trainer/ppo/core_algos.py; losses of workers/config/actor.py.
VERL = {
    "data.train_files": r".+",
    "data.train_batch_size": r"\d+",
    "actor_rollout_ref.actor.ppo_mini_batch_size": r"\d+",
    "actor_rollout_ref.actor.loss_agg_mode": "token-mean|seq-mean-token-sum-norm|seq-mean-token-mean",
    "actor_rollout_ref.rollout.n": r"\d+",
    "algorithm.adv_estimator": r"grpo|rloo|groupsigma(_\w+)?",
    "+algorithm.groupsigma.dial": "grpo",
    "+algorithm.groupsigma.weight": "proportional",
    "+algorithm.groupsigma.power": r"[\d.]+",
    "+algorithm.groupsigma.tilt": r"[\d.]+",
    "algorithm.norm_adv_by_std_in_grpo": "True|False",
    "algorithm.filter_groups.enable": "True",
    "algorithm.filter_groups.metric": "acc",
    "algorithm.filter_groups.max_num_gen_batches": r"\d+",
}


def audited(dial, G=8, **options):
    groups = options.pop("groups", GROUPS)
    return audit_settings(
        audit(groups, group_size=G, dial=DIALS["trl"] if dial.spread == "batch" else dial), dial, **options
    )


def config(text):
    """Keyword arguments of the GRPOConfig(...) in the lines, which must be Python."""
    (call,) = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and name(node) == "GRPOConfig"]
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}


def name(call):
    return getattr(call.func, "id", "")


def trainer(text):
    """Keyword arguments of GRPOTrainer(...) as source; None without one."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and name(node) == "GRPOTrainer"]
    return {keyword.arg: ast.unparse(keyword.value) for keyword in calls[0].keywords} if calls else None


def overrides(text):
    """key -> value as a shell and Hydra 1.3 read the lines: a backslash is one unless a quote follows."""
    words = [shlex.split(line) for line in text.splitlines() if not line.startswith("#")]
    assert all(len(word) == 1 for word in words)
    found = {}
    for (word,) in words:
        key, value = word.split("=", 1)
        if value.startswith('"'):
            assert re.fullmatch(r'"(?:[^"\\]|\\+[^"\\]|(?:\\\\)*\\"|(?:\\\\)+(?="$))*"', value), word
            value = re.sub(r'(\\+)("|$)', lambda run: "\\" * (len(run[1]) // 2) + run[2], value[1:-1])
        else:
            assert re.fullmatch(r"[\w./:@+-]+", value, re.ASCII), word
        assert re.fullmatch(VERL[key], value), key
        found[key] = value
    return found


@pytest.mark.parametrize("G", [2, 3, 8, 16])
@pytest.mark.parametrize(
    "dial",
    [
        *DIALS.values(),
        find_dial("pass@7"),
        Dial(eps=0.3),
        Dial(power=0.5),
        Dial(power=0, tilt=0.25),
        Dial(power=0, center="none"),
    ],
    ids=str,
)
def test_what_a_trainer_s_own_rule_is_taken_for_it_is_up_to_one_factor(dial, G):
    """A stock setting is printed only where its table is the dial's, times the number in the note."""
    k = np.arange(1, G)
    for trainer_name, made in audited(dial, G).items():
        stock = {"group": "trl", "none": "trl-none"}.get(made.options.get("scale_rewards", ""))
        if trainer_name == "verl":
            named = made.options.get("algorithm.adv_estimator"), made.options.get("algorithm.norm_adv_by_std_in_grpo")
            stock = {("grpo", True): "verl", ("grpo", False): "verl-dr-grpo", ("rloo", None): "verl-rloo"}.get(named)
        if stock is None:
            continue
        ratio = gain(k, G, DIALS[stock]) / gain(k, G, dial)
        assert np.ptp(ratio) < 0.01 * ratio.mean() and np.abs(mean_advantage(k, G, dial)).max() < 1e-9
        said = re.search(r"rule is ([\d.]+) times", made.text)
        assert float(said[1]) == pytest.approx(ratio.mean(), abs=2e-3) if said else abs(ratio.mean() - 1) < 2e-3


@pytest.mark.parametrize(
    ("dial", "trl_says", "verl_says"),
    [
        (GRPO, ("group", "grpo"), ("grpo", "True", "seq-mean-token-mean")),
        (DR_GRPO, ("none", "dr_grpo"), ("grpo", "False", "seq-mean-token-sum-norm")),
        (DAPO, (None, "dapo"), ("grpo", "True", "token-mean")),
        (DIALS["trl"], ("group", None), ("grpo", "True", None)),
        (DIALS["trl-batch"], ("batch", None), (None, None, None)),
        (DIALS["rloo"], ("none", None), ("rloo", None, None)),
        (DIALS["open-instruct"], (None, None), ("grpo", "False", None)),
        (DIALS["maxrl"], (None, None), (None, None, None)),
        (DIALS["nemo-rl"], (None, None), (None, None, None)),
    ],
)
def test_the_dial_in_each_trainer_s_words(dial, trl_says, verl_says):
    made = audited(dial, batch=32)
    given = config(made["trl"].text)
    assert (given.get("scale_rewards"), given.get("loss_type")) == trl_says and given == made["trl"].options
    assert given["num_generations"] == given["per_device_train_batch_size"] == 8
    assert given["gradient_accumulation_steps"] == 32
    found = overrides(made["verl"].text)
    names = ("algorithm.adv_estimator", "algorithm.norm_adv_by_std_in_grpo", "actor_rollout_ref.actor.loss_agg_mode")
    assert tuple(map(found.get, names)) == verl_says and found["actor_rollout_ref.rollout.n"] == "8"
    assert found["data.train_batch_size"] == found["actor_rollout_ref.actor.ppo_mini_batch_size"] == "32"
    assert {key: str(value) for key, value in made["verl"].options.items()} == found
    assert ("no estimator of verl's own" in made["verl"].text) == (verl_says[0] is None)
    drop_in = trainer(made["trl"].text)
    assert (drop_in is None) == (trl_says[0] is not None)
    if drop_in is not None:
        assert eval(drop_in["dial"], {"DIALS": DIALS}) == dial


def test_a_dial_without_a_name_is_written_out():
    dial = Dial(power=1.5, tilt=-0.25, center="loo")
    text = audited(dial)["trl"].text
    assert "from groupsigma import Dial\n" in text and eval(trainer(text)["dial"], {"Dial": Dial}) == dial


def test_the_cap_is_the_smallest_that_holds():
    for silent, batch in ((0.0, 1), (0.3, 8), (0.431, 64), (0.75, 64), (0.97, 128)):
        cap = refill_cap(silent, batch)
        assert cap_risk(silent, batch, cap) <= 0.01 and (cap == 1 or cap_risk(silent, batch, cap - 1) > 0.01)
    assert refill_cap(1.0, 4) is None and refill_cap(0.99, 1) == 459  # log .01 / log .99 = 458.2


def test_dynamic_sampling_gets_a_cap_and_is_told_where_it_is_ignored():
    groups = Groups(list("abcd"), None, [0] * 4, rate=[0.5, 0.0, 1.0, 0.5])
    silent = 0.5 + silent_rate(0.5, 8) / 2
    made = audited(DAPO, batch=64, groups=groups)
    assert (
        overrides(made["verl"].text)["algorithm.filter_groups.max_num_gen_batches"]
        == str(refill_cap(silent, 64))
        == "3"
    )
    assert trainer(made["trl"].text)["max_batches"] == "3"
    assert "50.4% of the groups are silent: 2.02 draws for each kept" in made["trl"].text
    assert "ignores max_num_gen_batches" in made["verl"].text and "key acc" in made["verl"].text
    assert "filter_groups" not in audited(GRPO)["verl"].text
    asleep = audited(DAPO, groups=Groups(["a"], None, [0], rate=[0.0]))
    assert "no cap fills a batch" in asleep["trl"].text and "max_batches" not in asleep["trl"].text
    assert "max_num_gen_batches" not in asleep["verl"].text


def test_groups_of_one_and_no_prompts_are_refused():
    with pytest.raises(ArgumentError, match="--config: needs groups of at least 2, got G = 1"):
        audited(GRPO, G=1)
    with pytest.raises(ArgumentError, match="--batch"):
        audited(GRPO, batch=0)


def test_graded_rewards_have_lines_too():
    graded = Groups.from_rewards([0, 0, 1, 1], [0.2, 0.3, 0.5, 0.5], step=None)
    made = audited(DAPO, G=2, groups=graded)
    assert "50.0% of the groups are silent" in made["trl"].text and config(made["trl"].text)["num_generations"] == 2


# ---- plans


def tries_of(text, rows):
    """The function `tries` of the lines, with these rows for the data set."""
    before = text[: text.index("trainer = ")]
    before = re.sub(r"^from (trl|datasets|groupsigma\S*) import .*$", "", before, flags=re.M)
    columns = {column: [row[column] for row in rows] for column in rows[0]}
    names = {"GRPOConfig": dict, "load_dataset": lambda *a, **k: columns}
    exec(before, names)
    return names["tries"]


@pytest.mark.parametrize("goal", ["signal", "coverage", "fidelity"])
def test_a_plan_becomes_tries_that_fill_any_batch(goal):
    found = plan(GROUPS, budget=900, goal=goal)
    rows = [{"id": row["prompt_id"], "tries": row["tries"]} for row in found.rows() if row["tries"]]
    text = plan_settings(found, data=Data("kept.parquet", "id"))["trl"].text
    G, tries = config(text)["num_generations"], tries_of(text, rows)
    assert int(found.planned.rollouts / found.planned.problems + 0.5) == G
    planned = {row["id"]: row["tries"] for row in rows}
    rng, strayed = np.random.default_rng(0), []
    for size in (1, 2, 7, 64):
        for _ in range(50):
            ids = [rows[i]["id"] for i in rng.choice(len(rows), min(size, len(rows)), replace=False)]
            given = tries(ids)
            assert sum(given) == G * len(ids) and min(given) >= 2 and len(given) == len(ids)
            if sum(planned[i] for i in ids) == sum(given):
                assert given == [planned[i] for i in ids]  # what fits is left alone
            strayed.append(np.abs(np.subtract(given, [planned[i] for i in ids])).mean() if size > 1 else 0)
    assert np.mean(strayed) < 2  # stretched, not replaced
    given = trainer(text)
    assert given["tries"] == "tries" and given["prompt_id"] == "'id'" and given["dial"] == "DIALS['grpo']"
    assert "weight" not in given


def test_least_tries_that_are_all_alike_still_fill_the_batch():
    rows = [{"id": i, "tries": 2 if i else 3} for i in range(5)]
    beliefs = Beliefs.known([*range(5)], [0.5] * 5)
    text = plan_settings(plan(beliefs, budget=11, goal="coverage"), data=Data("k.csv", "id"))["trl"].text
    tries = tries_of(text, rows)
    assert tries([1, 2, 3]) == [2, 2, 2] and tries([4]) == [2]


def test_where_one_size_serves_all_no_tries_are_printed():
    even = plan(Beliefs.known(*RATES), budget=16, goal="contrast", max_tries=8)
    assert even.tries.tolist() == [8, 8]
    assert trainer(plan_settings(even, data=Data("k.csv", "id"))["trl"].text) is None
    uneven = plan(GROUPS, budget=900)
    data = Data("k.csv", "prompt_id")
    again = plan_settings(uneven, data=Data("k.csv", "id", repeated=True), group_size=4)
    assert trainer(again["trl"].text) is None and config(again["trl"].text)["num_generations"] == 4
    assert (
        "more tries than 4 has several rows" in again["verl"].text
        and again["verl"].options["actor_rollout_ref.rollout.n"] == 4
    )
    # A dial that replaces silent groups and tries of a plan exclude each other in our trainer.
    both = trainer(plan_settings(plan(GROUPS, budget=900, dial=DAPO), data=data)["trl"].text)
    assert "tries" not in both and int(both["max_batches"]) >= 1 and "prompt_id" not in both
    # Their cap is for the problems that are planned, not for those left out.
    rates = plan(Beliefs.known(["hard", "even"], [1e-3, 0.5]), budget=16, dial=DAPO)
    assert rates.tries.tolist() == [0, 16] and "\n# 0.0% of the groups are silent" in plan_settings(rates)["verl"].text
    assert "tries" in trainer(plan_settings(uneven, data=data)["trl"].text)
    assert trainer(plan_settings(uneven)["trl"].text) is None and "--data-out FILE" in plan_settings(uneven)["trl"].text


def test_a_batch_that_is_more_than_the_problems_is_said():
    small = plan(GROUPS, budget=900)
    kept = int((small.tries > 0).sum())
    for made in plan_settings(small, batch=kept + 1).values():
        assert (
            f"{kept} problems do not fill a batch of {kept + 1}, and trainers drop what does not: --batch B"
            in made.text
        )
    assert all("do not fill" not in made.text for made in plan_settings(small, batch=kept).values())
    assert "90 problems do not fill a batch of 91" in audited(GRPO, batch=91)["trl"].text


def test_verl_takes_the_tries_from_its_own_column():
    uneven = plan(GROUPS, budget=900)
    data = Data("k.parquet", "qid", rollouts=ROLLOUTS)
    made = plan_settings(uneven, data=data)["verl"]
    each = uneven.tries[uneven.tries > 0]
    n = made.options["actor_rollout_ref.rollout.n"]
    assert each.mean() < n <= each.max() and made.options["algorithm.adv_estimator"] == "groupsigma_grpo"
    assert "answers that its column __rollout_n__ says" in made.text
    # A batch of 64 is within n answers a prompt, 99 times in 100.
    rng = np.random.default_rng(0)
    over = [rng.choice(each, 64).sum() > n * 64 for _ in range(4000)]
    assert np.mean(over) < 0.012
    # A larger batch strays less; prompts may count by their answers; without the column nothing changes.
    assert plan_settings(uneven, 100_000, data)["verl"].options["actor_rollout_ref.rollout.n"] == np.ceil(each.mean())
    counted = plan_settings(plan(GROUPS, budget=900, weight="proportional"), data=data)["verl"]
    assert overrides(counted.text)["+algorithm.groupsigma.weight"] == "proportional"
    assert f"updates are {each.mean() / n:.2f} times as large" in counted.text and "same direction" not in counted.text
    plain = plan_settings(uneven, data=Data("k.parquet", "qid"))["verl"]
    assert plain.options["algorithm.adv_estimator"] == "grpo" and "__rollout_n__" not in plain.text


def test_a_dial_of_ones_own_is_said_field_by_field_in_verl():
    own = plan(GROUPS, budget=900, dial=Dial(power=0.5, tilt=0.25))
    text = plan_settings(own, data=Data("k.parquet", "qid", rollouts=ROLLOUTS))["verl"].text
    found = overrides(text)
    assert found["algorithm.adv_estimator"] == "groupsigma" and found["+algorithm.groupsigma.dial"] == "grpo"
    assert (found["+algorithm.groupsigma.power"], found["+algorithm.groupsigma.tilt"]) == ("0.5", "0.25")


def test_weights_go_where_the_trainer_has_them():
    data = Data("k.csv", "prompt_id")
    every = plan(GROUPS, budget=900, weight="proportional")
    assert trainer(plan_settings(every, data=data)["trl"].text)["weight"] == "'proportional'"
    dialled = plan_settings(plan(GROUPS, budget=900, weight="dial"), data=data)["trl"].text
    assert "weight" not in trainer(dialled) and "no trainer weighs prompts by the column weight" in dialled


def test_what_one_size_for_all_costs_is_the_goal_s_own_number():
    found = plan(GROUPS, budget=900)
    made = plan_settings(found)["verl"]
    G = made.options["actor_rollout_ref.rollout.n"]
    values = found.beliefs.weight @ value_table(found.beliefs.p, np.array([G]), found.goal)
    held = found.tries > 0
    worth, cost = values[held].sum() / found.value, G * held.sum() / found.planned.rollouts
    assert f"{G} answers for each have {worth:.1%} of the plan's value for {cost:.1%} of its answers" in made.text
    assert "of the plan's value" not in plan_settings(plan(GROUPS, budget=900, goal="fidelity"))["verl"].text


@pytest.mark.parametrize(
    "path",
    [
        "kept.parquet",
        "my kept.jsonl",
        "a=b,c.parquet",
        "it's.jsonl",
        'say "x".jsonl',
        "back\\slash.jsonl",
        'back\\"slash.jsonl',
        "é/ü.parquet",
        "$HOME~.csv",
    ],
)
def test_names_of_files_survive_shell_hydra_and_python(path):
    made = plan_settings(plan(GROUPS, budget=900), data=Data(path, 'the "id"'))
    assert overrides(made["verl"].text)["data.train_files"] == path
    assert ("verl reads .parquet and .jsonl files only" in made["verl"].text) == path.endswith(".csv")
    calls = [
        node
        for node in ast.walk(ast.parse(made["trl"].text))
        if isinstance(node, ast.Call) and name(node) == "load_dataset"
    ]
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in calls[0].keywords}
    form = {"parquet": "parquet", "jsonl": "json", "csv": "csv"}[path.rpartition(".")[2]]
    assert given == {"data_files": path, "split": "train"} and ast.literal_eval(calls[0].args[0]) == form
    assert ast.literal_eval(trainer(made["trl"].text)["prompt_id"]) == 'the "id"'


@pytest.mark.parametrize("end", ["jsonl.gz", "tsv", "csv", "pq", "ndjson"])
def test_what_is_written_is_what_the_lines_load(end, tmp_path):
    datasets = pytest.importorskip("datasets")
    from groupsigma.rewrite import planned, rewriting

    found = plan(GROUPS, budget=900)
    (tmp_path / "t.csv").write_text("id,text\n" + "".join(f'q{i},"a\tb, {i}"\n' for i in range(90)))
    with rewriting(f"{tmp_path}/t.csv", f"{tmp_path}/o.{end}", planned(found)) as told:
        made = plan_settings(found, data=Data(told.path, told.id_column))["trl"].text
    line = next(line for line in made.splitlines() if line.startswith("train_dataset = "))
    names = {"load_dataset": lambda *a, **k: datasets.load_dataset(*a, **k, cache_dir=str(tmp_path / "cache"))}
    exec(line, names)
    rows = {row["prompt_id"]: row for row in found.rows()}
    loaded = list(names["train_dataset"])
    assert len(loaded) == told.problems > 9
    assert all(row["tries"] == rows[row["id"]]["tries"] and row["text"].startswith("a\tb, ") for row in loaded)


def test_notes_stay_comments_whatever_a_source_is_called():
    named = Groups(["a"], [4], [8], source="x\nimport os\r# y")
    for made in audited(GRPO, groups=named).values():
        assert "# " in made.text and not any(line.startswith("import os") for line in made.text.splitlines())


# ---- the real trainers


@pytest.mark.parametrize("dial", [GRPO, DR_GRPO, DAPO, DIALS["rloo"], DIALS["maxrl"], DIALS["trl-batch"]], ids=str)
@pytest.mark.parametrize("G", [2, 5, 8])
def test_trl_takes_the_lines(dial, G, tmp_path):
    trl = pytest.importorskip("trl")
    import warnings

    given = config(audited(dial, G, batch=12)["trl"].text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # transformers on its own fields
        made = trl.GRPOConfig(**given, output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=[])
    assert made.num_generations == G and made.generation_batch_size == 12 * G
    # One update for each generation batch: what was drawn is what is trained on.
    assert made.steps_per_generation == made.gradient_accumulation_steps
    loss = inspect.getsource(trl.GRPOTrainer)
    assert f'"{made.loss_type}"' in loss and f'"{made.scale_rewards}"' in loss


def test_our_trainer_takes_the_arguments_printed():
    pytest.importorskip("trl")
    from groupsigma.trainers.trl import GRPOTrainer

    known = set(inspect.signature(GRPOTrainer.__init__).parameters)
    known |= set(inspect.signature(GRPOTrainer.__mro__[1].__init__).parameters)
    data = Data("k.csv", "id")
    texts = [
        audited(DAPO)["trl"].text,
        plan_settings(plan(GROUPS, budget=900, weight="proportional"), data=data)["trl"].text,
    ]
    assert all(set(trainer(text)) <= known for text in texts) and "tries" in trainer(texts[1])


# ---- as a user sees it


@pytest.mark.parametrize("verb", [["audit"], ["plan", "--budget", "1000000"]])
def test_config_prints_the_lines_alone(verb, tmp_path):
    command, *more = verb
    for which in ("trl", "verl"):
        done = run(command, "bigmath", *more, "--config", which, "--dial", "dr-grpo", "--batch", "16")
        made = (
            audit_settings(audit(load("bigmath"), dial=DR_GRPO), DR_GRPO, 16)
            if command == "audit"
            else plan_settings(plan(load("bigmath"), budget=1e6, dial=DR_GRPO), 16)
        )[which]
        assert done.returncode == 0 and done.stderr == "" and done.stdout == made.text
        data = json.loads(run(command, "bigmath", *more, "--json", "--dial", "dr-grpo", "--batch", "16").stdout)
        assert data["config"][which] == made.to_dict()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["audit", "t.csv", "--config", "slime"], "--config: needs trl or verl, got 'slime'"),
        (["audit", "t.csv", "--config", "trl", "--json"], "--config: needs standard output for itself"),
        (["audit", "t.csv", "--config", "trl", "-G", "1"], "groups of at least 2"),
        (["audit", "t.csv", "--config", "trl", "-G", "1", "--data-out", "o.csv"], "hint: left out 2 too hard"),
        (["audit", "t.csv", "--config", "trl", "--batch", "0"], "Invalid value for '--batch'"),
        (["plan", "t.csv", "--budget", "40", "--config", "trl", "--csv", "-"], "standard output, where --config goes"),
    ],
)
def test_bad_input(args, words, tmp_path):
    (tmp_path / "t.csv").write_text("id,k,n\na,1,8\nb,4,8\n")
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr and done.stdout == "" and os.listdir(tmp_path) == ["t.csv"]


def test_json_of_groups_of_one_has_no_lines(tmp_path):
    assert json.loads(run("audit", "bigmath", "-G", "1", "--json").stdout)["config"] == {}


def test_a_plan_s_lines_name_the_file_that_was_written(tmp_path):
    (tmp_path / "t.csv").write_text("qid,k,n\n" + "".join(f"q{i},{i % 9},8\n" for i in range(90)))
    args = ["plan", "t.csv", "--budget", "900", "--data-out", "o.jsonl", "--prompt-id", "qid"]
    done = run(*args, "--config", "trl", cwd=tmp_path)
    assert trainer(done.stdout)["prompt_id"] == "'qid'" and 'data_files="o.jsonl"' in done.stdout
    rows = list(map(json.loads, (tmp_path / "o.jsonl").read_text().splitlines()))
    given = tries_of(done.stdout, rows)([row["qid"] for row in rows])
    assert sum(given) == config(done.stdout)["num_generations"] * len(rows) and "left out" in done.stderr
    assert "__rollout_n__" not in rows[0]
    done = run(*args, "--config", "verl", "--repeat", "-G", "4", cwd=tmp_path)
    assert overrides(done.stdout)["data.train_files"] == "o.jsonl" and "rollout.n=4\n" in done.stdout
    done = run(*args, "--config", "verl", cwd=tmp_path)
    rows = list(map(json.loads, (tmp_path / "o.jsonl").read_text().splitlines()))
    assert all(row["__rollout_n__"] == row["tries"] for row in rows) and "__rollout_n__" in done.stdout
    done = run(*args, "--config", "verl", "--dial", "dapo", cwd=tmp_path)
    assert "__rollout_n__" not in (tmp_path / "o.jsonl").read_text() + done.stdout
