"""Picks the rows of the next step. Lanes hold the requests that may share a forward and take turns."""

from __future__ import annotations

from collections import OrderedDict

from app.engine.batch import BatchKey, StepOutput, scatter
from app.engine.state import RequestState, Row


class Batcher:
    def __init__(self, max_batch_size: int) -> None:
        self._max_batch_size = max_batch_size  # rows
        self._lanes: OrderedDict[BatchKey, list[RequestState]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    def add(self, state: RequestState) -> None:
        self._lanes.setdefault(BatchKey.of(state), []).append(state)

    def remove(self, state: RequestState) -> None:
        key = BatchKey.of(state)
        self._lanes[key].remove(state)
        if not self._lanes[key]:
            del self._lanes[key]

    def requests(self) -> list[RequestState]:
        return [state for lane in self._lanes.values() for state in lane]

    def next_batch(self) -> list[Row]:
        """Unfinished rows of the lane whose turn it is, oldest request first."""
        key = next(iter(self._lanes))
        self._lanes.move_to_end(key)
        rows = [row for state in self._lanes[key] for row in state.rows if not row.is_done]
        return rows[: self._max_batch_size]

    def advance(self, rows: list[Row], output: StepOutput) -> list[RequestState]:
        """Write a step's output back; the requests that it finished leave and are returned."""
        scatter(rows, output)
        finished = [state for state in _requests_of(rows) if state.is_done]
        for state in finished:
            self.remove(state)
        return finished


def _requests_of(rows: list[Row]) -> list[RequestState]:
    return list(dict.fromkeys(row.request for row in rows))
