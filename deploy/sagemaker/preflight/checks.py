"""What is looked at before anything is created. Each check is a small function; each failure says what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.preflight.facts import Facts
from deploy.sagemaker.preflight.image_checks import (
    check_architecture,
    check_cuda,
    check_image,
    check_labels,
    check_manifest,
)
from deploy.sagemaker.preflight.platform_checks import (
    check_endpoint_name,
    check_instance_type,
    check_quota,
    check_role,
    check_role_access,
)
from deploy.sagemaker.preflight.rom_checks import check_disk, check_memory, check_roms, check_startup
from deploy.sagemaker.preflight.verdict import Verdict

Outcome = Literal["pass", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Check:
    name: str
    look: Callable[[Facts], Verdict]
    needs: tuple[str, ...] = field(default=())  # checks that must not fail for this one to make sense


CHECKS = (
    Check("image", check_image),
    Check("manifest", check_manifest, needs=("image",)),
    Check("architecture", check_architecture, needs=("image",)),
    Check("labels", check_labels, needs=("image",)),
    Check("cuda", check_cuda, needs=("image",)),
    Check("role", check_role),
    Check("role-access", check_role_access, needs=("role",)),
    Check("roms", check_roms),
    Check("memory", check_memory, needs=("roms",)),
    Check("disk", check_disk, needs=("roms",)),
    Check("start-up", check_startup, needs=("roms",)),
    Check("instance-type", check_instance_type),
    Check("quota", check_quota, needs=("instance-type",)),
    Check("endpoint-name", check_endpoint_name),
)


@dataclass(frozen=True)
class Result:
    name: str
    verdict: Verdict

    @property
    def line(self) -> str:
        advice = f"\n{'':<21}do: {self.verdict.advice}" if self.verdict.advice else ""
        return f"{self.verdict.outcome:<5} {self.name:<15}{self.verdict.detail}{advice}"


def run_checks(facts: Facts, checks: tuple[Check, ...] = CHECKS) -> list[Result]:
    """All of them, in order; what AWS itself refuses to answer is a failure of the check."""
    results: dict[str, Result] = {}
    for check in checks:
        missing = [name for name in check.needs if results[name].verdict.outcome in ("fail", "skip")]
        if missing:
            verdict = Verdict("skip", f"cannot be told before {missing[0]} is mended")
        else:
            try:
                verdict = check.look(facts)
            except DeployError as error:
                verdict = Verdict("fail", str(error), "give these credentials the deployer's policy: see `role`")
        results[check.name] = Result(check.name, verdict)
    return list(results.values())


def has_failed(results: list[Result]) -> bool:
    return any(result.verdict.outcome == "fail" for result in results)
