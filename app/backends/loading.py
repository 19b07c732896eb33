"""The components of a diffusers directory, loaded; what can go wrong comes out as ManifestError in one line."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from app.backends.autoencoder import AUTOENCODERS, Autoencoder
from app.backends.devices import pick_device, pick_dtype
from app.backends.identities import Identities
from app.backends.latent_diffusion import Shares
from app.backends.options import LoadOptions, pick_memory_format, pick_optimizations
from app.backends.pool import ComponentPool, Holding
from app.backends.tiers import ModelPart
from app.backends.torch_denoiser import TorchDenoiser
from app.backends.unet import Denoiser
from app.backends.weights import Placement, load_model
from app.core import Decoder
from app.errors import ManifestError
from app.roms.catalog import Rom
from app.roms.components import Component
from app.roms.lora import LORA
from app.roms.manifest import TINY_DECODER, read_json
from app.roms.memory import MemoryModel, read_memory_model

if TYPE_CHECKING:
    from app.backends.lora import Lora

_FOREIGN = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError)


class Loading:
    """Within its `with`, errors of the libraries become ManifestError, and what was taken of the pool goes back."""

    def __init__(self, rom: Rom, options: LoadOptions, pool: ComponentPool) -> None:
        self.index = read_json(rom.model_directory / "model_index.json")
        self.holding = Holding(pool)
        self._rom = rom
        self._directory = rom.model_directory
        self._placement = _place(options)
        self._options = options if rom.base is None else _without_fusing(options)
        self._identities = pool.identities

    def __enter__(self) -> Loading:
        transformers_logging.disable_progress_bar()  # the log is for events
        self._lora = self._read_lora()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self.holding.release()
        if isinstance(error, _FOREIGN):
            raise ManifestError(f"the model does not load: {str(error).strip().splitlines()[0]}") from error

    def tokenizer(self, cls: Any, name: str) -> Any:
        return cls.from_pretrained(self._folder(name), local_files_only=True)

    def text_encoder(self, cls: Any, name: str) -> Any:
        base = self._model(cls, name, self._placement)
        if not self._has_lora(name):
            return base
        return self.holding.take(self._key(name), lambda: ModelPart(self._over(name, base), besides=base)).model

    def denoiser(self, cls: Any) -> Denoiser:
        if not self._has_lora("unet"):
            make = self._convert_unet if self._options.runtime == "openvino" else self._load_unet
            return self.holding.take(self._key("unet"), lambda: make(cls))
        base = self.holding.take(self._base_key("unet"), lambda: self._load_unet(cls))
        return self.holding.take(self._key("unet"), lambda: base.under(lambda unet: self._over("unet", unet)))

    def autoencoders(self, *, upcasts_half: bool = False) -> dict[Decoder, Autoencoder]:
        """The full one and, where the ROM has it, the tiny one."""
        placement = replace(self._placement, memory_format=pick_memory_format(self._options.optimizations))
        full = self._model(AUTOENCODERS[self.index["vae"][1]], "vae", placement)
        found: dict[Decoder, Autoencoder] = {"full": Autoencoder(full, upcasts_half=upcasts_half)}
        if (self._directory / TINY_DECODER).is_dir():
            tiny = self._model(AUTOENCODERS["AutoencoderTiny"], TINY_DECODER, placement)
            found["tiny"] = Autoencoder(tiny)
        return found

    def shares(self) -> Shares:
        decoders: dict[Decoder, str] = {"full": self._key("vae")}
        if (self._directory / TINY_DECODER).is_dir():
            decoders["tiny"] = self._key(TINY_DECODER)
        return Shares(self.holding, self._key("unet"), decoders)

    def memory(self) -> MemoryModel:
        return read_memory_model(self._directory, self._placement.dtype.itemsize)

    def scheduler(self) -> dict[str, Any]:
        return read_json(self._directory / "scheduler" / "scheduler_config.json")

    def _read_lora(self) -> Lora | None:
        if self._rom.base is None:
            return None
        from app.backends.lora import Lora

        rom = self._rom
        path = rom.directory / rom.components[-1].files[0]
        lora = Lora(path, rom.manifest.lora_scale, read_json(self._folder("unet") / "config.json"))
        if missing := sorted(name for name in lora.models if not (self._directory / name).is_dir()):
            raise ManifestError(f"its LoRA is for a {missing[0]}, which its base has not")
        return lora

    def _has_lora(self, name: str) -> bool:
        return self._lora is not None and name in self._lora.models

    def _over(self, name: str, base: Any) -> Any:
        assert self._lora is not None
        return self._lora.over(name, base)

    def _key(self, name: str) -> str:
        """By which other ROMs find what this one computes with."""
        base = self._base_key(name)
        return f"{base} under {self._component(LORA)}" if self._has_lora(name) else base

    def _base_key(self, name: str) -> str:
        self._folder(name)
        return self._component(name)

    def _component(self, name: str) -> str:
        component = next((component for component in self._rom.components if component.name == name), None)
        if component is None:
            raise ManifestError(f"component {name!r} is missing in model_index.json: its family needs it")
        return _key(self._identities, self._rom, component, self._options)

    def _model(self, cls: Any, name: str, placement: Placement) -> Any:
        folder = self._folder(name)
        return self.holding.take(self._base_key(name), lambda: ModelPart(load_model(cls, folder, placement))).model

    def _load_unet(self, cls: Any) -> TorchDenoiser:
        folder, placement = self._folder("unet"), self._placement
        channels = (read_json(folder / "config.json").get("block_out_channels") or [0])[0]
        optimizations = pick_optimizations(self._options, placement.device, placement.dtype, channels)
        placement = replace(placement, memory_format=pick_memory_format(optimizations))
        return TorchDenoiser(load_model(cls, folder, placement), optimizations)

    def _convert_unet(self, cls: Any) -> Denoiser:
        from app.backends.openvino_denoiser import OpenVinoDenoiser
        from app.backends.openvino_files import convert_once

        assert self._options.cache_dir is not None
        cache, dtype = self._options.cache_dir / "openvino", self._placement.dtype
        return OpenVinoDenoiser(convert_once(self._rom, cls.__name__, dtype, cache), dtype)

    def _folder(self, name: str) -> Path:
        folder = self._directory / name
        if not folder.is_dir():
            raise ManifestError(f"component {name!r} is missing: its family needs it")
        return folder


def foretell(rom: Rom, options: LoadOptions, identities: Identities) -> Mapping[str, int]:
    """Bytes of each component in memory by its key, before anything is loaded."""
    itemsize = _place(options).dtype.itemsize
    if not rom.is_single_file:
        with suppress(OSError, SafetensorError):  # files that are not here yet
            return {
                _key(identities, rom, component, options): identities.of(rom, component).num_floats * itemsize
                for component in rom.components
            }
    return {component.outline: component.num_parameters * itemsize for component in rom.components}


def _without_fusing(options: LoadOptions) -> LoadOptions:
    """A LoRA is laid over the projections one by one."""
    chosen = options.optimizations
    return options if chosen is None else replace(options, optimizations=tuple(set(chosen) - {"fused_qkv"}))


def _place(options: LoadOptions) -> Placement:
    device = pick_device(options.device)
    return Placement(device, pick_dtype(options.dtype, device))


def _key(identities: Identities, rom: Rom, component: Component, options: LoadOptions) -> str:
    """Equal for what may be one in memory: weights, class, config, and all that decides how they are loaded."""
    placement = _place(options)
    made_fast = "auto" if options.optimizations is None else "+".join(options.optimizations)
    terms = (component.class_name, identities.of(rom, component).name, placement.dtype, placement.device)
    return " ".join(str(term) for term in (*terms, options.runtime, made_fast))
