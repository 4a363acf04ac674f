"""The methods against their papers, restated here by hand, and against TRL as installed."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from groupsigma import DAPO, DR_GRPO, GRPO, ArgumentError, advantages
from groupsigma.methods import METHODS, OURS, method_config, side_by_side

# TRL 1.16 turns gradient checkpointing on by the name that transformers 5.23 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")

NAMES = ["grpo", "dr-grpo", "dapo"]

# arXiv 2402.03300 §4.2: "The KL coefficient is 0.04 … The policy model only has a single update following each
#   exploration stage." Eq. 3: 1/G Σ 1/|oᵢ| Σ, one ε, whose value is nowhere.
# arXiv 2503.20783 §3.2: "simply remove the 1/|o| and std(…) normalization terms"; Table 6: clip 0.2, KL 0.0, one
#   inner epoch.
# arXiv 2503.14476 §4.1: "ε_low to 0.2 and ε_high to 0.28", "additional 4,096 tokens as the soft punish cache",
#   "maximum number of tokens … 20,480"; §2.3 "we will exclude the KL term"; verl-recipe: max_num_gen_batches=10.
VALUES = {
    "loss_type": ("grpo", "dr_grpo", "dapo"),
    "scale_rewards": ("group", "none", "group"),
    "epsilon": (0.2, 0.2, 0.2),
    "epsilon_high": (None, None, 0.28),
    "importance_sampling_level": ("token", "token", "token"),
    "num_iterations": (1, 1, 1),
    "beta": (0.04, 0.0, 0.0),
    "use_bias_correction_kl": (False, False, False),
    "mask_truncated_completions": (False, False, False),
    "multi_objective_aggregation": ("sum_then_normalize",) * 3,
    "dynamic_sampling": (False, False, True),
    "max_gen_batches": (10, 10, 10),
    "overlong_share": (0.0, 0.0, 4096 / 20480),
    "overlong_weight": (0.5, 0.5, 0.5),
}
# The same sections; batch and updates of Dr. GRPO from its examples/qwen2.5-math-7b.sh.
REPORTED = {
    "num_generations": (64, 8, 16),
    "training_batch": (1024, 128, 512),
    "updates_per_generation": (1, 128 * 8 // 128, 512 * 16 // 512),
    "max_completion_length": (1024, 3000, 16384 + 4096),
    "learning_rate": (1e-6, 1e-6, 1e-6),
    "lr_scheduler_type": (None, "constant", "constant_with_warmup"),
    "weight_decay": (None, 0.0, 0.1),
    "max_grad_norm": (None, 1.0, 1.0),
    "temperature": (None, 1.0, 1.0),
}


# ---- names and values ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "name"),
    [("grpo", "grpo"), ("GRPO", "grpo"), ("DAPO", "dapo")]
    + [(said, "dr-grpo") for said in ("dr-grpo", "drgrpo", "dr_grpo", "Dr. GRPO", "DR-GRPO", " dr grpo ")],
)
def test_spellings_of_a_name(said, name):
    assert method_config(said) is METHODS[name] and METHODS[name].name == name


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("dpao", r"needs a known method, got 'dpao'\nhint: did you mean 'dapo'\? one of grpo, dr-grpo, dapo"),
        ("DR-GPRO", "did you mean 'dr-grpo'"),
        ("ppo-for-all", "\nhint: one of grpo, dr-grpo, dapo"),
        ("", "got ''"),
        (None, "a method's name, got None"),
        (GRPO, "a method's name, got Dial"),
    ],
)
def test_unknown_methods(said, says):
    with pytest.raises(ArgumentError, match=says):
        method_config(said)


@pytest.mark.parametrize("at", range(3), ids=NAMES)
def test_values_are_those_of_the_sources(at):
    method = method_config(NAMES[at])
    assert {s.name: s.value for s in method.settings} == {name: values[at] for name, values in VALUES.items()}
    reported = {s.name: s.value for s in method.reported if s.name != "reward"}
    assert reported == {name: values[at] for name, values in REPORTED.items() if values[at] is not None}


def test_dials_and_settings_say_the_same():
    assert [method_config(name).dial for name in NAMES] == [GRPO, DR_GRPO, DAPO]
    for method in METHODS.values():
        assert (method.value("scale_rewards") == "none") == (method.dial.power == 0)
        assert method.value("dynamic_sampling") == (method.dial.keep == "mixed")
        assert (method.dial.ddof, method.dial.eps) == (0, 0)


def test_every_setting_has_a_reason_and_a_source():
    for method in METHODS.values():
        assert method.why and re.match(r"arXiv \d{4}\.\d{5}", method.source)
        for setting in (*method.settings, *method.reported):
            assert setting.why and setting.source
            assert setting.stated == (not setting.source.startswith("not stated"))
            assert not setting.stated or re.search(r"§|eq\.|Table|Algorithm|\.sh|\.py|\.md", setting.source)


def test_only_what_no_source_gives_is_unstated():
    unstated = {name: {s.name for s in method_config(name).settings if not s.stated} for name in NAMES}
    ours = {"max_gen_batches", "overlong_weight"}
    assert unstated["grpo"] == {"epsilon", "mask_truncated_completions", "multi_objective_aggregation", *ours}
    assert unstated["dr-grpo"] == {"use_bias_correction_kl", "multi_objective_aggregation", *ours}
    assert unstated["dapo"] == {"use_bias_correction_kl"}


def test_an_unknown_setting_is_refused():
    with pytest.raises(ArgumentError, match=r"a known setting, got 'num_generations'\nhint: one of loss_type, scale"):
        method_config("grpo").value("num_generations")


# ---- yours -----------------------------------------------------------------------------------------


def test_yours_win_and_ours_stay_out():
    dapo = method_config("dapo")
    given = dict(epsilon_high=None, beta=0.1, output_dir="run", dynamic_sampling=False, overlong_share=0.1)
    made = dapo.grpo_config(**given)
    assert made["epsilon_high"] is None and made["beta"] == 0.1 and made["output_dir"] == "run"
    assert made["loss_type"] == "dapo" and not set(made) & set(OURS)
    assert set(dapo.grpo_config()) == set(VALUES) - set(OURS)
    assert dapo.ours(**given) == dict(
        dynamic_sampling=False, max_gen_batches=10, overlong_share=0.1, overlong_weight=0.5
    )
    assert dapo.value("beta") == 0  # A method is frozen; what is given changes what is made of it.


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (dict(dynamic_sampling=1), "dynamic_sampling True or False, got 1"),
        (dict(dynamic_sampling="yes"), "True or False"),
        (dict(max_gen_batches=0), "max_gen_batches to be a whole number of at least 1"),
        (dict(max_gen_batches=2.5), "whole number"),
        (dict(overlong_share=1.01), "overlong_share from 0 to 1, got 1.01"),
        (dict(overlong_share=-0.1), "overlong_share from 0 to 1"),
        (dict(overlong_share=[0.1, 0.2]), "overlong_share from 0"),
        (dict(overlong_weight=-1), "overlong_weight from 0, got -1"),
        (dict(overlong_weight=float("nan")), "overlong_weight to be finite"),
    ],
)
def test_ours_out_of_range(given, says):
    with pytest.raises(ArgumentError, match=says):
        method_config("dapo").ours(**given)


def test_ours_at_the_edges():
    edge = dict(dynamic_sampling=True, max_gen_batches=1, overlong_share=1, overlong_weight=0)
    assert method_config("grpo").ours(**edge) == edge
    assert method_config("dapo").ours(overlong_weight=3)["overlong_weight"] == 3


# ---- departures ------------------------------------------------------------------------------------

STEPS = dict(steps_per_generation=16)


@pytest.mark.parametrize(
    ("name", "given", "lines"),
    [
        ("grpo", {}, []),
        ("grpo", dict(epsilon=10, epsilon_high=10, max_gen_batches=2), []),  # no source gives ε; ε_high is ε
        ("grpo", dict(scale_rewards=True, num_generations=8, learning_rate=1), []),
        ("grpo", dict(epsilon_high=0.28), ["epsilon_high = 0.28, where GRPO has 0.2 (arXiv 2402.03300, eq. 3)"]),
        (
            "grpo",
            dict(beta=0.0),
            ["beta = 0, where GRPO has 0.04 (arXiv 2402.03300, §4.2, eq. 3; R1: arXiv 2501.12948v2, §3.2.1)"],
        ),
        (
            "dr-grpo",
            dict(loss_type="grpo", scale_rewards=True, **STEPS),
            [
                "loss_type = grpo, where Dr. GRPO has dr_grpo (arXiv 2503.20783, §3.2, Listing 1)",
                "scale_rewards = group, where Dr. GRPO has none (arXiv 2503.20783, §3.2)",
            ],
        ),
        ("dr-grpo", dict(scale_rewards=False, epsilon_high=0.2, beta=0, **STEPS), []),
        ("dapo", STEPS, []),
        (
            "dapo",
            dict(epsilon_high=None, **STEPS),
            ["epsilon_high = 0.2, where DAPO has 0.28 (arXiv 2503.14476, §3.1, eq. 10; §4.1)"],
        ),
        (
            "dapo",
            dict(dynamic_sampling=False, **STEPS),
            [
                "dynamic_sampling = False, where DAPO has True (arXiv 2503.14476, §3.2, eq. 11; "
                "verl-recipe dapo/run_dapo_qwen2.5_32b.sh (metric acc))"
            ],
        ),
        ("dapo", dict(overlong_share=4096 / 20480, use_bias_correction_kl=True, **STEPS), []),
    ],
)  # fmt: skip
def test_departures_are_named(name, given, lines):
    assert method_config(name).departures(given) == lines


@pytest.mark.parametrize(
    ("given", "clips"),
    [
        ({}, False),
        (dict(gradient_accumulation_steps=4), False),
        (dict(gradient_accumulation_steps=4, steps_per_generation=4), False),
        (dict(gradient_accumulation_steps=4, steps_per_generation=2), False),  # two batches for one update
        (dict(gradient_accumulation_steps=4, steps_per_generation=8), True),
        (dict(gradient_accumulation_steps=3, steps_per_generation=2), True),  # half a batch is left for the next
        (dict(steps_per_generation=None, gradient_accumulation_steps=None), False),
        (dict(num_iterations=2), True),
        (dict(generation_batch_size=64), True),  # may be: it is not known here
        (dict(generation_batch_size=64, steps_per_generation=1), False),
    ],
)
def test_a_clip_that_never_acts_is_a_departure(given, clips):
    """TRL 1.16 keeps the old log-probabilities where accumulation % (steps × iterations) != 0; else the ratio is 1."""
    for name, made in (("dr-grpo", 8), ("dapo", 16)):
        lines = [line for line in method_config(name).departures(given) if line.startswith("nothing is ever clipped")]
        assert len(lines) == (not clips)
        if not clips:
            steps = made * (given.get("gradient_accumulation_steps") or 1)
            assert f"made {made} (" in lines[0] and lines[0].endswith(f"steps_per_generation = {steps} makes as many")
    assert method_config("grpo").departures({**given, "num_iterations": 1}) == []


# ---- overlong answers ------------------------------------------------------------------------------


def test_the_length_that_is_punished():
    dapo = method_config("dapo")
    assert dapo.overlong(20480) == {"max_completion_len": 20480, "soft_punish_cache": 4096}
    assert dapo.overlong(512)["soft_punish_cache"] == 102 and dapo.overlong(1)["soft_punish_cache"] == 1
    assert dapo.overlong(1000, overlong_share=0.5, beta=0.1)["soft_punish_cache"] == 500
    assert dapo.overlong(512, overlong_share=0) is None and method_config("grpo").overlong(None) is None
    assert method_config("grpo").overlong(100, overlong_share=0.1)["soft_punish_cache"] == 10
    with pytest.raises(ArgumentError, match=r"Method.overlong: needs a max_completion_length, got None\nhint: or over"):
        dapo.overlong(None)
    with pytest.raises(ArgumentError, match="whole number of at least 1"):
        dapo.overlong(0)


def test_trl_punishes_as_equation_13():
    rewards = pytest.importorskip("trl.rewards")
    punish = rewards.get_soft_overlong_punishment(**method_config("dapo").overlong(20480))
    lengths = [1, 16384, 16385, 18432, 20480, 20481]
    assert punish(completion_ids=[[0] * n for n in lengths]) == pytest.approx([0, 0, -1 / 4096, -0.5, -1, -1])


def test_half_the_weight_on_ones_and_zeros_is_the_paper():
    """Eq. 7 and 13: rewards ±1 plus a punishment of up to 1 give the advantages of 1 and 0 plus half of it."""
    rng = np.random.default_rng(0)
    right, punished = rng.integers(0, 2, (50, 16)), -rng.uniform(0, 1, (50, 16))
    weight = method_config("dapo").value("overlong_weight")
    theirs = advantages(2.0 * right - 1 + punished, DAPO)
    np.testing.assert_allclose(advantages(right + weight * punished, DAPO), theirs, rtol=1e-9, atol=1e-12)
    assert np.abs(advantages(right + punished, DAPO) - theirs).max() > 0.1


# ---- what is shown ---------------------------------------------------------------------------------


def test_the_table_has_a_row_for_everything():
    for method in METHODS.values():
        rows = method.table()
        assert [row["kind"] for row in rows] == (
            ["advantage"] + ["TRL"] * 10 + ["ours"] * 4 + ["reported"] * len(method.reported)
        )
        assert [row["setting"] for row in rows[1:]] == [s.name for s in (*method.settings, *method.reported)]
        assert rows[0]["value"] == method.dial.formula and all(
            isinstance(v, str) and v for r in rows for v in r.values()
        )


def test_the_table_shows_yours():
    rows = {
        r["setting"]: r["value"] for r in method_config("dr-grpo").table(beta=0.1, scale_rewards=False, epsilon=0.3)
    }
    assert rows["beta"] == "0.1 (yours; Dr. GRPO has 0)" and rows["scale_rewards"] == "none"
    assert rows["epsilon"] == "0.3 (yours; Dr. GRPO has 0.2)" and rows["epsilon_high"] == "as epsilon"
    both = {r["setting"]: r["value"] for r in method_config("dr-grpo").table(epsilon=0.3, epsilon_high=0.3)}
    assert both["epsilon_high"] == "as epsilon"
    text = method_config("dapo").text(dynamic_sampling=False, learning_rate=1e-5)
    assert "dynamic_sampling             False (yours; DAPO has True)\n    groups all right" in text
    assert "learning_rate                1e-05 (yours; DAPO has 1e-06)" in text


def test_texts_fit_the_screen():
    for method in METHODS.values():
        assert max(map(len, method.text().splitlines())) <= 100 and max(map(len, method.text(60).splitlines())) <= 64
        assert method.text().count("\nreported by the authors, not set\n") == 1
    lines = side_by_side().splitlines()
    assert max(map(len, lines)) <= 100 and lines[0].split() == ["GRPO", "Dr.", "GRPO", "DAPO"]
    assert "epsilon_high                 as epsilon   as epsilon  0.28" in lines
    assert "max_completion_length        1,024        3,000       20,480" in lines
    assert "weight_decay                 –            0           0.1" in lines
    assert "importance_sampling_level    token, all" in lines
    assert lines.index("reported by the authors, not set") == 1 + 1 + len(VALUES) + 1


def test_the_module_needs_neither_trl_nor_torch():
    code = "import sys, groupsigma.methods as m; m.method_config('dapo').grpo_config(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "groupsigma.methods" in loaded.split() and not {"trl", "torch", "duckdb"} & {*loaded.split()}


# ---- TRL as installed ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_trl_takes_the_settings(name, tmp_path):
    trl = pytest.importorskip("trl")
    method = method_config(name)
    made = method.grpo_config(output_dir=str(tmp_path), use_cpu=True, bf16=False, max_completion_length=64)
    assert set(made) <= set(trl.GRPOConfig.__dataclass_fields__)
    config = trl.GRPOConfig(**made)
    assert {key: getattr(config, key) for key in made} == made
    left = {line.split(" ")[0] for line in method.departures(vars(config))}
    assert left == (set() if name == "grpo" else {"nothing"})
    words = {"reward", "training_batch", "updates_per_generation"}
    assert {s.name for s in method.reported} - words <= set(trl.GRPOConfig.__dataclass_fields__)
    assert not set(OURS) & set(trl.GRPOConfig.__dataclass_fields__)


def test_trl_s_defaults_are_none_of_the_methods(tmp_path):
    """docs/methods.md says so."""
    trl = pytest.importorskip("trl")
    default = trl.GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    shown = ("loss_type", "scale_rewards", "beta", "use_bias_correction_kl", "epsilon_high", "lr_scheduler_type")
    assert [getattr(default, name) for name in shown] == ["dapo", "group", 0.0, True, None, "linear"]
    assert default.vllm_importance_sampling_correction and default.delta is None and not default.sync_ref_model
    for method in METHODS.values():
        assert method.departures(vars(default))


#: What GRPOTrainer keeps of its config under the same name and its loss reads.
_READ = (
    "loss_type", "beta", "max_completion_length", "use_vllm", "top_entropy_quantile", "off_policy_mask_threshold",
    "importance_sampling_level", "vllm_importance_sampling_correction",
)  # fmt: skip


def token_gradients(config, lengths=(1, 3, 4), width=5, inputs=()):
    """∂(−loss)/∂log π of each token in TRL's own loss at ratio 1, for advantages 1, −2, ½; and those, 0 in padding."""
    torch = pytest.importorskip("torch")
    trainer = pytest.importorskip("trl.trainer.grpo_trainer")
    rows = len(lengths)
    mask = torch.tensor([[float(t < n) for t in range(width)] for n in lengths])
    logps = torch.full((rows, width), -1.0, requires_grad=True)
    trained = SimpleNamespace(
        args=SimpleNamespace(**{**vars(config), "steps_per_generation": 1}),
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x),
        _get_per_token_logps_and_entropies=lambda *a, **k: (logps, torch.ones(rows, width), None),
        _metrics=defaultdict(lambda: defaultdict(list)),
        epsilon_low=config.epsilon,
        epsilon_high=config.epsilon if config.epsilon_high is None else config.epsilon_high,
        current_gradient_accumulation_steps=1,
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        **{name: getattr(config, name) for name in _READ},
    )
    ids = torch.zeros(rows, width, dtype=torch.long)
    trainer.GRPOTrainer._compute_loss(
        trained,
        None,
        dict(
            prompt_ids=ids, prompt_mask=ids, completion_ids=ids, completion_mask=mask,
            advantages=torch.tensor([1.0, -2.0, 0.5]), num_items_in_batch=mask.sum(), **dict(inputs),
        ),
    ).backward()  # fmt: skip
    return (-logps.grad).numpy(), mask.numpy() * np.array([[1.0], [-2.0], [0.5]])


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("grpo", np.array([[1 / 1], [1 / 3], [1 / 4]]) / 3),  # 1/G Σᵢ 1/|oᵢ| Σₜ
        ("dr-grpo", np.full((3, 1), 1 / (3 * 64))),  # the generation budget
        ("dapo", np.full((3, 1), 1 / 8)),  # 1/Σ|oᵢ|
    ],
)
def test_trl_weighs_tokens_as_the_papers_do(name, weight, tmp_path):
    trl = pytest.importorskip("trl")
    made = method_config(name).grpo_config(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, max_completion_length=64, beta=0.0
    )
    seen, advantage = token_gradients(trl.GRPOConfig(**made))
    np.testing.assert_allclose(seen, weight * advantage, rtol=1e-6)


def test_trl_s_kl_has_the_gradient_of_equation_20(tmp_path):
    """A + β(π_ref/π − 1), which TRL's default for use_bias_correction_kl is not."""
    trl, torch = pytest.importorskip("trl"), pytest.importorskip("torch")
    made = method_config("grpo").grpo_config(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    reference = dict(ref_per_token_logps=torch.full((3, 5), -1.7))
    seen, advantage = token_gradients(trl.GRPOConfig(**made), inputs=reference)
    weight = np.array([[1 / 1], [1 / 3], [1 / 4]]) / 3
    expected = weight * (advantage + 0.04 * (np.exp(-0.7) - 1) * (advantage != 0))
    np.testing.assert_allclose(seen, expected, rtol=1e-5)
    stock, _ = token_gradients(trl.GRPOConfig(**{**made, "use_bias_correction_kl": True}), inputs=reference)
    assert np.abs(stock - expected).max() > 1e-3


def test_the_python_of_the_page_runs(tmp_path, monkeypatch):
    pytest.importorskip("trl")
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parent.parent / "docs" / "methods.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    names: dict = {}
    exec(code, names)
    assert names["config"].epsilon_high == 0.28 and names["config"].beta == 0.001
    assert len(names["method"].departures(names["yours"])) == 1
