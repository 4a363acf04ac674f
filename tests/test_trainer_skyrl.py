"""The dial in SkyRL 0.4.0 (Python 3.12 and later): its registry, its config, its trainer's own call, its Ray."""

import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from asked import trainer
from groupsigma import DIALS, DR_GRPO, MAXRL, ArgumentError, Dial, advantages_by_prompt
from recorded import SILENT, rows

ppo = trainer("skyrl", "skyrl.train.trainer", "skyrl.backends.skyrl_train.utils.ppo_utils")

import ray
from skyrl.train.entrypoints import main_base

from groupsigma.trainers import skyrl as plug

WIDTH = 3


def tokens(rewards, width=WIDTH):
    given = torch.zeros(len(rewards), width)
    given[:, -1] = torch.tensor([float("nan") if r is None else r for r in rewards])
    return given, torch.ones(len(rewards), width)


def config(*overrides):
    return plug.Config.from_cli_overrides([f"trainer.algorithm.{text}" for text in overrides]).trainer.algorithm


def computed(estimator, rewards, ids, settings=None, **given):
    """Through SkyRL's own dispatch."""
    scores, mask = tokens(rewards)
    settings = settings or config()
    return ppo.compute_advantages_and_returns(
        token_level_rewards=scores,
        response_mask=given.pop("mask", mask),
        index=np.array(ids, dtype=object),
        adv_estimator=estimator,
        config=settings,
        grpo_norm_by_std=settings.grpo_norm_by_std,
        **given,
    )[0]


def expected(rewards, ids, dial, weight="equal"):
    scores = torch.tensor([float("nan") if r is None else r for r in rewards])
    return advantages_by_prompt(scores, ids, dial, weight)[:, None].expand(-1, WIDTH)


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        ("groupsigma", "grpo", []),
        ("groupsigma", "grpo", ["grpo_norm_by_std=false"]),
        ("groupsigma_skyrl", "grpo", []),
        ("groupsigma_dr_grpo", "grpo", ["grpo_norm_by_std=false"]),
        ("groupsigma_skyrl_rloo", "rloo", []),
    ],
)
def test_skyrl_s_own_numbers_on_groups_of_one_size(ours, theirs, settings):
    rng = np.random.default_rng(0)
    rewards, ids = [1.0, 0.0, 0.0, 0.0, *rng.random(4)], ["a"] * 4 + ["b"] * 4
    given = config(*settings)
    stock = computed(theirs, rewards, ids, given)
    torch.testing.assert_close(computed(ours, rewards, ids, given), stock, rtol=2e-6, atol=1e-6)
    assert stock.any()


