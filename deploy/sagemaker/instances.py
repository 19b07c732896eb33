"""What the instance types have that Cartridge runs on. One table; AWS tells the rest.

Source: EC2's pages of instance types (an `ml.` type has the hardware of the type without `ml.`); the memory of GPUs is
what nvidia-smi shows, less than the card's name says. Check a type that is new to you.
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024**3
MIB = 1024**2


@dataclass(frozen=True)
class Instance:
    name: str
    vcpus: int
    memory_gib: int
    gpu: str = ""  # the card; empty: none
    gpus: int = 0
    gpu_mib: int = 0  # of one
    nvme_gb: int = 0  # local disk at /tmp; 0: an EBS volume is attached instead
    architecture: str = "amd64"

    @property
    def memory_bytes(self) -> int:
        """Of the machine."""
        return self.memory_gib * GIB

    @property
    def rom_bytes(self) -> int:
        """What the service takes for weights and one image: nine tenths of one GPU, or half of the machine's memory."""
        return self.gpu_mib * MIB * 9 // 10 if self.gpus else self.memory_bytes // 2


_T4 = ("T4", 1, 15_360)
_A10G = ("A10G", 1, 23_028)
_L4 = ("L4", 1, 23_034)
_L40S = ("L40S", 1, 46_068)
_TABLE = (
    Instance("ml.c6i.xlarge", 4, 8),
    Instance("ml.c6i.2xlarge", 8, 16),
    Instance("ml.c6i.4xlarge", 16, 32),
    Instance("ml.c7i.2xlarge", 8, 16),
    Instance("ml.c7i.4xlarge", 16, 32),
    Instance("ml.m5.large", 2, 8),
    Instance("ml.m5.xlarge", 4, 16),
    Instance("ml.m5.2xlarge", 8, 32),
    Instance("ml.m5.4xlarge", 16, 64),
    Instance("ml.m7i.xlarge", 4, 16),
    Instance("ml.m7i.2xlarge", 8, 32),
    Instance("ml.m7i.4xlarge", 16, 64),
    Instance("ml.c7g.2xlarge", 8, 16, architecture="arm64"),
    Instance("ml.c7g.4xlarge", 16, 32, architecture="arm64"),
    Instance("ml.g4dn.xlarge", 4, 16, *_T4, nvme_gb=125),
    Instance("ml.g4dn.2xlarge", 8, 32, *_T4, nvme_gb=225),
    Instance("ml.g5.xlarge", 4, 16, *_A10G, nvme_gb=250),
    Instance("ml.g5.2xlarge", 8, 32, *_A10G, nvme_gb=450),
    Instance("ml.g5.4xlarge", 16, 64, *_A10G, nvme_gb=600),
    Instance("ml.g6.xlarge", 4, 16, *_L4, nvme_gb=250),
    Instance("ml.g6.2xlarge", 8, 32, *_L4, nvme_gb=450),
    Instance("ml.g6.4xlarge", 16, 64, *_L4, nvme_gb=600),
    Instance("ml.g6e.xlarge", 4, 32, *_L40S, nvme_gb=250),
    Instance("ml.g6e.2xlarge", 8, 64, *_L40S, nvme_gb=450),
    Instance("ml.g6e.4xlarge", 16, 128, *_L40S, nvme_gb=600),
    Instance("ml.p5.4xlarge", 16, 256, "H100", 1, 81_559, nvme_gb=3840),
    Instance("ml.p4d.24xlarge", 96, 1152, "A100", 8, 40_960, nvme_gb=8000),
    Instance("ml.p5.48xlarge", 192, 2048, "H100", 8, 81_559, nvme_gb=30720),
)
INSTANCES = {instance.name: instance for instance in _TABLE}


@dataclass(frozen=True)
class Ami:
    """An `InferenceAmiVersion`: the driver of the host that the container's CUDA needs."""

    name: str
    driver: int
    cuda: tuple[int, int]


# As the API reference of CreateEndpointConfig lists them; -gpu-2 is -gpu-2-1 with CUDA-compat mounted.
AMIS = (
    Ami("al2-ami-sagemaker-inference-gpu-2-1", 535, (12, 2)),
    Ami("al2-ami-sagemaker-inference-gpu-3-1", 550, (12, 4)),
    Ami("al2023-ami-sagemaker-inference-gpu-4-1", 580, (13, 0)),
)


def choose_ami(cuda: str) -> Ami | None:
    """The oldest host that runs a container of this CUDA version; None: none does.

    That of the same major version and at least the same minor one; else the newest of the same major version, whose
    driver runs later minor versions too; else the oldest of a later major version.
    """
    wanted = parse_cuda(cuda)
    same = [ami for ami in AMIS if ami.cuda[0] == wanted[0]]
    enough = [ami for ami in same if ami.cuda >= wanted]
    later = [ami for ami in AMIS if ami.cuda[0] > wanted[0]]
    return next(iter(enough or same[-1:] or later), None)


def parse_cuda(text: str) -> tuple[int, int]:
    """`12.4` and `12.4.1` are (12, 4). Raises ValueError."""
    major, minor = [*text.split("."), "0"][:2]
    return int(major), int(minor)
