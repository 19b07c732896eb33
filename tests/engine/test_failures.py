"""What goes wrong stays with the request it went wrong for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.backends.base import Backend
from app.backends.fake import FakeBackend
from app.diffusion.schedules import NoiseSchedule
from app.errors import BackendError, InvalidRequest, NotReady
from tests.support.backends import TroubledBackend, UndecodableBackend
from tests.support.bench import Bench, alone, image_of


def test_forward_that_throws_fails_its_rows_and_the_engine_lives() -> None:
    bench, troubled, sound = Bench(), TroubledBackend(), FakeBackend()
    broken = bench.submit(troubled, rom_id="troubled", prompt=TroubledBackend.UNPREDICTABLE)
    in_the_same_forward = bench.submit(troubled, rom_id="troubled")
    elsewhere = bench.submit(sound)
    bench.run()
    for state in (broken, in_the_same_forward):
        with pytest.raises(BackendError, match=r"'troubled' failed .* gave up"):
            state.future.result(0)
    assert image_of(elsewhere) == image_of(alone(sound))
    afterwards = bench.submit(troubled)
    bench.run()
    assert image_of(afterwards) == image_of(alone(sound))


def test_rows_left_out_of_a_forward_that_throws_go_on() -> None:
    bench, backend = Bench(max_batch_size=1), TroubledBackend()
    broken = bench.submit(backend, prompt=TroubledBackend.UNPREDICTABLE)
    next_in_line = bench.submit(backend)
    bench.run()
    assert isinstance(broken.future.exception(0), BackendError)
    assert image_of(next_in_line) == image_of(alone(backend))


def test_prompt_that_does_not_encode_fails_alone() -> None:
    bench, backend = Bench(), TroubledBackend()
    before, broken, after = (
        bench.submit(backend, prompt=prompt) for prompt in ("one", TroubledBackend.UNENCODABLE, "two")
    )
    bench.run()
    with pytest.raises(BackendError, match="no meaning"):
        broken.future.result(0)
    assert image_of(before) == image_of(alone(backend, prompt="one"))
    assert image_of(after) == image_of(alone(backend, prompt="two"))


def test_negative_prompt_that_does_not_encode_fails_the_request() -> None:
    bench = Bench()
    state = bench.submit(TroubledBackend(), negative_prompt=TroubledBackend.UNENCODABLE, guidance_scale=5.0)
    bench.run()
    assert isinstance(state.future.exception(0), BackendError)


def test_picture_that_does_not_decode_fails_alone() -> None:
    bench, sound = Bench(), FakeBackend()
    broken = bench.submit(UndecodableBackend())
    other = bench.submit(sound)
    bench.run()
    with pytest.raises(BackendError, match="gave up"):
        broken.future.result(0)
    assert image_of(other) == image_of(alone(sound))


def test_error_that_names_a_field_reaches_the_caller_as_it_is() -> None:
    """Zero terminal SNR and epsilon: the scheduler divides by zero, and says so as an InvalidRequest."""
    bench, backend = Bench(), FakeBackend()
    schedule = NoiseSchedule(rescale_betas_zero_snr=True, timestep_spacing="trailing")
    backend.info = replace(backend.info, noise_schedule=schedule)
    with pytest.raises(InvalidRequest) as raised:
        bench.submit(backend, scheduler="ddim")
    assert raised.value.param == "scheduler"


def test_cut_prompt_is_told_with_the_words_that_were_dropped(tiny_backend: Backend) -> None:
    bench = Bench()
    state = bench.submit(
        tiny_backend, prompt=f"{'a cat ' * 20}and the sea", negative_prompt="b " * 30, guidance_scale=2
    )
    bench.run()
    notices = {notice.param: notice for notice in state.future.result(0).notices}
    assert notices["prompt"].code == "truncated"
    assert notices["prompt"].detail.endswith("and the sea")
    assert notices["negative_prompt"].code == "truncated"


def test_closed_engine_takes_nothing_more() -> None:
    bench = Bench()
    bench.engine.close()
    with pytest.raises(NotReady) as raised:
        bench.submit(FakeBackend())
    assert raised.value.retryable
