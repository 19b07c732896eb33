"""The stand's one-shot job: a bucket in its object store, and the embedded ROMs in it."""

from __future__ import annotations

import boto3

from deploy.running import ROOT
from deploy.sagemaker.calls import Calls
from deploy.sagemaker.rom_push import push_roms

BUCKET = "cartridge"


def main() -> None:
    calls = Calls(boto3.session.Session())
    calls.change("s3", "create_bucket", Bucket=BUCKET)
    pushed = push_roms(calls, str(ROOT / "model_store"), f"s3://{BUCKET}/roms/")
    print(f"{len(pushed.uploaded)} files are in s3://{BUCKET}/roms/, {pushed.skipped} were there")


if __name__ == "__main__":
    main()
