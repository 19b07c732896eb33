"""How long a container may take to start, from the bytes of its ROMs.

The rates are what the slowest machines are expected to reach, and every derived time is doubled: a start that is given
up costs more than one that takes long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.sizes import RomSet

DOWNLOAD_BYTES_PER_S = 100_000_000  # S3 to the disk of an instance with "up to 10 Gbit/s"
LOAD_BYTES_PER_S = 150_000_000  # a disk that was just written to memory
BASE_S = 120  # the process, the imports, the first picture
MARGIN = 2
LEAST_S, MOST_S = 60, 3600  # what SageMaker takes
SERVERLESS_START_S = 180  # download and start of a serverless container; it cannot be told otherwise


@dataclass(frozen=True)
class StartTimes:
    """Seconds that are needed, margins included; they may be more than SageMaker takes."""

    download_s: int  # by SageMaker, before the container starts
    startup_s: int  # from the start of the container to a /ping of 200


def needed_times(config: EndpointFile, roms: RomSet) -> StartTimes:
    """Mounted ROMs are all brought before the start, pulled ones within it as far as they are preloaded."""
    preloaded = sum(size.disk_bytes for size in roms.preloaded(config.roms))
    loading = MARGIN * preloaded / LOAD_BYTES_PER_S
    if config.roms.delivery == "mount":
        return StartTimes(_whole(MARGIN * roms.disk_bytes / DOWNLOAD_BYTES_PER_S), _whole(BASE_S + loading))
    return StartTimes(LEAST_S, _whole(BASE_S + loading + MARGIN * preloaded / DOWNLOAD_BYTES_PER_S))


def chosen_times(config: EndpointFile, roms: RomSet) -> StartTimes:
    """What the file says, or what is needed as far as SageMaker takes it."""
    needed, told = needed_times(config, roms), config.timeouts
    return StartTimes(
        told.download_s or min(needed.download_s, MOST_S),
        told.startup_s or min(needed.startup_s, MOST_S),
    )


def _whole(seconds: float) -> int:
    """Rounded up to minutes, so that a few bytes more make no new endpoint configuration."""
    return max(LEAST_S, 60 * math.ceil(seconds / 60))
