"""A U-Net in OpenVINO, on a CPU.

It is compiled once for all shapes: a model compiled for one shape is 5 % faster, and holds the weights once more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers.models.embeddings import Timesteps

from app.backends.base import Conditioning
from app.backends.openvino_files import ABOUT, MODEL
from app.backends.openvino_package import import_openvino
from app.backends.unet import UNetTraits

_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


class OpenVinoDenoiser:
    """`folder` holds a converted U-Net in the precision `dtype`."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        self.traits = UNetTraits(**about["traits"])
        self.device = torch.device("cpu")
        self.dtype = dtype
        self.nbytes = self.traits.num_parameters * dtype.itemsize  # as repacked; the file's pages are only mapped
        properties = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[dtype],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        try:
            compiled = import_openvino().Core().compile_model(folder / MODEL, "CPU", properties)
        except RuntimeError as error:
            raise RuntimeError(f"{folder} is damaged: delete it, and the U-Net is converted anew") from error
        self._waves = {name: Timesteps(**told) for name, told in about["waves"].items()}
        self._request = compiled.create_infer_request()

    def read(self, prompt_embeds: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Nothing: the model projects the embeddings at every step."""
        return ()

    def predict(
        self,
        latents: torch.Tensor,  # [B, C, h, w]
        timestep: torch.Tensor,  # [B]
        prompts: Sequence[Conditioning],  # B
        added: dict[str, torch.Tensor] | None = None,  # further conditions of the U-Net, [B, ...] each
    ) -> torch.Tensor:
        """float32 [B, C, h, w]"""
        embeds = torch.stack([prompt.prompt_embeds for prompt in prompts])
        named = {"sample": latents, "timestep": timestep, "encoder_hidden_states": embeds, **(added or {})}
        for name, wave in self._waves.items():
            named[name] = wave(named[name].flatten()).unflatten(0, named[name].shape)
        inputs = {name: tensor.float().contiguous().numpy() for name, tensor in named.items()}
        outputs = self._request.infer(inputs, share_inputs=True)  # without the interpreter's lock
        return torch.from_numpy(outputs[0].copy())

    def park(self) -> None:
        """It is in the host's memory already."""

    def resume(self) -> None:
        """It never left."""
