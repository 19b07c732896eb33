"""The components of a diffusers directory, loaded; what can go wrong comes out as ManifestError in one line."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from app.backends.autoencoder import AUTOENCODERS, Autoencoder
from app.backends.devices import pick_device, pick_dtype
from app.backends.options import LoadOptions, pick_memory_format, pick_optimizations
from app.backends.torch_denoiser import TorchDenoiser
from app.backends.unet import Denoiser
from app.core import Decoder
from app.errors import ManifestError
from app.roms.catalog import Rom
from app.roms.manifest import TINY_DECODER, read_json
from app.roms.memory import MemoryModel, read_memory_model
from app.roms.weights import find_weights

if TYPE_CHECKING:
    from app.backends.lora import Lora

_FOREIGN = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError)


class Loading:
    """Within its `with`, errors of the libraries become ManifestError."""

    def __init__(self, rom: Rom, options: LoadOptions) -> None:
        self.index = read_json(rom.model_directory / "model_index.json")
        self._rom = rom
        self._directory = rom.model_directory
        self._device = pick_device(options.device)
        self._dtype = pick_dtype(options.dtype, self._device)
        self._options = options
        self._lora: Lora | None = None

    def __enter__(self) -> Loading:
        transformers_logging.disable_progress_bar()  # the log is for events
        if self._rom.base is not None:
            from app.backends.lora import read_lora

            self._lora = read_lora(self._rom)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, _FOREIGN):
            raise ManifestError(f"the model does not load: {str(error).strip().splitlines()[0]}") from error

    def tokenizer(self, cls: Any, name: str) -> Any:
        return cls.from_pretrained(self._folder(name), local_files_only=True)

    def model(self, cls: Any, name: str) -> Any:
        """The ROM's own module: its base's with a LoRA over it, where it is one."""
        base = self._base_model(cls, name)
        return base if self._lora is None else self._lora.over(name, base)

    def _base_model(self, cls: Any, name: str) -> Any:
        folder = self._folder(name)
        variant = find_weights(folder).variant
        model = cls.from_pretrained(
            folder, dtype=self._dtype, variant=variant, use_safetensors=True, local_files_only=True
        )
        return model.to(self._device).eval().requires_grad_(False)

    def denoiser(self, cls: Any) -> Denoiser:
        options = self._options
        is_adapted = self._lora is not None and "unet" in self._lora  # OpenVINO would not share its base's weights
        if options.cache_dir is not None and options.runtime == "openvino" and not is_adapted:
            from app.backends.openvino_denoiser import OpenVinoDenoiser
            from app.backends.openvino_files import convert_once

            folder = convert_once(self._rom, cls.__name__, self._dtype, options.cache_dir / "openvino")
            return OpenVinoDenoiser(folder, self._dtype)
        unet = self.model(cls, "unet")
        channels = unet.config.block_out_channels[0]
        return TorchDenoiser(unet, pick_optimizations(options, self._device, self._dtype, channels))

    def autoencoders(self, *, upcasts_half: bool = False) -> dict[Decoder, Autoencoder]:
        """The full one and, where the ROM has it, the tiny one."""
        layout = pick_memory_format(self._options.optimizations)
        full = self.model(AUTOENCODERS[self.index["vae"][1]], "vae").to(memory_format=layout)
        found: dict[Decoder, Autoencoder] = {"full": Autoencoder(full, upcasts_half=upcasts_half)}
        if (self._directory / TINY_DECODER).is_dir():
            tiny = self.model(AUTOENCODERS["AutoencoderTiny"], TINY_DECODER).to(memory_format=layout)
            found["tiny"] = Autoencoder(tiny)
        return found

    def memory(self) -> MemoryModel:
        return read_memory_model(self._directory, self._dtype.itemsize)

    def scheduler(self) -> dict[str, Any]:
        return read_json(self._directory / "scheduler" / "scheduler_config.json")

    def _folder(self, name: str) -> Path:
        folder = self._directory / name
        if not folder.is_dir():
            raise ManifestError(f"component {name!r} is missing: its family needs it")
        return folder
