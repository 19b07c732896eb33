"""One who follows a request through the engine and writes down what it hears."""

from __future__ import annotations

from app.imaging import Pixels


class Follower:
    def __init__(self, *wanted: int) -> None:
        self._wanted = frozenset(wanted)  # steps to preview
        self.steps: list[tuple[int, int]] = []
        self.previews_at: list[int] = []
        self.images: list[list[Pixels]] = []

    def on_step(self, done: int, total: int) -> None:
        self.steps.append((done, total))

    def on_preview(self, done: int, images: list[Pixels]) -> None:
        self.previews_at.append(done)
        self.images.append(images)

    def previews(self, total: int) -> frozenset[int]:
        return self._wanted
