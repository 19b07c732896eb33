"""Brightness of backgrounds, and the schedule that takes it away."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics.brightness import background_brightness, brightness_errors
from training.diffusion import new_scheduler
from training.scenes import BACKGROUNDS, IMAGE_SIZE


def page(level: int) -> np.ndarray:
    return np.full((IMAGE_SIZE, IMAGE_SIZE, 3), level, dtype=np.uint8)


def test_what_lies_in_the_middle_does_not_count() -> None:
    image = page(100)
    image[20:100, 20:100] = 255
    assert background_brightness(image) == pytest.approx(100)


def test_green_is_brighter_than_blue() -> None:
    green, blue = page(0), page(0)
    green[..., 1] = blue[..., 2] = 200
    assert background_brightness(green) == pytest.approx(0.587 * 200)
    assert background_brightness(blue) == pytest.approx(0.114 * 200)


def test_errors_are_means_of_absolute_differences_by_background() -> None:
    white, black = (page(BACKGROUNDS[name][0]) for name in ("white", "black"))
    errors = brightness_errors([white, white - 30, black + 10, black], ["white", "white", "black", "white"])
    black_error, white_error = errors["black"], errors["white"]
    assert black_error == pytest.approx(10, abs=0.5)
    assert white_error == pytest.approx((0 + 30 + 238) / 3, abs=0.5)
    assert errors["all"] == pytest.approx((0 + 30 + 10 + 238) / 4, abs=0.5)


def test_only_the_plain_schedule_leaves_something_of_the_picture_at_its_end() -> None:
    assert float(new_scheduler().alphas_cumprod[-1]) < 1e-8
    assert float(new_scheduler(zero_snr=False).alphas_cumprod[-1]) == pytest.approx(0.00466, rel=0.01)
