"""A scheduler_config.json finds the scheduler that does what it asks for, or is told what that does not do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.backends.schedulers import find_scheduler
from app.core import SCHEDULERS
from tests.support.oracles import ORACLES


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_file_that_diffusers_writes_finds_its_scheduler(scheduler: str) -> None:
    assert find_scheduler(json.loads(ORACLES[scheduler]({}).to_json_string())) == (scheduler, None)


@pytest.mark.parametrize(
    ("scheduler", "settings", "told"),
    [
        ("dpmpp_2m", {"solver_order": 3}, "solver_order 3"),
        ("dpmpp_2m", {"algorithm_type": "dpmsolver"}, "algorithm_type 'dpmsolver'"),
        ("dpmpp_2m_sde", {"solver_order": 3}, "solver_order 3"),
        ("dpmpp_2m_sde", {"solver_type": "heun", "use_lu_lambdas": True}, "use_lu_lambdas True, solver_type 'heun'"),
        ("unipc", {"solver_order": 3}, "solver_order 3"),
        ("unipc", {"solver_type": "bh1"}, "solver_type 'bh1'"),
        ("unipc", {"disable_corrector": [0]}, "disable_corrector [0]"),
        ("euler", {"final_sigmas_type": "sigma_min"}, "final_sigmas_type 'sigma_min'"),
        ("ddpm", {"variance_type": "fixed_large"}, "variance_type 'fixed_large'"),
    ],
)
def test_settings_that_are_not_offered_are_told(scheduler: str, settings: dict[str, Any], told: str) -> None:
    config = json.loads(ORACLES[scheduler]({}).to_json_string()) | settings
    nearest, unoffered = find_scheduler(config)
    assert (nearest, unoffered) == (scheduler, f"{config['_class_name']} with {told}")


def test_class_that_is_not_offered_is_told() -> None:
    assert find_scheduler({"_class_name": "PNDMScheduler"}) == ("dpmpp_2m", "PNDMScheduler")
