"""Picks the rows of the next step. Lanes hold the requests that may share a forward.

The lane of the earliest deadline goes first, so that of two that cannot both make it one does. A lane that was passed
over `max_wait_ticks` times goes before all others, the longest waiting first: none waits for more ticks than that and
the number of lanes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from app.engine.batch import BatchKey, StepOutput, scatter
from app.engine.state import RequestState, Row


@dataclass
class _Lane:
    requests: list[RequestState] = field(default_factory=list)  # earliest deadline first
    waited_ticks: int = 0

    @property
    def deadline(self) -> float:
        return self.requests[0].deadline


class Batcher:
    def __init__(self, max_wait_ticks: int) -> None:
        self._max_wait_ticks = max_wait_ticks
        self._lanes: dict[BatchKey, _Lane] = {}

    def __len__(self) -> int:
        return sum(len(lane.requests) for lane in self._lanes.values())

    def add(self, state: RequestState) -> None:
        lane = self._lanes.setdefault(BatchKey.of(state), _Lane())
        lane.requests.append(state)
        lane.requests.sort(key=lambda request: request.deadline)

    def remove(self, state: RequestState) -> None:
        key = BatchKey.of(state)
        self._lanes[key].requests.remove(state)
        if not self._lanes[key].requests:
            del self._lanes[key]

    def requests(self) -> list[RequestState]:
        """All of them, earliest deadline first."""
        requests = [state for lane in self._lanes.values() for state in lane.requests]
        return sorted(requests, key=lambda request: request.deadline)

    def next_batch(self) -> list[Row]:
        """Unfinished rows of the lane whose turn it is, the most urgent first, as many as a forward may have."""
        return _pack(self._next_lane().requests)

    def take_turn(self, rows: list[Row]) -> None:
        """These rows go now, and all other lanes have waited a tick longer."""
        for lane in self._lanes.values():
            lane.waited_ticks += 1
        self._lanes[BatchKey.of(rows[0].request)].waited_ticks = 0

    def advance(self, rows: list[Row], output: StepOutput) -> list[RequestState]:
        """Write a step's output back; the requests that it finished leave and are returned."""
        scatter(rows, output)
        finished = [state for state in requests_of(rows) if state.is_done]
        for state in finished:
            self.remove(state)
        return finished

    def _next_lane(self) -> _Lane:
        longest = max(self._lanes.values(), key=lambda lane: lane.waited_ticks)
        if longest.waited_ticks >= self._max_wait_ticks:
            return longest
        return min(self._lanes.values(), key=lambda lane: lane.deadline)


def requests_of(rows: list[Row]) -> list[RequestState]:
    return list(dict.fromkeys(row.request for row in rows))


def finished_by(rows: list[Row]) -> set[RequestState]:
    """The requests that have nothing left to do once these rows have taken a step."""
    steps = Counter(row.request for row in rows)
    return {state for state, count in steps.items() if count == state.steps_left}


def _pack(requests: list[RequestState]) -> list[Row]:
    """Rows in the order of the requests; those of one request that are behind come before those ahead."""
    batch: list[Row] = []
    room = requests[0].costs.max_rows
    for state in requests:
        for row in sorted(state.rows, key=lambda row: row.step_index):
            if row.is_done or (row.cost > room and batch):
                continue
            batch.append(row)
            room -= row.cost
    return batch
