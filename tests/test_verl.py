"""The plug-in against the released verl: its own compute_advantage, its configs, its trainer's step, a Ray actor."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from asked import trainer

verl = trainer("verl", "verl.trainer.ppo.ray_trainer")

import torch
from omegaconf import OmegaConf
from verl import DataProto
from verl.trainer.config import AlgoConfig
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY
from verl.trainer.ppo.ray_trainer import compute_advantage
from verl.utils.import_utils import load_extern_type

from groupsigma import DIALS, ArgumentError, Dial, advantages_by_prompt
from groupsigma.trainers.verl import TESTED, Step, asked, estimator_name
from groupsigma.trainers.verl_sampler import sampler

EXAMPLE = Path(__file__).parent.parent / "examples" / "verl"

pytestmark = pytest.mark.filterwarnings("ignore")

UIDS = np.array(["a", "b", "a", "b", "c", "b", "d", "d"], dtype=object)
REWARDS = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.7, 0.7])


def batch(rewards=REWARDS, uids=UIDS, width=5):
    """As verl has it: the reward at the last token of an answer, answers of unequal length."""
    n = len(rewards)
    lengths = torch.arange(n) % (width - 1) + 2
    mask = (torch.arange(width)[None] < lengths[:, None]).to(torch.int64)
    tokens = torch.zeros(n, width, dtype=rewards.dtype)
    tokens[torch.arange(n), lengths - 1] = rewards
    return DataProto.from_dict(
        tensors={"token_level_rewards": tokens, "response_mask": mask}, non_tensors={"uid": uids.copy()}
    )


def advantage(data, estimator, config=None, **given):
    out = compute_advantage(data, adv_estimator=estimator, config=config, **given)
    rows = out.batch["advantages"]
    mask = out.batch["response_mask"]
    assert torch.equal(rows, out.batch["returns"]) and torch.equal(rows, rows[:, :1] * mask)
    return rows[:, 0]


def struct(**extra):
    """verl's algorithm section, closed as Hydra leaves it, with what the user adds by +algorithm.groupsigma."""
    own = {"adv_estimator": "gae", "norm_adv_by_std_in_grpo": True, "filter_groups": None}
    config = OmegaConf.create({**own, "groupsigma": extra} if extra else own)
    OmegaConf.set_struct(config, True)
    return config


def test_every_dial_is_an_estimator_without_a_line_of_user_code():
    code = "import verl.trainer.ppo.core_algos as c; print(*c.ADV_ESTIMATOR_REGISTRY)"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"groupsigma", "groupsigma_dr_grpo"} | {estimator_name(name) for name in DIALS} <= set(names)
    assert verl is not None and TESTED == "0.9.1"


