"""Recordings of a forward: which are made, what they are fed, and that rows come out as they went in."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from app.backends.graphs import Forward, Replay, ReplayedForward, record_cuda_graph


class Recorder:
    """Records as a GPU does, in that a replay reads and writes where the recording did."""

    def __init__(self) -> None:
        self.recorded: list[int] = []  # rows of each

    def __call__(self, forward: Forward, inputs: Sequence[torch.Tensor]) -> Replay:
        self.recorded.append(len(inputs[0]))
        output = forward(inputs)
        return lambda: output.copy_(forward(inputs))


def scaled(inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    latents, scale = inputs
    return latents * scale[:, None]


def batch(rows: int, width: int = 3, first: float = 1.0) -> list[torch.Tensor]:
    return [torch.randn(rows, width), torch.arange(rows) + first]


@pytest.mark.parametrize("rows", range(1, 20))
def test_rows_come_out_as_without(rows: int) -> None:
    replayed, inputs = ReplayedForward(scaled, Recorder()), batch(rows)
    assert torch.equal(replayed(inputs), scaled(inputs))


def test_batches_are_filled_up_so_that_few_recordings_serve_them() -> None:
    recorder = Recorder()
    replayed = ReplayedForward(scaled, recorder)
    for rows in (1, 2, 3, 4, 3, 5, 6, 7, 8, 11, 12, 16, 17):
        replayed(batch(rows))
    assert recorder.recorded == [1, 2, 4, 6, 8, 12, 16]


def test_each_shape_has_its_own_recording() -> None:
    recorder = Recorder()
    replayed = ReplayedForward(scaled, recorder)
    for width in (3, 5, 3, 5):
        inputs = batch(2, width)
        assert torch.equal(replayed(inputs), scaled(inputs))
    assert recorder.recorded == [2, 2]


def test_result_outlives_the_next_replay() -> None:
    replayed, first = ReplayedForward(scaled, Recorder()), batch(2)
    kept = replayed(first)
    replayed(batch(2, first=9.0))
    assert torch.equal(kept, scaled(first))


def test_forward_that_changed_is_recorded_anew() -> None:
    recorder = Recorder()
    replayed, inputs = ReplayedForward(scaled, recorder), batch(2)
    replayed(inputs)
    replayed.forget()
    assert torch.equal(replayed(inputs), scaled(inputs))
    assert recorder.recorded == [2, 2]


def test_recordings_are_bounded() -> None:
    recorder = Recorder()
    replayed = ReplayedForward(scaled, recorder)
    for width in range(1, 40):
        replayed(batch(1, width))
    replayed(batch(1, 39))
    assert len(recorder.recorded) == 39
    replayed(batch(1, 1))
    assert len(recorder.recorded) == 40


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_graph_of_a_gpu_gives_what_the_forward_does() -> None:
    replayed = ReplayedForward(scaled, record_cuda_graph)
    for rows in (1, 3, 2, 3):
        inputs = [tensor.cuda() for tensor in batch(rows)]
        assert torch.equal(replayed(inputs), scaled(inputs))
