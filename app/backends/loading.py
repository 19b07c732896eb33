"""The components of a diffusers directory, loaded; what can go wrong comes out as ManifestError in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import diffusers
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from app.backends.autoencoder import AUTOENCODERS, Autoencoder
from app.backends.devices import pick_device, pick_dtype
from app.backends.identities import Identities
from app.backends.latent_diffusion import Shares
from app.backends.options import LoadOptions, pick_memory_format, pick_optimizations, without_fusing
from app.backends.pool import ComponentPool, Holding
from app.backends.tiers import ModelPart
from app.backends.torch_denoiser import TorchDenoiser
from app.backends.unet import Denoiser
from app.backends.weights import Placement, load_model
from app.core import ADAPTED_SCHEDULERS, Decoder
from app.errors import ManifestError
from app.roms.catalog import Rom
from app.roms.components import Component
from app.roms.lora import lora_component
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
        self._options = without_fusing(options) if rom.base else options
        self._lora: Lora | None = None
        self._part = "model_index.json"  # that was begun last
        self._identities = pool.identities

    def __enter__(self) -> Loading:
        transformers_logging.disable_progress_bar()  # the log is for events
        if self._rom.base is not None:
            from app.backends.lora import read_lora

            self._lora = read_lora(self._rom)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self.holding.release()
        if isinstance(error, _FOREIGN):
            reason = repr(error) if isinstance(error, KeyError) else str(error).strip().splitlines()[0]
            raise ManifestError(f"the model does not load: {self._part}: {reason}") from error

    def tokenizer(self, cls: Any, name: str) -> Any:
        return cls.from_pretrained(self._folder(name), local_files_only=True)

    def model(self, cls: Any, name: str) -> Any:
        """A model as it is: without a LoRA, nor what makes denoisers fast."""
        return self._model(cls, name, self._placement)

    def scheduler_object(self, name: str) -> Any:
        """Of diffusers, in the class that model_index.json names."""
        listed = self.index.get(name)
        if not (isinstance(listed, list) and listed[-1] in ADAPTED_SCHEDULERS):
            raise ManifestError(f"{name} is {listed!r} in model_index.json, which is no scheduler that is known here")
        return getattr(diffusers, listed[-1]).from_pretrained(self._folder(name), local_files_only=True)

    def text_encoder(self, cls: Any, name: str) -> Any:
        base = self._model(cls, name, self._placement)
        if self._lora is None or name not in self._lora:
            return base
        lora = self._lora
        return self.holding.take(self._lora_key(name), lambda: ModelPart(lora.over(name, base), base)).model

    def denoiser(self, cls: Any) -> Denoiser:
        if self._lora is not None and "unet" in self._lora:
            lora, base = self._lora, self.holding.take(self._key("unet"), lambda: self._load_unet(cls))
            return self.holding.take(self._lora_key("unet"), lambda: base.adapted(lora.over("unet", base.unet)))
        make = self._convert_unet if self._options.runtime == "openvino" else self._load_unet
        return self.holding.take(self._key("unet"), lambda: make(cls))

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
        is_adapted = self._lora is not None and "unet" in self._lora
        return Shares(self.holding, self._lora_key("unet") if is_adapted else self._key("unet"), decoders)

    def memory(self) -> MemoryModel:
        return read_memory_model(self._directory, self._placement.dtype.itemsize)

    def scheduler(self) -> dict[str, Any]:
        self._part = "scheduler"
        return read_json(self._directory / "scheduler" / "scheduler_config.json")

    def _key(self, name: str) -> str:
        """By which other ROMs find a component."""
        self._folder(name)
        component = next((component for component in self._rom.components if component.name == name), None)
        if component is None:
            raise ManifestError(f"component {name!r} is missing in model_index.json: its family needs it")
        return _key(self._identities, self._rom.base or self._rom, component, self._options)

    def _lora_key(self, name: str) -> str:
        """Of a component with the LoRA over it."""
        component = next(one for one in self._rom.components if one.name == lora_component(name))
        return _lora_key(self._identities, self._rom, component, self._options)

    def _model(self, cls: Any, name: str, placement: Placement) -> Any:
        folder = self._folder(name)
        return self.holding.take(self._key(name), lambda: ModelPart(load_model(cls, folder, placement))).model

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
        self._part = name
        folder = self._directory / name
        if not folder.is_dir():
            raise ManifestError(f"component {name!r} is missing: its family needs it")
        return folder


def foretell(rom: Rom, options: LoadOptions, identities: Identities) -> Mapping[str, int]:
    """Bytes of each component in memory by its key, before anything is loaded."""
    itemsize, base = _place(options).dtype.itemsize, rom.base or rom
    options = without_fusing(options) if rom.base else options
    try:
        parts = {
            _key(identities, base, component, options): _count(identities, base, component) * itemsize
            for component in base.components
        }
        differences = rom.components[len(base.components) :]
        return parts | {_lora_key(identities, rom, one, options): one.num_parameters * itemsize for one in differences}
    except (OSError, SafetensorError):  # files that are not here yet
        return {component.outline: component.num_parameters * itemsize for component in rom.components}


def _place(options: LoadOptions) -> Placement:
    device = pick_device(options.device)
    return Placement(device, pick_dtype(options.dtype, device))


def _key(identities: Identities, rom: Rom, component: Component, options: LoadOptions) -> str:
    """Equal for what may be one in memory: weights, class, config, and all that decides how they are loaded."""
    placement = _place(options)
    made_fast = "auto" if options.optimizations is None else "+".join(options.optimizations)
    terms = (component.class_name, identities.of(rom, component).name, placement.dtype, placement.device)
    return " ".join(str(term) for term in (*terms, options.runtime, made_fast))


def _lora_key(identities: Identities, rom: Rom, component: Component, options: LoadOptions) -> str:
    """Of a component with its part of a LoRA: what it is laid over, too."""
    assert rom.base is not None
    below = next(one for one in rom.base.components if lora_component(one.name) == component.name)
    return f"{_key(identities, rom.base, below, options)} + {_key(identities, rom, component, options)}"


def _count(identities: Identities, rom: Rom, component: Component) -> int:
    """Weights in memory. A single file has those of other components too."""
    return component.num_parameters if rom.checkpoint else identities.of(rom, component).num_floats
