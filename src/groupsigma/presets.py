"""Every named rule as data: the paper's three, further points of the plane, and the trainers' own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from groupsigma.dial import DAPO, DR_GRPO, GRPO, LOGIT, MAXRL, RLOO, Dial, pass_at
from groupsigma.errors import ArgumentError


@dataclass(frozen=True)
class Preset:
    """A named dial: whose rule it is, where that is written, and where it is more than a Dial.

    `beyond` says how the trainer departs from the formula: on graded rewards,
    on groups of one, or in which groups it keeps. Empty: nowhere that we found.
    """

    dial: Dial
    what: str
    source: str
    beyond: str = ""


_SINGLE = "a group of one gets its raw reward as advantage (ours: 0)"
_TIES = "equal rewards that are not dyadic leave a spurious spread in float32 (ours: exact 0)"
_NAN = "a group of one is NaN (ours: 0)"
_TIES_64 = "equal rewards can leave a spurious spread of 1e-16 (ours: exact 0)"
_LIMITS = "theory: arXiv 2607.00152 and the objective named"

#: Name -> rule. A trainer's preset gives that trainer's own number on every mixed group of 0/1 rewards.
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "grpo": Preset(GRPO, "divide by σ; ascends 2 arcsin √p", "arXiv 2402.03300; 2607.00152 eq. 1"),
        "dr-grpo": Preset(DR_GRPO, "do not divide; ascends p", "arXiv 2503.20783"),
        "dapo": Preset(DAPO, "GRPO on mixed groups only, silent ones replaced", "arXiv 2503.14476"),
        "rloo": Preset(RLOO, "leave-one-out mean as baseline: Dr. GRPO · G/(G−1)", "arXiv 2402.14740"),
        "maxrl": Preset(
            MAXRL,
            "divide by the mean; ascends log p",
            "arXiv 2602.02710",
            "on graded rewards MaxRL divides by μ, which power and tilt give on 0/1 rewards only",
        ),
        "logit": Preset(LOGIT, "divide by σ²; ascends log p/(1−p)", _LIMITS),
        "pass@4": Preset(pass_at(4), "ascends (1 − (1−p)⁴)/4", "arXiv 2510.23049", "plugged-in at finite G: biased"),
        "trl": Preset(Dial(ddof=1, eps=1e-4), "TRL 1.16 GRPOTrainer", "trl/trainer/grpo_trainer.py", _TIES),
        "trl-none": Preset(DR_GRPO, 'TRL 1.16, scale_rewards="none"', "trl/trainer/grpo_trainer.py"),
        "trl-batch": Preset(
            Dial(spread="batch", ddof=1, eps=1e-4),
            'TRL 1.16, scale_rewards="batch"',
            "trl/trainer/grpo_trainer.py",
            "its frac_reward_zero_std then tells of the batch, not of groups",
        ),
        "trl-async": Preset(
            Dial(eps=1e-8), "TRL 1.16 AsyncGRPO: population std", "trl.experimental, AsyncGRPOTrainer", _TIES_64
        ),
        "trl-rloo": Preset(
            RLOO, "TRL 1.16 RLOOTrainer", "trl/trainer/rloo_trainer.py", "normalize_advantages=True whitens the batch"
        ),
        "verl": Preset(
            Dial(ddof=1, eps=1e-6), "verl 0.9.1 grpo", "verl/trainer/ppo/core_algos.py", f"{_SINGLE}; {_TIES}"
        ),
        "verl-dr-grpo": Preset(
            DR_GRPO, "verl 0.9.1, norm_adv_by_std_in_grpo=False", "verl/trainer/ppo/core_algos.py", _SINGLE
        ),
        "verl-rloo": Preset(RLOO, "verl 0.9.1 rloo", "verl/trainer/ppo/core_algos.py", _SINGLE),
        "verl-dapo": Preset(
            Dial(ddof=1, eps=1e-6, keep="mixed"),
            "verl 0.9.1 grpo with filter_groups",
            "verl/trainer/ppo/v1/replay_buffer.py",
            "the filter's np.std == 0 misses some equal float64 rewards (ours: equality with a tolerance)",
        ),
        "openrlhf": Preset(
            Dial(ddof=1, eps=1e-9),
            "OpenRLHF 0.11.2 group_norm",
            "openrlhf/trainer/ppo_utils/experience_maker.py",
            f"its filter looks at the mean, so graded silent groups pass; {_TIES}",
        ),
        "openrlhf-dr-grpo": Preset(
            DR_GRPO, "OpenRLHF 0.11.2 dr_grpo", "openrlhf/trainer/ppo_utils/experience_maker.py"
        ),
        "openrlhf-rloo": Preset(RLOO, "OpenRLHF 0.11.2 rloo", "openrlhf/trainer/ppo_utils/experience_maker.py"),
        "skyrl": Preset(
            Dial(ddof=1, eps=1e-6),
            "SkyRL 0.4.0 grpo",
            "skyrl/backends/skyrl_train/utils/ppo_utils.py",
            f"{_SINGLE}; {_TIES}",
        ),
        "skyrl-dr-grpo": Preset(
            DR_GRPO, "SkyRL 0.4.0, grpo_norm_by_std=False", "skyrl/backends/skyrl_train/utils/ppo_utils.py", _SINGLE
        ),
        "skyrl-rloo": Preset(RLOO, "SkyRL 0.4.0 rloo", "skyrl/backends/skyrl_train/utils/ppo_utils.py"),
        "skyrl-maxrl": Preset(
            MAXRL,
            "SkyRL 0.4.0 maxrl",
            "skyrl/backends/skyrl_train/utils/ppo_utils.py",
            "divides by μ + 1e-6 (ours: by μ), and without a guard: a negative mean flips all signs (ours: refused)",
        ),
        "prime-rl": Preset(DR_GRPO, "prime-rl 0.8.1 grpo: centres only", "src/prime_rl/orchestrator/algo/grpo.py"),
        "prime-rl-maxrl": Preset(
            MAXRL,
            "prime-rl 0.8.1 max_rl",
            "src/prime_rl/orchestrator/algo/max_rl.py",
            "on graded rewards it divides by μ, which power and tilt give on 0/1 rewards only",
        ),
        "slime": Preset(
            Dial(ddof=1, eps=1e-6),
            "slime 0.3.1",
            "slime/ray/rollout.py",
            f"groups by position: unequal groups are mixed together; its filter drops every group of one; {_TIES}",
        ),
        "slime-dr-grpo": Preset(
            DR_GRPO,
            "slime 0.3.1, --disable-grpo-std-normalization",
            "slime/ray/rollout.py",
            "groups by position: unequal groups are mixed together",
        ),
        "nemo-rl": Preset(
            Dial(center="loo", spread="others", ddof=1, eps=1e-6),
            "NeMo-RL defaults: leave-one-out mean and std",
            "nemo_rl/algorithms/utils.py",
            "a lone right answer is not divided, and its dynamic sampling drops that row and keeps the rest, "
            "which is then silent; one-pass variance in float32 leaves residues on graded rewards",
        ),
        "nemo-rl-rloo": Preset(RLOO, "NeMo-RL, normalize_rewards: false", "nemo_rl/algorithms/utils.py"),
        "nemo-rl-dapo": Preset(
            Dial(ddof=1, eps=1e-6, keep="mixed"),
            "NeMo-RL DAPO recipes: leave-one-out off",
            "nemo_rl/algorithms/utils.py",
            "one-pass variance in float32 leaves residues on graded rewards",
        ),
        "open-instruct": Preset(
            Dial(power=0.0, keep="mixed"),
            "open-instruct: centred, silent groups dropped",
            "open_instruct/data_loader.py",
        ),
        "open-instruct-std": Preset(
            Dial(eps=1e-8, keep="mixed"), "open-instruct, standard normalisation", "open_instruct/data_loader.py", _TIES
        ),
        "roll": Preset(Dial(ddof=1, eps=1e-6), "ROLL grpo", "roll/utils/functionals.py", _TIES),
        "areal": Preset(
            Dial(ddof=1, eps=1e-5),
            "AReaL 1.0.4, group mean and std",
            "areal/utils/data.py",
            "groups by fixed stride; a trailing partial group keeps mean 0 and std 0, so R/1e-5 = 100,000",
        ),
        "oat": Preset(DR_GRPO, "oat 0.2.4 drgrpo", "oat/algorithms/ppo.py"),
        "oat-grpo": Preset(
            Dial(ddof=1, eps=1e-8),
            "oat 0.2.4 grpo",
            "oat/algorithms/ppo.py",
            f"a group of one is NaN (ours: 0); {_TIES}",
        ),
        "ms-swift": Preset(
            Dial(ddof=1, eps=1e-4),
            "ms-swift 4.6.0",
            "swift/rl_core/advantage.py",
            f"an unscorable answer counts as reward 0 (ours: excluded); {_TIES}",
        ),
        "ms-swift-rloo": Preset(
            RLOO, "ms-swift 4.6.0 rloo", "swift/rl_core/advantage.py", "an unscorable answer counts as reward 0"
        ),
        "tinker": Preset(DR_GRPO, "tinker-cookbook 0.6.1: centres only", "tinker_cookbook/rl/data_processing.py"),
        "unsloth": Preset(
            Dial(ddof=1, eps=1e-4),
            "Unsloth 2026.10.9 (TRL's rule)",
            "unsloth/models/rl_replacements.py",
            f"loss_type=dr_grpo switches the division off; {_TIES}",
        ),
    }
)

#: Name -> Dial, for `dial=` arguments and the command line.
DIALS: Mapping[str, Dial] = MappingProxyType({name: preset.dial for name, preset in PRESETS.items()})


def find_dial(name: str) -> Dial:
    """The dial called `name`; "pass@n" for any n. Raises ArgumentError with the known names.

    >>> find_dial("trl")
    Dial: (R − μ) / (s + 0.0001)
    """
    name = name.lower()
    if name in DIALS:
        return DIALS[name]
    if name.startswith("pass@") and name[5:].isdecimal() and int(name[5:]):
        return pass_at(int(name[5:]))
    near = get_close_matches(name, DIALS, 1)
    hint = (f"did you mean {near[0]!r}? " if near else "") + "one of " + ", ".join(DIALS)
    raise ArgumentError("dial", "a known name", repr(name), hint=hint)


def spoken(name: str) -> str:
    """A dial's name as it is written in text.

    >>> spoken("dr-grpo"), spoken("trl")
    ('Dr. GRPO', 'trl')
    """
    return {"grpo": "GRPO", "dr-grpo": "Dr. GRPO", "dapo": "DAPO", "rloo": "RLOO", "maxrl": "MaxRL"}.get(name, name)


def name_of(dial: Dial) -> str:
    """The first name of a dial in DIALS, else its formula.

    >>> name_of(Dial(power=0))
    'dr-grpo'
    """
    return next((name for name, known in DIALS.items() if known == dial), dial.formula)
