"""verl's own compute_advantage on a CPU: its grpo beside three dials; one group is silent, one is a lone answer."""

import numpy as np
import torch
from verl import DataProto
from verl.trainer.ppo.ray_trainer import compute_advantage

rewards = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1.0])
uids = np.array(["mixed"] * 4 + ["equal"] * 8 + ["alone"], dtype=object)

print(f"{'estimator':<21}{'mixed: 1, 0, 0, 0':>20}{'equal: 0.1 × 8':>17}{'alone: 1':>11}")
for estimator in ("grpo", "groupsigma_verl", "groupsigma_dr_grpo", "groupsigma_maxrl"):
    mask = torch.ones(len(rewards), 1, dtype=torch.int64)
    batch = DataProto.from_dict(
        tensors={"token_level_rewards": rewards[:, None].clone(), "response_mask": mask}, non_tensors={"uid": uids}
    )
    config = {"groupsigma": {"weight": "proportional"}}  # as verl weighs unequal groups: by their answers
    a = compute_advantage(batch, adv_estimator=estimator, config=config).batch["advantages"][:, 0]
    print(f"{estimator:<21}{a[0]:>13.4f}, {a[1]:.3f}{a[4]:>16.4f}{a[12]:>12.4f}")
