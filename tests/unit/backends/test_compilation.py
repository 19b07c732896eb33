"""What is compiled in the background takes over when it has shown that it runs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from app.backends.compilation import CompiledLater, compiled_twin
from app.backends.graphs import Forward
from tests.support.forwards import near
from tests.support.tiny_models import LATENT_SIZE, make_unet

WIDTH = 32  # of a prompt's embeddings


def test_compiled_forward_takes_over() -> None:
    def plain(inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        return inputs[0] + 1

    def compile_it() -> Forward:
        return lambda inputs: inputs[0] + 2

    ready: list[bool] = []
    later = CompiledLater(plain, compile_it)
    later.on_ready = lambda: ready.append(True)
    assert int(later([torch.zeros(1)])) == 1
    later.wait()
    assert int(later([torch.zeros(1)])) == 2
    assert ready == [True]


def test_what_cannot_be_compiled_goes_on_as_it_was() -> None:
    def compile_it() -> Forward:
        raise RuntimeError("no compiler")

    later = CompiledLater(lambda inputs: inputs[0] + 1, compile_it)
    later([torch.zeros(1)])
    later.wait()
    assert int(later([torch.zeros(1)])) == 1


def test_compiled_unet_has_the_same_weights_and_predicts_the_same() -> None:
    unet = make_unet("sd").eval().requires_grad_(False)
    twin = compiled_twin(unet, backend="eager")
    assert {tensor.data_ptr() for tensor in twin.parameters()} == {tensor.data_ptr() for tensor in unet.parameters()}
    sample, embeds = torch.randn(2, 4, LATENT_SIZE, LATENT_SIZE), torch.randn(2, 5, WIDTH)
    with torch.inference_mode():
        outputs = [model(sample, torch.tensor([3.0, 900.0]), embeds).sample for model in (unet, twin)]
    assert near(*outputs)
