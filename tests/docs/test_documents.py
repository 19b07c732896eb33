"""Documents that cannot rot: what the code offers is documented, and what documents point to exists."""

from __future__ import annotations

import inspect
import re
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from app.api.app import create_app
from app.core import SCHEDULERS, Health
from app.invoker.progress import Progress
from app.roms.manifest import Preset, RomManifest
from app.settings import PREFIX, Settings
from app.wire.native import ALIASES, InvocationRequest
from deploy.local.conformance.report import all_rules
from deploy.local.conformance.rule import Rule
from deploy.sagemaker.commands import deploy
from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.preflight.checks import CHECKS, Check
from tests.support.documents import read

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = sorted(
    path for path in ROOT.rglob("*.md") if not {".venv", "build", "node_modules"} & set(path.relative_to(ROOT).parts)
)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    row = next((line for line in read("docs/operations.md").splitlines() if f"`{PREFIX}{name.upper()}`" in line), "")
    assert row, f"{PREFIX}{name.upper()} has no row in docs/operations.md"
    default = Settings.model_fields[name].default
    shown = ",".join(default) if isinstance(default, tuple) else str(default).lower()
    if default not in (None, ()):
        assert f"`{shown.removesuffix('.0')}`" in row.lower(), f"{name}: the default {shown} is not in its row"


def test_no_setting_is_documented_that_does_not_exist() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {"CARTRIDGE_URL"}
    for document in DOCUMENTS:
        named = set(re.findall(r"CARTRIDGE_[A-Z_]+", document.read_text(encoding="utf-8")))
        assert named <= known, f"{document.name} names {named - known}"


@pytest.mark.parametrize("name", [*InvocationRequest.model_fields, *ALIASES])
def test_every_request_field_and_alias_is_documented(name: str) -> None:
    assert f"`{name}`" in read("docs/api.md")


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_is_documented(scheduler: str) -> None:
    assert f"`{scheduler}`" in read("docs/roms.md")
    assert f"`{scheduler}`" in read("docs/api.md")


@pytest.mark.parametrize("name", [*RomManifest.model_fields, *Preset.model_fields])
def test_every_manifest_field_is_documented(name: str) -> None:
    assert f"`{name}`" in read("docs/roms.md")


@pytest.mark.parametrize("state", Health)
def test_every_state_of_the_service_is_documented(state: Health) -> None:
    assert f"| `{state.value}` |" in read("docs/operations.md")


@pytest.mark.parametrize("progress", get_args(Progress))
def test_every_field_of_an_event_is_documented(progress: type) -> None:
    names = {"request_id": "id", "images": "b64_json"}  # as events call them
    for field in fields(progress):
        assert f"`{names.get(field.name, field.name)}`" in read("docs/api.md")


def fields_of(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Of a model and of those in it, with dots, as its file has them."""
    found = []
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        inner = [part for part in (field.annotation, *get_args(field.annotation)) if inspect.isclass(part)]
        found += [path, *(one for part in inner if issubclass(part, BaseModel) for one in fields_of(part, f"{path}."))]
    return found


@pytest.mark.parametrize("name", fields_of(EndpointFile))
def test_every_field_of_an_endpoint_is_documented(name: str) -> None:
    rows = [line.split("|")[1] for line in read("docs/deploy.md").splitlines() if line.startswith("| `")]
    assert any(f"`{name}`" in row for row in rows)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_of_preflight_is_documented(check: Check) -> None:
    assert f"| `{check.name}` |" in read("docs/deploy.md")


def test_every_command_of_deploy_is_in_the_runbook() -> None:
    for command in deploy.registered_commands:
        assert re.search(rf"`{command.name}\b|deploy {command.name}\b", read("docs/deploy.md")), command.name


def test_nginx_and_the_api_know_the_same_routes() -> None:
    """A route that ends in a parameter is a pattern in nginx: whatever comes after its last slash."""
    offered = {path.partition("{")[0] for path in create_app(nullcontext).openapi()["paths"]}  # type: ignore[arg-type]
    passed_on = re.findall(r"location (?:= (/[\w/]+)|~ \^(/\w+/)\.) {[^}]*proxy_pass", read("nginx.conf"))
    assert {exact or prefix for exact, prefix in passed_on} == offered


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)
def test_every_rule_of_the_platform_is_documented(rule: Rule) -> None:
    assert f"| `{rule.id}` | {rule.sentence} | {rule.source} |" in read("docs/local_sagemaker.md")


def test_every_target_is_in_the_readme() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", read("Makefile"), flags=re.MULTILINE)
    readme = read("README.md")
    assert [target for target in targets if f"`make {target}" not in readme] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith(("http://", "https://"))]
    assert [link for link in local if not (document.parent / link).exists()] == []