@pytest.mark.parametrize("name", DIALS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_dial_through_verl_s_own_compute_advantage(name, dtype):
    rewards = REWARDS.to(dtype)
    given = advantage(batch(rewards), estimator_name(name), struct())
    assert given.dtype == dtype
    assert torch.equal(given, advantages_by_prompt(rewards, UIDS, DIALS[name]))
    assert not given[[4, 6, 7]].any(), "a group of one and a silent one"


@pytest.mark.parametrize("divides", [True, False])
def test_without_a_dial_it_is_verl_s_own_grpo(divides):
    config = struct(weight="proportional")
    config.norm_adv_by_std_in_grpo = divides
    own = advantage(batch(), "grpo", norm_adv_by_std_in_grpo=divides)
    given = advantage(batch(), "groupsigma", config)
    mixed = [0, 1, 2, 3, 5]
    torch.testing.assert_close(given[mixed], own[mixed], rtol=3e-7, atol=0)
    assert own[4] == pytest.approx(1, rel=1e-5) and given[4] == 0, "verl hands a group of one its raw reward"


def test_a_dial_from_the_config():
    for given, dial in (
        ({"dial": "pass@8"}, "pass@8"),
        ({"dial": "grpo", "power": 0.0}, "dr-grpo"),
        ({"dial": "grpo", "power": 1, "tilt": 0.5}, "maxrl"),
    ):
        name = advantage(batch(), "groupsigma", struct(**given))
        assert torch.equal(name, advantages_by_prompt(REWARDS, UIDS, asked({"groupsigma": {"dial": dial}})[0]))
    equal, own = (asked(struct(weight=weight))[1] for weight in ("equal", "proportional"))
    assert (equal, own) == ("equal", "proportional")


def test_the_command_line_as_hydra_reads_it():
    from hydra import compose, initialize_config_module

    ours = ["algorithm.adv_estimator=groupsigma", "+algorithm.groupsigma.power=0.5"]
    filtering = ["algorithm.filter_groups.enable=True", "algorithm.filter_groups.max_num_gen_batches=3"]
    switches = "trainer.v1.sampler.sampler_kwargs=${algorithm.filter_groups}"
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", [*ours, *filtering, switches])
    assert asked(config.algorithm)[0] == Dial(power=0.5, ddof=1, eps=1e-6)
    assert config.trainer.v1.sampler.sampler_kwargs.max_num_gen_batches == 3
    given = advantage(batch(), config.algorithm.adv_estimator, config.algorithm)
    assert torch.equal(given, advantages_by_prompt(REWARDS, UIDS, Dial(power=0.5, ddof=1, eps=1e-6)))


def test_the_example_s_lines_are_taken_by_hydra():
    from hydra import compose, initialize_config_module

    lines = f'source {EXAMPLE / "dial.sh"}; printf "%s\\n" "${{GROUPSIGMA_ARGS[@]}}"'
    given = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", given)
    assert asked(config.algorithm)[0] == Dial(power=0.5)
    custom = config.trainer.v1.sampler.custom_sampler
    assert load_extern_type(custom.path, custom.name) is sampler
    assert config.trainer.v1.sampler.sampler_kwargs.max_num_gen_batches == 10


def test_the_example_shows_what_differs():
    done = subprocess.run([sys.executable, EXAMPLE / "advantages.py"], capture_output=True, text=True, check=True)
    stock, ours = done.stdout.splitlines()[1:3]
    assert stock.split() == ["grpo", "1.5000,", "-0.500", "-0.0074", "1.0000"]
    assert ours.split() == ["groupsigma_verl", "1.5000,", "-0.500", "0.0000", "0.0000"]


def test_verl_s_dataclass_config_is_taken_too():
    assert asked(AlgoConfig(norm_adv_by_std_in_grpo=False))[0] == DIALS["verl-dr-grpo"]


@pytest.mark.parametrize(
    ("estimator", "given", "words"),
    [
        ("groupsigma", {"powr": 1}, "known keys, got powr"),
        ("groupsigma", {"dial": "gpro"}, "did you mean 'grpo'"),
        ("groupsigma", {"weight": "by-size"}, "weight equal or proportional"),
        ("groupsigma_grpo", {"power": 2}, "weight alone beside a named estimator"),
        ("groupsigma", {"ddof": 3}, "ddof 0 or 1"),
    ],
)
def test_what_cannot_be_is_said(estimator, given, words):
    with pytest.raises(ArgumentError, match=words):
        advantage(batch(), estimator, struct(**given))


def test_a_batch_without_uids_is_refused():
    with pytest.raises(ArgumentError, match="the uid of each answer"):
        advantage(DataProto.from_dict(tensors=dict(batch().batch.items())), "groupsigma", struct())


def test_rows_that_verl_rejected_stay_out_of_their_group():
    data = batch(torch.tensor([1.0, 0.0, 0.0, 1.0]), np.array(["a"] * 4, dtype=object))
    data.batch["response_mask"][1] = 0
    given = advantage(data, "groupsigma_dr_grpo", struct())
    torch.testing.assert_close(given, torch.tensor([1 / 3, 0, -2 / 3, 1 / 3]))


# ---- sessions, metrics: through the trainer's own step --------------------------------------------------------------


class Store:
    """The two calls of TransferQueue that a step makes."""

    def __init__(self, rows):
        self.rows, self.put = rows, None

    def kv_batch_get(self, keys, partition_id, select_fields):
        from tensordict import TensorDict
        from verl.utils.tensordict_utils import list_of_dict_to_tensordict

        assert TensorDict is not None
        return list_of_dict_to_tensordict([self.rows[key] for key in keys])

    def kv_batch_put(self, keys, partition_id, fields):
        self.put = dict(zip(keys, fields["advantages"], strict=True))
        return SimpleNamespace(keys=keys, partition_id=partition_id)


def step(keys, rewards, monkeypatch, padding=(), **algorithm):
    """verl's PPOTrainer._compute_advantage on these rows: (first advantage of each row, what goes to the logger)."""
    trainer("verl", "transfer_queue")
    from verl.trainer.ppo.v1 import trainer_base

    def row(key, reward, length):
        tokens = torch.zeros(length)
        tokens[-1] = reward
        mask = torch.zeros(length, dtype=torch.int64) if key in padding else torch.ones(length, dtype=torch.int64)
        return {"uid": key.split("_")[0], "response_mask": mask, "rm_scores": tokens}

    store = Store({key: row(key, reward, 2 + i % 3) for i, (key, reward) in enumerate(zip(keys, rewards, strict=True))})
    monkeypatch.setattr(trainer_base, "tq", store)
    config = OmegaConf.create({
        "algorithm": {
            "use_kl_in_reward": False, "gamma": 1.0, "lam": 1.0, "adv_estimator": "groupsigma_grpo",
            "norm_adv_by_std_in_grpo": True, **algorithm,
        },
        "actor_rollout_ref": {"rollout": {"n": 4}},
    })  # fmt: skip
    OmegaConf.set_struct(config, True)

    class Batch(SimpleNamespace):
        def __len__(self):
            return len(self.keys)

    tags = [{"is_padding": key in padding} for key in keys]
    metrics = {}
    trainer_base.PPOTrainer._compute_advantage(
        SimpleNamespace(config=config), Batch(keys=list(keys), tags=tags, partition_id="train"), metrics
    )
    return torch.stack([store.put[key][0] for key in keys]), metrics


def test_a_session_of_several_rows_counts_once_in_the_trainer_s_own_step(monkeypatch):
    """verl hands a custom estimator every row as an answer of its own; three turns of one session are one answer."""
    keys = ["u_0_0", "u_0_2", "u_0_1", "u_1_0", "u_2_0"]
    given, metrics = step(keys, [1, 1, 1, 0, 0], monkeypatch)
    once = advantages_by_prompt(torch.tensor([1.0, 0, 0]), ["u"] * 3)
    assert torch.equal(given, once[[0, 0, 0, 1, 2]])
    assert metrics["group/size_mean"] == 3 and metrics["group/silent"] == 0
    stock, _ = step(keys, [1, 1, 1, 0, 0], monkeypatch, adv_estimator="grpo")
    torch.testing.assert_close(given, stock * torch.tensor(1.5).sqrt(), rtol=1e-5, atol=0)  # ddof 1 of three
    rows = advantages_by_prompt(torch.tensor([1.0, 1, 1, 0, 0]), ["u"] * 5)
    assert (given - rows).abs().max() > 0.4  # the trap


def test_group_metrics_reach_the_trainer_s_log_without_rows_that_only_fill_up(monkeypatch):
    keys = ["u_0_0", "u_1_0", "v_0_0", "v_1_0", "pad_0_0", "pad_1_0"]
    given, metrics = step(keys, [1, 0, 1, 1, 0, 0], monkeypatch, padding=keys[4:])
    assert given.tolist() == [1, -1, 0, 0, 0, 0]
    assert metrics["group/silent"] == 0.5 == metrics["group/all_right"] and metrics["group/size_mean"] == 2
    assert metrics["group/unscorable"] == 0


def test_a_session_s_last_turn_is_the_highest_number_in_its_key():
    names, turns = Step(["u-1_0_0", "u-1_0_10", "u-1_0_9"], [False] * 3).sessions()
    assert names == ["u-1_0"] * 3 and turns == [0, 10, 9]
    assert Step(["u_0_0", "u_1_0"], [False] * 2).sessions() == (None, None)


# ---- the plug-in's own word, and Ray --------------------------------------------------------------------------------


def report(**environment):
    return subprocess.run(
        [sys.executable, "-m", "groupsigma.trainers.verl"],
        capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def test_it_says_whether_verl_sees_it():
    seen = report()
    assert seen.returncode == 0 and f"verl sees groupsigma: {len(DIALS) + 1} estimators" in seen.stdout
    unseen = report(VERL_USE_EXTERNAL_PLUGINS="none")
    assert unseen.returncode == 1 and "VERL_USE_EXTERNAL_PLUGINS is 'none'" in unseen.stdout


def test_it_says_the_error_that_verl_hides(tmp_path):
    """A plug-in that breaks on import: verl is silent at its log level, the module is not."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['groupsigma.trainers.tokens'] = None\n")
    broken = report(PYTHONPATH=str(tmp_path))
    assert broken.returncode == 1 and "groupsigma.trainers.tokens" in broken.stdout + broken.stderr


def test_in_a_ray_actor_nobody_imports_groupsigma():
    ray = trainer("verl", "ray")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:

        @ray.remote
        class Runner:
            def run(self, tokens, mask, uids):
                from verl import DataProto
                from verl.trainer.ppo.ray_trainer import compute_advantage

                data = DataProto.from_dict(
                    tensors={"token_level_rewards": tokens, "response_mask": mask}, non_tensors={"uid": uids}
                )
                return compute_advantage(data, adv_estimator="groupsigma_dr_grpo", config={}).batch["advantages"]

        data = batch()
        tokens, mask = data.batch["token_level_rewards"], data.batch["response_mask"]
        given = ray.get(Runner.remote().run.remote(tokens, mask, UIDS))
    finally:
        ray.shutdown()
    assert torch.equal(given[:, 0], advantages_by_prompt(REWARDS, UIDS, DIALS["dr-grpo"]))


def test_estimators_are_in_verl_s_registry_once():
    from groupsigma.trainers.verl import register

    before = dict(ADV_ESTIMATOR_REGISTRY)
    with pytest.raises(ValueError, match="already been registered"):
        register()
    assert before == ADV_ESTIMATOR_REGISTRY
