"""verl's replay buffer without silent groups: dynamic sampling with a cap that holds, no mixed group thrown away.

    algorithm.filter_groups.enable=True algorithm.filter_groups.max_num_gen_batches=10
    trainer.v1.sampler.custom_sampler.path=pkg://groupsigma.trainers.verl_sampler
    trainer.v1.sampler.custom_sampler.name=sampler
    trainer.v1.sampler.sampler_kwargs='${algorithm.filter_groups}'

The switches are verl's own. `metric` says which reward decides ("reward", or a key of reward_extra_info such as
"acc"); after `max_num_gen_batches` batches of draws (default 10) a step trains on the mixed groups it has, and silent
ones, whose advantage is 0, fill the batch. Written against verl 0.9.1.
"""

from __future__ import annotations

from collections import Counter
from time import time
from typing import Any

import numpy as np
import transfer_queue as tq
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer, ReplayBufferAsync
from verl.utils.skip import SkipManager

from groupsigma.checks import Floats
from groupsigma.errors import ArgumentError
from groupsigma.metrics import Scored
from groupsigma.sigma import is_silent
from groupsigma.trainers.draws import Draws
from groupsigma.trainers.notes import say

WHO = "sampler"

#: Batches drawn for one step at most: the cap of DAPO's authors.
MAX_BATCHES = 10


def sampler(**given: Any) -> ReplayBuffer:
    """What verl builds in place of its replay buffer: the one of the trainer's mode."""
    return (Sampler if given["trainer_mode"] == "sync" else AsyncSampler)(**given)


class _Judged(ReplayBuffer):
    """Groups judged once they are finished, by their sessions' last answers."""

    def __init__(self, **given: Any) -> None:
        switches = dict(given.get("sampler_kwargs") or {})
        self.metric: str = switches.get("metric") or "reward"
        cap = switches.get("max_num_gen_batches") or MAX_BATCHES
        if not isinstance(cap, int | float) or not 1 <= cap < float("inf"):
            raise ArgumentError(WHO, "max_num_gen_batches of at least 1", repr(cap))
        self.draws = Draws(0, float(cap), say)
        self.silent: set[str] = set()
        self._rewards: dict[str, Floats] = {}
        self._news: list[Floats] = []
        super().__init__(**given)

    def judge(self, partition_id: str) -> None:
        """Read the rewards of groups finished since the last call."""
        done = self.finished_keys[partition_id] | self.failure_keys[partition_id]
        for uid in self._rewards.keys() - done:
            del self._rewards[uid]
            self.silent.discard(uid)
        new: dict[str, list[float]] = {uid: [] for uid in sorted(done - self._rewards.keys())}
        last: dict[str, tuple[int, str]] = {}
        for key in self.partitions[partition_id]:
            if key.split("_")[0] in new:
                session, turn = key.rsplit("_", 1)
                last[session] = max(last.get(session, (-1, "")), (int(turn), key))
        keys = [key for _, key in last.values()]
        for key, reward in zip(keys, self._read(partition_id, keys), strict=True):
            new[key.split("_")[0]].append(reward)
        for uid, rewards in new.items():
            own = np.array(rewards, dtype=np.float64)
            self._rewards[uid] = own
            self._news.append(own)
            if not own.size or is_silent(own):
                self.silent.add(uid)

    def _read(self, partition_id: str, keys: list[str]) -> list[float]:
        if not keys:
            return []
        name = "rm_scores" if self.metric == "reward" else "extra_fields"
        data = tq.kv_batch_get(keys=keys, partition_id=partition_id, select_fields=[name])
        if name == "rm_scores" and name in data:
            return [float(value.sum()) for value in data[name]]
        infos = [getattr(value, "data", value).get("reward_extra_info", {}) for value in data.get(name, [])]
        if len(infos) != len(keys) or any(self.metric not in info for info in infos):
            hint = "a reward model beside the trainer scores after sampling; give it reward_model.enable_resource_pool"
            raise ArgumentError(WHO, f"the reward {self.metric!r} of every answer", "answers without", hint=hint)
        return [float("nan") if info[self.metric] is None else float(info[self.metric]) for info in infos]

    def _select_prompt_uids(self, partition_id: str, sampleable_keys: set[str], batch_size: int) -> Any:
        """verl's choice, silent groups last."""
        quiet = sampleable_keys & self.silent
        chosen, *rest = super()._select_prompt_uids(partition_id, sampleable_keys - quiet, batch_size)
        spare, *_ = super()._select_prompt_uids(partition_id, quiet, batch_size - len(chosen))
        return chosen + spare, *rest

    def told(self, drawn: int, kept: int, step: int) -> dict[str, float]:
        """The metrics of all groups judged since the last batch, silent ones too."""
        found: dict[str, float] = {}
        if any(own.size for own in self._news):
            codes = np.repeat(np.arange(len(self._news)), [len(own) for own in self._news])
            found = Scored.of(np.concatenate(self._news), codes, len(self._news)).metrics()
            self.draws.announce(found["group/silent"], f"the first {len(self._news)} groups")
        self._news = []
        return found | self.draws.count(drawn, kept, None, step)


