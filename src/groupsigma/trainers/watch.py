"""A `Watch` as a callback of transformers' trainers, TRL's among them."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from groupsigma.watch import Watch


class WatchCallback(TrainerCallback):
    """Looks after every step; stops the run where a limit is met.

    The groups come from `monitor(reward, watch=watch)` or from `GRPOTrainer(…, watch=watch)`.

    Args: watch: what collects and says. stop: whether a limit that is met ends the training.
    """

    def __init__(self, watch: Watch, stop: bool = True) -> None:
        self.watch, self.stop = watch, stop

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by the trainer."""
        if state.is_world_process_zero and self.watch.look(int(state.global_step)) and self.stop:
            control.should_training_stop = True
