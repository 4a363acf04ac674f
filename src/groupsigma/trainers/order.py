"""The order in which TRL walks the data, found again in any epoch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from trl.trainer.utils import RepeatSampler


def order(rows: int, seed: int, shuffle: bool, epoch: int) -> list[int]:
    """Row numbers in the order of TRL's sampler in that epoch.

    >>> order(4, 0, False, 3)
    [0, 1, 2, 3]
    """
    if not shuffle:
        return list(range(rows))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epoch):
        torch.randperm(rows, generator=generator)
    found: list[int] = torch.randperm(rows, generator=generator).tolist()
    return found


class EpochSampler(RepeatSampler):
    """TRL's sampler, which a run taken up in a later epoch would otherwise start from the first epoch's order."""

    epoch: int | None = None

    @classmethod
    def like(cls, stock: RepeatSampler) -> EpochSampler:
        """The same walk as TRL's own sampler."""
        return cls(stock.data_source, stock.mini_repeat_count, stock.batch_size, stock.repeat_count, True, stock.seed)

    def set_epoch(self, epoch: int) -> None:
        """Called by the training loop before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.epoch is not None:
            self.generator.manual_seed(self.seed or 0)
            for _ in range(self.epoch):
                torch.randperm(self.num_samples, generator=self.generator)
        yield from super().__iter__()
