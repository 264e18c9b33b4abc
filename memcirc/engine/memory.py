"""The memory that runners of circuits share: one workspace, and one budget for all the batches that they keep ready."""

from typing import Any

import torch

from memcirc.decoder.workspace import Workspace

KEPT_BYTES = 512 << 20


class Memory:
    """Ready batches of any number of runners, at most ``budget`` bytes of them.

    Where a runner at work needs room, the batches of others give way, those of the runner that was used longest ago
    first. Its own never do: a runner goes through all of its batches each time, so that each would be lost just before
    it is needed again. What finds no room is made anew whenever it is needed.
    """

    def __init__(self, device: torch.device, budget: int = KEPT_BYTES) -> None:
        self.device, self.budget = device, budget
        self.workspace = Workspace(device)
        self._kept: dict[int, dict[int, tuple[Any, int]]] = {}
        self._runners = 0

    @property
    def held(self) -> int:
        """Bytes of all batches that are kept."""
        return sum(size for batches in self._kept.values() for _, size in batches.values())

    def enter(self) -> int:
        """A number for a new runner."""
        self._runners += 1
        self._kept[self._runners] = {}
        return self._runners

    def used_by(self, runner: int) -> dict[int, tuple[Any, int]]:
        """The runner's batches by number, each with its bytes, to be read and added to; it now is the one used last."""
        self._kept[runner] = self._kept.pop(runner)
        return self._kept[runner]

    def release(self) -> None:
        """Give up every batch that is kept, and the room for what is needed for a moment."""
        for batches in self._kept.values():
            batches.clear()
        self.workspace = Workspace(self.device)

    def has_room(self, runner: int, size: int) -> bool:
        """Whether the runner may keep that many bytes more; others' batches are given up for it as far as needed."""
        own = sum(size for _, size in self._kept[runner].values())
        if own + size > self.budget:
            return False
        for other, batches in self._kept.items():
            while other != runner and batches and self.held + size > self.budget:
                batches.popitem()
        return True
