"""A scheduler_config.json finds what does as it asks: a table, or the class itself, or a stand-in and the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from diffusers.schedulers import KarrasDiffusionSchedulers

from app.backends.samplers import DiffusersAdapter
from app.backends.schedulers import OFFERS, adapted_class, find_scheduler
from app.core import ADAPTED_SCHEDULERS, SCHEDULERS
from tests.support.oracles import ORACLES


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_file_that_diffusers_writes_finds_its_scheduler(scheduler: str) -> None:
    config = json.loads(ORACLES[scheduler]({}).to_json_string())
    assert find_scheduler(config, DiffusersAdapter(config)) == (scheduler, None)


@pytest.mark.parametrize(
    ("scheduler", "settings"),
    [
        ("dpmpp_2m", {"solver_order": 3}),
        ("dpmpp_2m", {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
        ("dpmpp_2m_sde", {"solver_order": 1}),
        ("dpmpp_2m_sde", {"solver_type": "heun", "use_lu_lambdas": True}),
        ("unipc", {"solver_order": 3}),
        ("unipc", {"solver_type": "bh1", "final_sigmas_type": "sigma_min"}),
        ("unipc", {"disable_corrector": [0]}),
        ("euler", {"final_sigmas_type": "sigma_min"}),
        ("euler", {"use_exponential_sigmas": True}),
        ("heun", {"use_beta_sigmas": True}),
        ("ddpm", {"variance_type": "fixed_large"}),
    ],
)
def test_settings_that_no_table_has_are_left_to_the_class(scheduler: str, settings: dict[str, Any]) -> None:
    config = json.loads(ORACLES[scheduler]({}).to_json_string()) | settings
    assert find_scheduler(config, DiffusersAdapter(config)) == (config["_class_name"], None)


@pytest.mark.parametrize("name", ADAPTED_SCHEDULERS)
def test_class_that_no_table_has_is_taken_as_it_is(name: str) -> None:
    config = {"_class_name": name, "skip_prk_steps": True}
    found, why_not = find_scheduler(config, DiffusersAdapter(config))
    assert (found in SCHEDULERS, found == name, why_not) == (name in OFFERS, name not in OFFERS, None)


@pytest.mark.parametrize(
    ("config", "stand_in", "reason"),
    [
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "dpmpp_2m", "FlowMatchEulerDiscreteScheduler"),
        ({"_class_name": "DPMSolverSDEScheduler"}, "dpmpp_2m", "DPMSolverSDEScheduler"),
        ({"_class_name": "EDMEulerScheduler"}, "dpmpp_2m", "EDMEulerScheduler"),
        ({"_class_name": "MyScheduler"}, "dpmpp_2m", "MyScheduler"),
        ({}, "dpmpp_2m", "no class"),
        ({"_class_name": "PNDMScheduler", "prediction_type": "sample"}, "dpmpp_2m", "ValueError"),
        ({"_class_name": "UniPCMultistepScheduler", "solver_type": "nonsense"}, "unipc", "NotImplementedError"),
        ({"_class_name": "UniPCMultistepScheduler", "solver_type": "bh1"}, "unipc", "divides by zero"),
    ],
)
def test_class_that_cannot_work_has_a_stand_in_and_a_reason(config: dict[str, Any], stand_in: str, reason: str) -> None:
    found, why_not = find_scheduler(config, DiffusersAdapter(config))
    assert found == stand_in
    assert why_not is not None and reason in why_not


def test_every_class_that_diffusers_calls_compatible_is_known() -> None:
    """All but those that draw noise of their own, or scale what the model sees in a way of their own."""
    strange = {"DPMSolverSDEScheduler", "EDMEulerScheduler"}
    assert {kind.name for kind in KarrasDiffusionSchedulers} - set(ADAPTED_SCHEDULERS) == strange
    assert set(OFFERS) <= set(ADAPTED_SCHEDULERS)


def test_files_tell_the_class_without_loading_anything(tmp_path: Path) -> None:
    def told(**config: Any) -> str | None:
        path = tmp_path / "scheduler" / "scheduler_config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(config))
        return adapted_class(tmp_path)

    assert adapted_class(tmp_path) is None
    assert told(_class_name="PNDMScheduler") == "PNDMScheduler"
    assert told(_class_name="EulerDiscreteScheduler", use_beta_sigmas=True) == "EulerDiscreteScheduler"
    assert told(_class_name="EulerDiscreteScheduler") is None
    assert told(_class_name="FlowMatchEulerDiscreteScheduler") is None
    assert told(_class_name=["PNDMScheduler"]) is None
    (tmp_path / "scheduler" / "scheduler_config.json").write_text("{")
    assert adapted_class(tmp_path) is None
