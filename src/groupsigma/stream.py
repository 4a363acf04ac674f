"""The order in which a data set is walked: shuffled epoch after epoch, known from the number of rows taken."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from groupsigma.errors import ArgumentError


class Stream:
    """Row numbers of a data set, epoch after epoch, each row once in each.

    All that must be kept to go on elsewhere is `position`, the number of rows taken or passed over.

    Args:
        rows: how many rows the data set has, ≥ 1.
        order: epoch number -> [rows], the rows of that epoch in order.

    >>> walk = Stream(3, lambda epoch: [2, 0, 1])
    >>> walk.take(2), walk.take(2), walk.position
    ([2, 0], [1, 2], 4)
    """

    def __init__(self, rows: int, order: Callable[[int], Sequence[int]]) -> None:
        if rows < 1:
            raise ArgumentError("Stream", "a data set with rows", "none")
        self.rows = rows
        self.position = 0
        self._order = order
        self._epoch: tuple[int, Sequence[int]] = -1, ()

    def take(self, count: int, avoid: Collection[int] = ()) -> list[int]:
        """The next `count` rows that are not in `avoid`, each at most once; fewer where the data set has no more.

        >>> Stream(3, lambda epoch: [2, 0, 1]).take(9, avoid={0})
        [2, 1]
        """
        taken: dict[int, None] = {}
        room = self.rows - len(set(avoid))
        while len(taken) < min(count, room):
            epoch, at = divmod(self.position, self.rows)
            if epoch != self._epoch[0]:
                self._epoch = epoch, self._order(epoch)
            row = int(self._epoch[1][at])
            self.position += 1
            if row not in avoid and row not in taken:
                taken[row] = None
        return list(taken)