def test_skyrl_s_maxrl_on_right_or_wrong_rewards():
    rewards, ids = [1.0, 0.0, 0.0, 1.0], ["a"] * 4
    torch.testing.assert_close(
        computed("groupsigma_maxrl", rewards, ids), computed("maxrl", rewards, ids), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("weight", ["equal", "proportional"])
def test_ragged_groups_in_the_trainers_order(weight):
    rewards, ids = rows("mixed", "near tie", "graded", "alone", "all right", "unscored")
    given = computed("groupsigma", rewards, ids, config(f"groupsigma.weight={weight}"))
    assert torch.equal(given, expected(rewards, ids, DIALS["skyrl"], weight))
    assert not given[[i for i, name in enumerate(ids) if name in SILENT]].any()


def test_what_skyrl_gives_where_a_group_teaches_nothing():
    """Its grpo: the raw reward for a group of one, float32's rounding divided by itself for a tie. Ours: 0."""
    rewards, ids = rows("alone", "near tie")
    stock = computed("grpo", rewards, ids)
    assert stock[0].tolist() == pytest.approx([1] * WIDTH, abs=2e-6) and stock[1:].abs().max() > 5e-3
    assert not computed("groupsigma", rewards, ids).any()


def test_rows_that_are_not_trained_on_stay_out_and_get_nothing():
    mask = torch.ones(3, WIDTH)
    mask[2] = 0
    given = computed("groupsigma_grpo", [1.0, 0.0, 1.0], ["a"] * 3, mask=mask)
    assert given[:, 0].tolist() == [1, -1, 0]


def test_a_dial_for_each_name_and_again_is_no_harm():
    plug.register()
    known = ppo.AdvantageEstimatorRegistry.list_available()
    assert {"groupsigma", "groupsigma_trl_batch", "groupsigma_pass_4", "grpo"} <= set(known)
    assert len([name for name in known if name.startswith("groupsigma_")]) == len(DIALS)


@pytest.mark.parametrize(
    ("settings", "dial"),
    [
        (["groupsigma.dial=maxrl"], MAXRL),
        (["groupsigma.power=0.5"], Dial(power=0.5, ddof=1, eps=1e-6)),
        (["grpo_norm_by_std=false"], DR_GRPO),
        (["groupsigma.dial=grpo", "groupsigma.center=loo"], Dial(center="loo")),
    ],
)
def test_the_dial_comes_from_the_config(settings, dial):
    rewards, ids = rows("mixed")
    assert torch.equal(computed("groupsigma", rewards, ids, config(*settings)), expected(rewards, ids, dial))


def test_what_is_refused():
    rewards, ids = rows("mixed")
    with pytest.raises(ArgumentError, match="did you mean 'maxrl'"):
        computed("groupsigma", rewards, ids, config("groupsigma.dial=maxlr"))
    with pytest.raises(ArgumentError, match="weight alone beside a named estimator, got power"):
        computed("groupsigma_maxrl", rewards, ids, config("groupsigma.power=2"))
    with pytest.raises(ValueError, match="strength"):
        config("groupsigma.strength=2")


def test_skyrl_s_own_config_serves_too():
    from skyrl.train.config import AlgorithmConfig

    rewards, ids = rows("mixed")
    given = computed("groupsigma", rewards, ids, AlgorithmConfig())
    assert torch.equal(given, expected(rewards, ids, DIALS["skyrl"]))


def test_the_trainer_s_own_call_with_step_wise_trajectories():
    """Three trajectories of 2, 1 and 2 steps: their last steps are the group, every step gets their advantage."""
    from skyrl.backends.skyrl_train.training_batch import TrainingInputBatch
    from skyrl.train.trainer import RayPPOTrainer

    rewards, mask = tokens([9.0, 1.0, 0.0, 9.0, 0.0])
    batch = TrainingInputBatch({"rewards": rewards, "response_mask": mask.long(), "values": None})
    last = [False, True, True, False, True]
    batch.metadata = {"uids": ["a"] * 5, "is_last_step": last, "avg_response_length": 3.0}
    cfg = plug.Config.from_cli_overrides(
        ["trainer.algorithm.advantage_estimator=groupsigma_grpo", "generator.step_wise_trajectories=true"]
    )
    given = RayPPOTrainer.compute_advantages_and_returns(SimpleNamespace(cfg=cfg, all_metrics={}), batch)
    once = advantages_by_prompt(torch.tensor([1.0, 0.0, 0.0]), ["a"] * 3)
    assert torch.equal(given["advantages"], once[[0, 0, 1, 2, 2]][:, None].expand(-1, WIDTH))


def test_the_entry_point_reads_its_config_and_starts_ray_then_the_run(monkeypatch):
    seen = []
    monkeypatch.setattr(main_base, "validate_cfg", lambda cfg: seen.append("validated"))
    monkeypatch.setattr("skyrl.train.utils.initialize_ray", lambda cfg: seen.append("ray"))
    monkeypatch.setattr(main_base, "skyrl_entrypoint", SimpleNamespace(remote=lambda cfg: seen.append(cfg)))
    monkeypatch.setattr(ray, "get", lambda _: None)
    named = "trainer.override_entrypoint=groupsigma.trainers.skyrl"
    monkeypatch.setattr(sys, "argv", ["main", named, "trainer.algorithm.groupsigma.dial=maxrl"])
    main_base.main()
    *before, cfg = seen
    assert before == ["validated", "ray"] and cfg.trainer.algorithm.groupsigma.dial == "maxrl"


def test_the_registry_of_another_process_has_the_dial():
    """Registered before Ray starts, synced as SkyRL syncs, and asked for by name where nothing imported it."""

    @ray.remote
    def elsewhere(scores, mask, index):
        from skyrl.backends.skyrl_train.utils.ppo_utils import AdvantageEstimatorRegistry

        return AdvantageEstimatorRegistry.get("groupsigma_maxrl")(
            token_level_rewards=scores, response_mask=mask, index=index, config=None
        )[0]

    rewards, ids = rows("mixed", "all wrong")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=80 << 20)
    try:
        ppo.sync_registries()
        given = ray.get(elsewhere.remote(*tokens(rewards), np.array(ids, dtype=object)))
    finally:
        ray.shutdown()
    assert torch.equal(given, expected(rewards, ids, MAXRL))


def test_the_example_s_arguments_are_read():
    text = (Path(__file__).parent.parent / "examples" / "skyrl" / "run.sh").read_text()
    words = [
        word for word in shlex.split(text, comments=True) if re.match(r"(trainer|data|generator|environment)\.", word)
    ]
    assert words[0] == "trainer.override_entrypoint=groupsigma.trainers.skyrl"
    cfg = plug.Config.from_cli_overrides([w.replace("$NUM_GPUS", "4").replace("$DATA_DIR", "d") for w in words[1:]])
    assert cfg.trainer.algorithm.advantage_estimator in ppo.AdvantageEstimatorRegistry.list_available()
