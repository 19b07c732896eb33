"""A smaller U-Net: a larger one without some of its blocks (Kim et al. 2023, BK-SDM, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from diffusers import UNet2DConditionModel

_WITHOUT_ATTENTION = {"CrossAttnDownBlock2D": "DownBlock2D", "CrossAttnUpBlock2D": "UpBlock2D"}


@dataclass(frozen=True)
class BlockRemoval:
    """What goes, wherever the teacher has it. Widths stay, so every block that is left keeps its weights."""

    mid_block: bool
    down_attention: tuple[int, ...]  # of which stages, counted from the widest picture
    up_attention: tuple[int, ...]  # of which stages, counted from the narrowest


def remove_blocks(teacher: UNet2DConditionModel, removal: BlockRemoval) -> UNet2DConditionModel:
    """What `removal` leaves of the teacher, with copies of the teacher's weights. The teacher stays as it is."""
    config = {name: value for name, value in teacher.config.items() if not name.startswith("_")}
    config["down_block_types"] = _without_attention(config["down_block_types"], removal.down_attention)
    config["up_block_types"] = _without_attention(config["up_block_types"], removal.up_attention)
    if removal.mid_block:
        config["mid_block_type"] = None
    student = UNet2DConditionModel.from_config(config)
    weights = teacher.state_dict()
    student.load_state_dict({name: weights[name] for name in student.state_dict()})
    return student.to(teacher.device)


def _without_attention(types: tuple[str, ...], stages: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(_WITHOUT_ATTENTION.get(name, name) if stage in stages else name for stage, name in enumerate(types))
