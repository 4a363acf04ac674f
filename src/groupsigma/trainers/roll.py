"""Silent groups replaced in ROLL, by the dotted path of its rollout loop; read and tested with ROLL git 8eb27cc2.

    user_defined_rollout_loop_cls: groupsigma.trainers.roll.MixedGroups

ROLL has no place for an advantage of one's own: its rule is the preset "roll".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from roll.distributed.scheduler.user_defined_rollout_loop import UserDefinedRolloutLoop

from groupsigma.sigma import is_silent


class MixedGroups(UserDefinedRolloutLoop):
    """ROLL's own loop, after which a silent group counts as filtered: ROLL draws another prompt for it.

    ROLL's std_filter at threshold 0 keeps a group of equal rewards whose float32 std is rounding, and one with a NaN;
    its query filters stay in force. Validation and prompts with a single answer are not filtered.
    """

    async def process_new_prompt(self, context: Any) -> Any:
        """Called by ROLL."""
        responses = await super().process_new_prompt(context)
        if responses is None or context.is_val or len(responses) == 1:
            return responses
        rewards = [one.batch["response_level_rewards"].detach().float().cpu().numpy() for one in responses]
        return None if is_silent(np.concatenate(rewards)) else responses
