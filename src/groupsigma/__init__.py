"""groupsigma: the group standard deviation of RLVR, exact: GRPO, Dr. GRPO and DAPO as one dial.

The names below are the public ones. Importing this loads NumPy and nothing
heavier; DuckDB is loaded by `load`, and torch is never imported, only recognised.
"""

from groupsigma.advantages import advantages, advantages_by_prompt
from groupsigma.audit import Audit, audit
from groupsigma.baseline import baseline
from groupsigma.belief import Beliefs, Drift
from groupsigma.bounds import Region, expected_gain_interval, region, silent_rate_interval
from groupsigma.compare import Comparison, compare
from groupsigma.course import Course, course
from groupsigma.course_findings import course_findings
from groupsigma.dial import DAPO, DR_GRPO, GRPO, LOGIT, MAXRL, RLOO, Dial, pass_at
from groupsigma.drift import Forecast, forecast
from groupsigma.errors import ArgumentError, GroupsigmaError, SourceError
from groupsigma.estimate import expected_gain_unbiased, mean_over_prompts, pass_at_k, pass_hat_k, silent_rate_unbiased
from groupsigma.findings import Finding, findings
from groupsigma.groups import Groups, Intake, RewardSummary
from groupsigma.identity import Identity, identity
from groupsigma.implied import Sampling, by_dial, redrawn_weight, sampling
from groupsigma.law import (
    cap_risk,
    checked_rate,
    difficulty_weight,
    draws_per_kept_group,
    expected_gain,
    fidelity,
    gradient_share,
    group_size_law,
    limit_gain,
    mixed_rate,
    objective,
    required_group_size,
    silent_rate,
)
from groupsigma.measures import Setting
from groupsigma.methods import Method, method_config
from groupsigma.metrics import group_metrics
from groupsigma.mixture import Mixture, Posterior, mixture
from groupsigma.plan import Plan, Totals, plan
from groupsigma.presets import DIALS, PRESETS, Preset, find_dial
from groupsigma.readers import load
from groupsigma.readers.columns import Columns
from groupsigma.readers.reading import Reading
from groupsigma.removed import Removed, silent_removed
from groupsigma.sigma import (
    advantage_pair,
    advantage_table,
    contrast,
    gain,
    is_silent,
    mean_advantage,
    sigma,
    slope,
)
from groupsigma.simulate import Records, simulate
from groupsigma.stopping import Stopping, should_continue, stopping
from groupsigma.survey import Borrowed, borrow, interval_width, problems_needed
from groupsigma.tracker import Foresight, Tracker
from groupsigma.value import Goal, beta_value, group_value
from groupsigma.watch import Watch

__version__ = "0.1.0"

__all__ = [
    "DAPO",
    "DIALS",
    "DR_GRPO",
    "GRPO",
    "LOGIT",
    "MAXRL",
    "PRESETS",
    "RLOO",
    "ArgumentError",
    "Audit",
    "Beliefs",
    "Borrowed",
    "Columns",
    "Comparison",
    "Course",
    "Dial",
    "Drift",
    "Finding",
    "Forecast",
    "Foresight",
    "Goal",
    "Groups",
    "GroupsigmaError",
    "Identity",
    "Intake",
    "Method",
    "Mixture",
    "Plan",
    "Posterior",
    "Preset",
    "Reading",
    "Records",
    "Region",
    "Removed",
    "RewardSummary",
    "Sampling",
    "Setting",
    "SourceError",
    "Stopping",
    "Totals",
    "Tracker",
    "Watch",
    "advantage_pair",
    "advantage_table",
    "advantages",
    "advantages_by_prompt",
    "audit",
    "baseline",
    "beta_value",
    "borrow",
    "by_dial",
    "cap_risk",
    "checked_rate",
    "compare",
    "contrast",
    "course",
    "course_findings",
    "difficulty_weight",
    "draws_per_kept_group",
    "expected_gain",
    "expected_gain_interval",
    "expected_gain_unbiased",
    "fidelity",
    "find_dial",
    "findings",
    "forecast",
    "gain",
    "gradient_share",
    "group_metrics",
    "group_size_law",
    "group_value",
    "identity",
    "interval_width",
    "is_silent",
    "limit_gain",
    "load",
    "mean_advantage",
    "mean_over_prompts",
    "method_config",
    "mixed_rate",
    "mixture",
    "objective",
    "pass_at",
    "pass_at_k",
    "pass_hat_k",
    "plan",
    "problems_needed",
    "redrawn_weight",
    "region",
    "required_group_size",
    "sampling",
    "should_continue",
    "sigma",
    "silent_rate",
    "silent_rate_interval",
    "silent_rate_unbiased",
    "silent_removed",
    "simulate",
    "slope",
    "stopping",
]
