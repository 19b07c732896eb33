"""Settings: one frozen object, read once from the environment. `docs/operations.md` lists every variable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.core import OPTIMIZATIONS
from app.errors import SettingsError

PREFIX = "CARTRIDGE_"
PLATFORM_MODEL_DIR = Path("/opt/ml/model")
MIB = 1024 * 1024


class Settings(BaseSettings):
    """Every field is the environment variable CARTRIDGE_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    rom_sources: Annotated[tuple[str, ...], NoDecode] = ("file://model_store",)
    preload: Annotated[tuple[str, ...] | Literal["all", "none"], NoDecode] = "all"
    ready: Annotated[tuple[str, ...] | Literal["all", "any"], NoDecode] = "any"
    default_rom: str | None = None
    cache_dir: Path = Path("~/.cache/cartridge")
    memory_bytes: int = Field(default=0, ge=0)  # 0: half of what the machine has
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

    @field_validator("rom_sources", "preload", "ready", "optimizations", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        """Commas separate; the words `all`, `any`, `none` and `auto` stand alone."""
        if not isinstance(value, str) or value in ("all", "any", "none", "auto"):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("rom_sources")
    @classmethod
    def _known_schemes(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        for source in sources:
            if not source.startswith("file://"):
                raise ValueError(f"{source!r} is not a file:// address")
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
        problems = "; ".join(
            f"{PREFIX}{str(item['loc'][0]).upper()}={item['input']!r}: {item['msg']}" for item in error.errors()
        )
        raise SettingsError(problems) from error
