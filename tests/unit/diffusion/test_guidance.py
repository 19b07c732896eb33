"""Guidance of one row does not touch another, and scale 1 is no guidance."""

from __future__ import annotations

import torch

from app.diffusion.guidance import apply_guidance


def two_outputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    unconditional, conditional = torch.randn((2, 3, 4, 8, 8), generator=generator)
    return unconditional, conditional


def test_each_row_has_its_own_scale() -> None:
    unconditional, conditional = two_outputs()
    scales = torch.tensor([0.0, 1.0, 7.5])
    guided = apply_guidance(unconditional, conditional, scales)
    for row, scale in enumerate(scales.tolist()):
        expected = unconditional[row] + scale * (conditional[row] - unconditional[row])
        torch.testing.assert_close(guided[row], expected, rtol=0, atol=1e-6)


def test_row_in_a_batch_is_the_row_alone() -> None:
    unconditional, conditional = two_outputs()
    scales = torch.tensor([1.5, 3.0, 7.5])
    guided = apply_guidance(unconditional, conditional, scales)
    for row in range(3):
        only = slice(row, row + 1)
        assert torch.equal(guided[only], apply_guidance(unconditional[only], conditional[only], scales[only]))


def test_scale_one_is_the_conditional_output_to_rounding() -> None:
    """u + (c - u) is not c in floating point: c - u rounds to half a unit of its own size, and the sum once more."""
    unconditional, conditional = two_outputs()
    guided = apply_guidance(unconditional, conditional, torch.ones(3))
    size = max(float(unconditional.abs().max()), float(conditional.abs().max()))
    assert float((guided - conditional).abs().max()) <= 2 * torch.finfo(torch.float32).eps * size


def test_scale_zero_is_exactly_the_unconditional_output() -> None:
    unconditional, conditional = two_outputs()
    assert torch.equal(apply_guidance(unconditional, conditional, torch.zeros(3)), unconditional)