class Sampler(_Judged):
    """The synchronous buffer: no more prompts are drawn than are missing, so no mixed group is ever too many."""

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """A batch of mixed groups, and its metrics; validation is verl's own."""
        if partition_id == "val":
            return super().sample(global_steps, partition_id, batch_size)
        return self._filled(global_steps, partition_id, batch_size)

    @SkipManager.annotate_tq(role="rollout_tq", phase="sample")  # type: ignore[untyped-decorator]
    def _filled(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[Any, dict[str, Any]]:
        self.draws.wanted = batch_size
        met: set[str] = set()
        told_at = time()
        while True:
            self._sync_metadata_from_transfer_queue()
            self.judge(partition_id)
            waiting = self.pending_keys[partition_id] | self.running_keys[partition_id]
            met |= waiting | self._rewards.keys()
            mixed = self._rewards.keys() - self.silent
            missing = batch_size - len(mixed)
            self._forget(partition_id, missing)
            more = min(missing - len(waiting), self.draws.most - len(met))
            if more > 0:
                self._draw(more)
            elif not waiting:
                break
            else:
                told_at = self._wait_for_next_poll(partition_id, told_at)
        uids, held, _ = self._select_prompt_uids(partition_id, set(self._rewards), batch_size)
        if not any(self._rewards[uid].size for uid in uids):
            raise ArgumentError(WHO, "at least one answer", "rollouts that all failed", hint="verl's log says why")
        batch = self._materialize_batch(partition_id, uids, held)
        self._clear_groups(partition_id, self.silent - set(uids))
        kept = min(len(mixed), batch_size)
        return batch, self.told(len(met) - len(mixed) + kept, kept, global_steps)

    def _draw(self, prompts: int) -> None:
        try:
            self.refill_fn(prompts)
        except ValueError as error:
            hint = "algorithm.filter_groups.enable=True lets verl draw prompts one by one"
            raise ArgumentError(WHO, f"{prompts} more prompts", str(error), hint=hint) from None

    def _forget(self, partition_id: str, spare: int) -> None:
        """Give room back: of the silent groups only the last ones can still be needed to fill a batch."""
        ended = [uid for uid in self._rewards if uid in self.silent]
        filling = [uid for uid in ended if self._rewards[uid].size][-spare:] if spare > 0 else []
        gone = set(ended) - set(filling)
        self._clear_groups(partition_id, gone)
        for uid in gone:
            del self._rewards[uid]
        self.silent -= gone


class AsyncSampler(_Judged, ReplayBufferAsync):
    """The asynchronous buffer: verl replaces what we call silent, and stops at the cap; mixed groups stay for later."""

    def __init__(self, **given: Any) -> None:
        self._replaced = 0
        super().__init__(**given)

    def _dapo_filtered_keys(self, partition_id: str) -> tuple[set[str], Counter[float]]:
        if partition_id == "val":
            return set(), Counter()
        self.judge(partition_id)
        room = max(0, self.draws.most - self.draws.wanted - self._replaced)
        ended = [uid for uid in self._rewards if uid in self.silent and uid in self.finished_keys[partition_id]]
        uids = ended[:room]
        return set(uids), Counter(float(self._rewards[uid][0]) for uid in uids if self._rewards[uid].size)

    def _evict_terminal_groups(self, global_steps: int, partition_id: str, eviction_reasons: Any) -> Any:
        found = super()._evict_terminal_groups(global_steps, partition_id, eviction_reasons)
        self._replaced += found[2]
        return found

    def wait_for_sampleable(self, global_steps: int, partition_id: str, target_count: int) -> Any:
        """verl's, which evicts and refills until so many groups are there."""
        if partition_id != "val":
            self.draws.wanted = max(self.draws.wanted, target_count)
        return super().wait_for_sampleable(global_steps, partition_id, target_count)

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """verl's batch, with the metrics of all groups judged for it."""
        if partition_id == "val":
            return super().sample(global_steps, partition_id, batch_size)
        self.draws.wanted = batch_size
        batch, metrics = super().sample(global_steps, partition_id, batch_size)
        filling = {key.split("_")[0] for key in batch.keys} & self.silent
        kept = batch_size - len(filling)
        metrics |= self.told(kept + len(filling) + self._replaced, kept, global_steps)
        self._replaced = 0
        return batch, metrics
