"""The models of a multi-model endpoint: archives, brought and unpacked when they are first asked for."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deploy.local.errors import ValidationError
from deploy.local.limits import ASYNC_INPUT_BYTES
from deploy.local.storage import Location, Storage, StorageError


@dataclass(frozen=True)
class ModelArchives:
    """`source` is a directory or an address in S3, and a target model is the path of a .tar.gz below it.

    `directory` is what the container sees as `seen_as`.
    """

    source: str
    directory: Path
    seen_as: str
    storage: Storage

    def url_of(self, name: str) -> str:
        return f"{self.seen_as}/{name}/model"

    def bring(self, target: str) -> str:
        """Unpack it, unless that is done; the model's name, which tells nothing. Raises ValidationError."""
        name = hashlib.sha256(target.encode()).hexdigest()[:32]
        place = self.directory / name
        if place.exists():
            return name
        with tempfile.TemporaryDirectory(dir=self.directory) as work:
            archive, model = Path(work) / "archive", Path(work) / "unpacked"
            self._fetch(target, archive)
            (model / "model").mkdir(parents=True)
            try:
                with tarfile.open(archive) as packed:
                    packed.extractall(model / "model", filter="data")
            except tarfile.TarError as error:
                raise ValidationError(f"The model data {target} cannot be unpacked: {error}") from error
            model.rename(place)
        return name

    def _fetch(self, target: str, into: Path) -> None:
        """Raises ValidationError."""
        if ".." in PurePosixPath(target).parts:
            raise ValidationError(f"The target model {target} leads out of the models' prefix")
        try:
            if self.source.startswith("s3://"):
                location = Location.parse(self.source) / target.lstrip("/")
                into.write_bytes(self.storage.read(location, ASYNC_INPUT_BYTES))
            else:
                shutil.copyfile(Path(self.source) / target.lstrip("/"), into)
        except (StorageError, OSError) as error:
            raise ValidationError(
                f"Failed to download model data: {error}. Please ensure that there is an object located at the URL "
                "and that the role passed to CreateModel has permissions to download the object."
            ) from error
