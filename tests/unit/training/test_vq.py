"""The VQGAN's losses: whom their gradients reach, how long they are, and words of the codebook that nothing uses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.critic import PatchCritic, adaptive_weight, critic_loss, maker_loss
from training.domains.shapes import ShapesDomain
from training.loop import Draw, LoopConfig
from training.vae import VaeConfig, draw_images, new_vae, to_tensor
from training.vq import VqConfig, VqGan, feature_distance, new_vq, restart_unused

CONFIG = VqConfig(LoopConfig(steps=100, batch_size=2, learning_rate=1e-3), images=4, codes=32)


@pytest.fixture
def pictures() -> torch.Tensor:
    return to_tensor(draw_images(4, 0, ShapesDomain()))


def test_the_critic_and_the_maker_learn_from_losses_of_their_own(pictures: torch.Tensor) -> None:
    critic, made = PatchCritic(), pictures.flip(3).requires_grad_()
    maker_loss(critic, made).backward()  # type: ignore[no-untyped-call]
    assert made.grad is not None and made.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in critic.parameters())
    made.grad = None
    critic_loss(critic, pictures, made).backward()  # type: ignore[no-untyped-call]
    assert made.grad is None
    assert all(parameter.grad is not None for parameter in critic.parameters())


def test_a_critic_that_tells_them_apart_by_far_has_nothing_to_learn(pictures: torch.Tensor) -> None:
    class Knowing(PatchCritic):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.mean(dim=(1, 2, 3)) * 1e4

    bright, dark = torch.ones_like(pictures), -torch.ones_like(pictures)
    assert float(critic_loss(Knowing(), bright, dark)) == 0
    assert float(critic_loss(Knowing(), dark, bright)) > 1


def test_the_weight_makes_both_gradients_equally_long() -> None:
    layer = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    kept, critical = (layer**2).sum(), (0.01 * layer).sum()
    weight = adaptive_weight(kept, critical, layer)
    long, short = (torch.autograd.grad(loss, layer, retain_graph=True)[0].norm() for loss in (kept, critical))
    assert float(weight * short) == pytest.approx(float(long), rel=0.01)


def test_features_tell_a_picture_from_another(pictures: torch.Tensor) -> None:
    loop = LoopConfig(steps=1, batch_size=1, learning_rate=1.0)
    model = new_vae(VaeConfig(loop, loop, images=1, block_out_channels=(16, 32))).requires_grad_(False)
    nudged = pictures + 0.02 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    assert float(feature_distance(model, pictures, pictures)) == pytest.approx(0, abs=1e-6)
    assert feature_distance(model, nudged, pictures) < feature_distance(model, pictures.roll(1, 0), pictures)


def test_words_that_nothing_uses_become_latents() -> None:
    gan = VqGan(new_vq(CONFIG, 128), CONFIG.codes)
    latents = torch.randn(40, CONFIG.code_channels, generator=torch.Generator().manual_seed(0))

    def at(step: int) -> Draw:
        return Draw(step, 2, np.random.default_rng(step), torch.Generator().manual_seed(step))

    def words_of_latents() -> set[int]:
        words = gan.vq.quantize.embedding.weight
        return {index for index in range(CONFIG.codes) if (latents == words[index]).all(dim=1).any()}

    assert not words_of_latents()
    restart_unused(gan, torch.tensor([0]), latents, at(0), CONFIG)
    assert len(words_of_latents()) == CONFIG.codes  # all of them at first
    with torch.no_grad():
        gan.vq.quantize.embedding.weight.fill_(9.0)
    restart_unused(gan, torch.tensor([1, 5]), latents, at(20), CONFIG)
    assert not words_of_latents()  # not yet
    restart_unused(gan, torch.tensor([7]), latents, at(50), CONFIG)
    assert words_of_latents() == set(range(CONFIG.codes)) - {1, 5, 7}
