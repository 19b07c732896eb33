"""A smaller U-Net: a larger one without some of its blocks (Kim et al. 2023, BK-SDM, section 3)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from diffusers import UNet2DConditionModel


@dataclass(frozen=True)
class BlockRemoval:
    """What is left, in diffusers' words. Widths stay, so that every block that is left keeps its weights."""

    layers_per_block: tuple[int, ...]  # of each stage on the way down; it has one more on the way up
    mid_block_type: str | None
    down_block_types: tuple[str, ...]
    up_block_types: tuple[str, ...]


def remove_blocks(teacher: UNet2DConditionModel, removal: BlockRemoval) -> UNet2DConditionModel:
    """What `removal` leaves of the teacher, with copies of the teacher's weights. The teacher stays as it is.

    Of the layers of a stage the first ones are left. Raises ValueError where something is asked for that the teacher
    does not have.
    """
    config = {name: value for name, value in teacher.config.items() if not name.startswith("_")}
    student = UNet2DConditionModel.from_config(config | asdict(removal))
    weights, shapes = teacher.state_dict(), {name: value.shape for name, value in student.state_dict().items()}
    if strange := [name for name in shapes if name not in weights or weights[name].shape != shapes[name]]:
        raise ValueError(f"the teacher has no {strange[0]} of shape {list(shapes[strange[0]])}: remove more, or less")
    student.load_state_dict({name: weights[name] for name in shapes})
    return student.to(teacher.device)
