"""Settings: one frozen object, read once from the environment. `docs/operations.md` lists every variable."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, StringConstraints, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.core import OPTIMIZATIONS
from app.errors import SettingsError

PREFIX = "CARTRIDGE_"
_OF_CLIENTS = ("CARTRIDGE_URL",)
MIB = 1024 * 1024
_AMOUNT = re.compile(r"^(?i:auto|(\d+(?:\.\d+)?) *(%|(?:[kmgt]i?)?b?))$")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
Amount = Annotated[str, StringConstraints(strip_whitespace=True)]
_WORDS = {"preload": ("all", "none"), "ready": ("all", "any"), "optimizations": ("auto", "none")}


class Settings(BaseSettings):
    """Every field is the environment variable CARTRIDGE_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    rom_sources: Annotated[tuple[str, ...], NoDecode] = ("file://model_store",)
    model_dir: Path = Path("/opt/ml/model")  # where the platform puts a model: one more source, if there is anything
    preload: Annotated[tuple[str, ...] | Literal["all", "none"], NoDecode] = "all"
    ready: Annotated[tuple[str, ...] | Literal["all", "any"], NoDecode] = "any"
    default_rom: str | None = None  # for prompts whose domain cannot be told
    routing_rules: float = Field(default=1.0, ge=0)  # weights of what tells a prompt's domain
    routing_classifier: float = Field(default=1.0, ge=0)
    routing_similarity: float = Field(default=1.0, ge=0)
    routing_price: float = Field(default=1.0, ge=0)  # nats for an answer that takes all the time that a request has
    cache_dir: Path = Path("~/.cache/cartridge")
    disk_bytes: Amount = "90%"  # of the file system, for what is kept in cache_dir
    memory_bytes: Amount = "auto"  # of the device
    host_memory_bytes: Amount = "auto"  # where ROMs wait that had to leave a GPU
    pin: Annotated[tuple[str, ...], NoDecode] = ()
    idle_ttl_s: float = Field(default=0.0, ge=0, le=10**7)  # 0: ROMs stay until room is needed
    multi_model: bool = Field(
        default=False, validation_alias=AliasChoices(PREFIX + "MULTI_MODEL", "SAGEMAKER_MULTI_MODEL")
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    optimizations: Annotated[tuple[str, ...] | Literal["auto", "none"], NoDecode] = "auto"
    runtime: Literal["torch", "openvino"] = "torch"
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")
    request_timeout_s: float = Field(default=55.0, gt=0, le=3600)
    max_queue_size: int = Field(default=64, ge=1)
    max_batch_size: int = Field(default=16, ge=1, le=256)  # rows of a forward; a guided image takes two
    stall_after_s: float = Field(default=120.0, gt=0)
    max_request_bytes: int = Field(default=6 * MIB, ge=1024, le=26 * MIB)
    max_response_bytes: int = Field(default=6 * MIB, ge=64 * 1024, le=25 * MIB)
    threads: int = Field(default=0, ge=0, le=1024)  # 0: one a core
    log_prompts: bool = False

    @field_validator("rom_sources", "preload", "ready", "pin", "optimizations", mode="before")
    @classmethod
    def _split_list(cls, value: object, info: ValidationInfo) -> object:
        """Commas separate. Some lists may be a word instead, which then stands alone."""
        if not isinstance(value, str):
            return value
        words = _WORDS.get(info.field_name or "", ())
        if value in words:
            return value
        parts = tuple(part.strip() for part in value.split(",") if part.strip())
        if misplaced := [part for part in parts if part in {"all", "any", "none", "auto"}]:
            allowed = f"names, or {' or '.join(words)} alone" if words else "names"
            raise ValueError(f"{misplaced[0]!r} is no name; it takes {allowed}")
        return parts

    @field_validator("disk_bytes", "memory_bytes", "host_memory_bytes")
    @classmethod
    def _known_amounts(cls, amount: str) -> str:
        match = _AMOUNT.fullmatch(amount)
        if match is None or (match[2] == "%" and float(match[1]) > 100):
            raise ValueError("a share such as 80%, an amount such as 12GB or 12GiB, or auto")
        return amount

    @field_validator("rom_sources")
    @classmethod
    def _known_schemes(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        for source in sources:
            if not source.startswith(("file://", "s3://")):
                raise ValueError(f"{source!r} is no file:// or s3:// address")
        return sources

    @field_validator("optimizations")
    @classmethod
    def _known_optimizations(cls, names: tuple[str, ...] | str) -> tuple[str, ...] | str:
        if unknown := [name for name in names if name not in OPTIMIZATIONS] if isinstance(names, tuple) else []:
            raise ValueError(f"{unknown[0]!r} is none of {', '.join(OPTIMIZATIONS)}")
        return names


def read_settings() -> Settings:
    """Settings from the environment. Raises SettingsError that names each wrong variable and what is allowed."""
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(f"{_variable(item['loc'][0])}={item['input']!r}: {item['msg']}" for item in error.errors())
        raise SettingsError(problems) from error


def unknown_variables() -> dict[str, str]:
    """Variables that begin like ours and are no setting, each with the setting that may be meant, or nothing."""
    unknown = {}
    for variable in os.environ:
        field = variable.lower().removeprefix(PREFIX.lower())
        if field == variable.lower() or field in Settings.model_fields or variable in _OF_CLIENTS:
            continue
        unknown[variable] = "".join(_variable(near) for near in get_close_matches(field, Settings.model_fields, n=1))
    return unknown


def _variable(field: object) -> str:
    """The variable of a field, which pydantic may have called by the variable already."""
    return str(field) if str(field) in os.environ else f"{PREFIX}{str(field).upper()}"


def bytes_of(amount: str, whole: int, auto: int) -> int:
    """`80%` is a share of `whole`; `12GB`, `12GiB` and `12000000000` are themselves; `auto` is `auto`."""
    match = _AMOUNT.fullmatch(amount)
    assert match is not None, amount
    if match[1] is None:
        return auto
    unit = match[2].lower()
    return int(float(match[1]) * (whole / 100 if unit == "%" else _UNITS[unit.removesuffix("b")]))
