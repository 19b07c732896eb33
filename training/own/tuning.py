"""A ROM taught a user's images: its whole U-Net, or a LoRA over it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from diffusers.models.attention_processor import AttnProcessor

from app.errors import ManifestError
from app.roms.manifest import ROM_ID, RomManifest, read_manifest
from training.denoising import Denoising
from training.export import Release, write_image_rom
from training.loop import LoopConfig, device, train
from training.low_rank import add_lora, save_lora
from training.own.agreement import report
from training.own.base import Base, open_base, open_clip
from training.own.captions import CaptionOptions, read_images
from training.own.embeddings import FILE_NAME, Embeddings, Encoder, embed, folder_digest
from training.own.errors import OwnDataError
from training.own.images import OwnImages
from training.own.words import domain_of

_CAPTION_DROPOUT = 0.1
_SAMPLES = 8
_SOURCE = "fine-tuned by training/ on a user's images"


@dataclass(frozen=True)
class OwnTuning:
    """What to teach to which ROM, and how."""

    rom_id: str
    base: str  # id of a ROM in the same store
    data: Path  # folder of images
    loop: LoopConfig
    rank: int | None = None  # of the LoRA; None: the whole U-Net
    captions: CaptionOptions = field(default_factory=CaptionOptions)
    clip: Path | None = None  # folder; None: a ROM of the family clip in the store, if there is one

    def make(self, work: Path, store: Path) -> None:
        """Encode what `work` does not hold yet, train on from its checkpoint, write the ROM below `store`.

        Raises OwnDataError for data, a base, a CLIP or an id that will not do.
        """
        self._check_id(store)
        own = read_images(self.data, self.captions)
        base = open_base(store, self.base)
        work.mkdir(parents=True, exist_ok=True)
        embeddings = self._embed(own, base, work / FILE_NAME, store)
        stage, folder = "diffusion" if self.rank is None else "lora", work / self._digest(own, base, embeddings)
        self._train(own, base, embeddings, stage, folder)
        manifest = self._manifest(own, base.manifest)
        release = Release(manifest, manifest.domain.examples[:_SAMPLES], [stage], folder, store)
        write_image_rom(lambda partial: self._save(base, partial), release)

    def _check_id(self, store: Path) -> None:
        """Raises OwnDataError: no other ROM is ever written over."""
        if not ROM_ID.match(self.rom_id):
            raise OwnDataError(f"--id {self.rom_id!r}: lower case letters, digits, '.', '_' and '-', at most 63")
        directory = store / self.rom_id
        if not directory.exists():
            return
        try:
            ours = read_manifest(directory).source.endswith(_SOURCE)
        except ManifestError:
            ours = False
        if not ours:
            raise OwnDataError(f"{directory} is there already and was not made of a user's images: choose another --id")

    def _embed(self, own: OwnImages, base: Base, path: Path, store: Path) -> Embeddings:
        clip, clip_folder = open_clip(store, self.clip) or (None, None)
        width, height = base.size
        encoder = Encoder(base.conditions.vae, base.directory / "vae", width, height, clip, clip_folder)
        embeddings, captions = embed(own, encoder, path), own.captions()
        print(f"{len(own)} images of {width}x{height}; embeddings in {path}, {embeddings.computed} rows of them new")
        print(report(embeddings, captions) or "no CLIP: captions are not compared with their images (--clip)")
        tokenizer = base.pipeline.tokenizer
        tokens = tokenizer(captions, truncation=False, verbose=False).input_ids
        if cut := sum(len(row) > tokenizer.model_max_length for row in tokens):
            print(f"{cut} captions are longer than the {tokenizer.model_max_length} tokens that {self.base} reads")
        return embeddings

    def _train(self, own: OwnImages, base: Base, embeddings: Embeddings, stage: str, folder: Path) -> None:
        """The U-Net of the base's pipeline is then the taught one."""
        unet = base.pipeline.unet.to(device())
        unet.set_attn_processor(AttnProcessor())  # twice as fast as fused where gradients run on a CPU
        task = Denoising(base.conditions, base.scheduler, embeddings.latents, own.caption, _CAPTION_DROPOUT)
        trained = unet if self.rank is None else add_lora(unet, self.rank, self.loop.seed)
        average = train(stage, trained.to(device()), lambda draw: task.loss(unet, draw), self.loop, folder)
        trained.load_state_dict(average.state_dict())
        unet.eval().requires_grad_(False)

    def _save(self, base: Base, folder: Path) -> None:
        if self.rank is None:
            base.copy_but_unet(folder)
            base.pipeline.unet.half().save_pretrained(folder / "unet")
        else:
            save_lora(base.pipeline.unet, folder)

    def _manifest(self, own: OwnImages, base: RomManifest) -> RomManifest:
        """With the base's presets, but for twins, which are of its domain."""
        presets = {name: preset.model_copy(update={"twin": None}) for name, preset in base.presets.items()}
        return RomManifest(
            id=self.rom_id,
            title=f"{self.rom_id}: {base.title or base.id}, taught {len(own)} images",
            family=base.family,
            base=None if self.rank is None else self.base,
            source=f"the ROM {self.base}, {_SOURCE}",
            domain=domain_of(own.captions()),
            presets=presets,
            prompt_template=base.prompt_template,
            negative_prompt=base.negative_prompt,
            limits=base.limits,
        )

    def _digest(self, own: OwnImages, base: Base, embeddings: Embeddings) -> str:
        """Of all that decides the result: other data or options have checkpoints of their own."""
        said = [(image.text, image.attributes) for image in own.images]
        inputs = (folder_digest(base.directory), embeddings.digest, said, own.attributes, self.rank, self.loop)
        return f"run-{hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]}"
