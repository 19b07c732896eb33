"""Classifier-free guidance (Ho & Salimans 2022, equation 6)."""

from __future__ import annotations

import torch


def apply_guidance(
    unconditional: torch.Tensor,  # [B, C, h, w]
    conditional: torch.Tensor,  # [B, C, h, w]
    guidance_scale: torch.Tensor,  # [B]; 1 leaves the conditional output as it is
) -> torch.Tensor:
    """Each row's outputs extrapolated away from the unconditional one, [B, C, h, w]."""
    return unconditional + guidance_scale[:, None, None, None] * (conditional - unconditional)
