"""Memory, disk and time: ROMs of any size, without their bytes."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.preflight.facts import Facts
from deploy.sagemaker.preflight.rom_checks import check_disk, check_memory, check_startup
from deploy.sagemaker.sizes import RomSet, RomSize
from tests.deploy.conftest import BUCKET, SERVERLESS, Configure, Recorder

GB = 10**9
CPU: dict[str, Any] = {"instances": {"types": ["ml.m5.xlarge"]}}


def facts_with(calls: Recorder, config: EndpointFile, *sizes: RomSize) -> Facts:
    """As if the bucket held ROMs of these sizes."""
    facts = Facts(calls, config)
    facts.__dict__["roms"] = RomSet({size.id: size for size in sizes})
    return facts


SDXL = RomSize("sdxl", 7 * GB, 7 * GB, 6 * GB)
SD = RomSize("sd", 2 * GB, 2 * GB, 3 * GB)


def test_memory_too_small_for_a_rom(calls: Recorder, configure: Configure) -> None:
    config = configure(instances={"types": ["ml.g4dn.xlarge", "ml.g5.xlarge"]})
    huge = RomSize("huge", 12 * GB, 12 * GB, 6 * GB)
    verdict = check_memory(facts_with(calls, config, huge, SD))
    assert verdict.outcome == "fail"
    assert "huge with its largest image takes 16.76 GiB, ml.g4dn.xlarge has 13.50 GiB" in verdict.detail
    assert "ml.g5.xlarge" in verdict.advice


def test_memory_of_a_cpu_counts_float32(calls: Recorder, configure: Configure) -> None:
    assert check_memory(facts_with(calls, configure(**CPU), SD)).outcome == "fail"
    larger = configure(instances={"types": ["ml.m5.2xlarge"]})
    assert check_memory(facts_with(calls, larger, SD)).outcome == "pass"


def test_memory_too_small_for_what_is_pinned(calls: Recorder, configure: Configure) -> None:
    config = configure(roms={"source": f"s3://{BUCKET}/roms/", "pin": ["sdxl", "sdxl-2", "sdxl-3"]})
    roms = [SDXL, RomSize("sdxl-2", 7 * GB, 7 * GB, 6 * GB), RomSize("sdxl-3", 7 * GB, 7 * GB, 6 * GB)]
    verdict = check_memory(facts_with(calls, config, *roms))
    assert (verdict.outcome, verdict.advice) == ("fail", "pin less")


def test_memory_too_small_for_all_at_once_is_told(calls: Recorder, configure: Configure) -> None:
    verdict = check_memory(facts_with(calls, configure(), SDXL, SD, RomSize("other", 7 * GB, 7 * GB, 6 * GB)))
    assert verdict.outcome == "warn"
    assert "ml.g6e.xlarge" in verdict.advice


def test_memory_of_a_serverless_container(calls: Recorder, configure: Configure) -> None:
    verdict = check_memory(facts_with(calls, configure(**SERVERLESS), SD))
    assert "serverless with 6144 MB has 3.00 GiB" in verdict.detail


def test_disk_too_small(calls: Recorder, configure: Configure) -> None:
    config = configure(**CPU)
    roms = [RomSize("many", 40 * GB, GB, GB)]
    verdict = check_disk(facts_with(calls, config, *roms))
    assert (verdict.outcome, verdict.detail) == ("fail", "the ROMs are 40.0 GB, ml.m5.xlarge has 30 GB")
    assert "instances.volume_gb to 68" in verdict.advice
    larger = configure(instances={"types": ["ml.m5.xlarge"], "volume_gb": 68})
    assert check_disk(facts_with(calls, larger, *roms)).outcome == "pass"


@pytest.mark.parametrize("delivery", ["mount", "pull"])
def test_start_up_that_takes_longer_than_sagemaker_waits(calls: Recorder, configure: Configure, delivery: str) -> None:
    config = configure(roms={"source": f"s3://{BUCKET}/roms/", "delivery": delivery})
    verdict = check_startup(facts_with(calls, config, RomSize("many", 400 * GB, GB, GB)))
    assert verdict.outcome == "fail"
    assert "SageMaker takes 3600" in verdict.detail


@pytest.mark.parametrize("name", ["download_s", "startup_s"])
def test_start_up_that_the_file_makes_too_short(calls: Recorder, configure: Configure, name: str) -> None:
    config = configure(timeouts={name: 60})
    verdict = check_startup(facts_with(calls, config, SDXL))
    assert verdict.outcome == "fail"
    assert f"timeouts.{name} is 60" in verdict.detail


def test_start_up_of_a_serverless_container(calls: Recorder, configure: Configure) -> None:
    verdict = check_startup(facts_with(calls, configure(**SERVERLESS), SD))
    assert (verdict.outcome, verdict.advice) == ("fail", "preload less")
