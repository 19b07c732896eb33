"""`make bench-download`: a ROM from S3 to the disk, ours against others, from nginx that plays S3 on this machine.

The objects lie in memory and nginx sends them as they are, so the clients set the pace; `--per-connection` slows each
connection down, as a network does. Each round takes all, in any order. Prints the median and the best GB/s of
`--rounds` rounds, and the seconds of CPU that the client takes for a GB (nginx takes its own from the same cores).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import boto3
import httpx
import yaml
from botocore.config import Config
from typing_extensions import Buffer

from app.roms.disk import RomDisk
from app.roms.download import Transfer
from app.roms.ranges import RangeReader
from app.roms.s3 import RemoteFile, RemoteRom, S3Store
from benchmarks.quiet import measure_quietly
from deploy.running import free_port, wait_until

_BUCKET = "bench-download"
_ATTEMPTS = 3  # at a sample that nothing disturbs
_MIB = 1024 * 1024
_SHARES = {"unet": 0.74, "text_encoder": 0.18, "vae": 0.08}  # of the bytes, about as in SDXL
_NGINX = """
worker_processes 2; daemon off; pid {root}/pid; error_log stderr alert; {user}
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; sendfile_max_chunk 2m; keepalive_requests 1000000; {limit}
  server {{
    listen 127.0.0.1:{port}; root {root};
    location = /{bucket} {{ default_type application/xml; alias {root}/listing.xml; }}
  }}
}}
"""
_TRANSFER = Transfer()


@dataclass(frozen=True)
class Contestant:
    name: str
    download: Callable[[RemoteRom, Path], None]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.download", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--per-connection", type=int, metavar="MB/S", help="what each connection gets at most")
    parser.add_argument("--to", type=Path, default=Path(tempfile.gettempdir()), help="where to download to")
    parser.add_argument("--clients", action="store_true", help="compare other clients too")
    arguments = parser.parse_args()
    with served_rom(int(arguments.gigabytes * 1e9), arguments.per_connection) as endpoint_url:
        store = S3Store.parse(f"s3://{_BUCKET}/roms/?region=us-east-1&endpoint_url={quote(endpoint_url, safe='')}")
        (remote,) = store.list_roms()
        rates = measure(contestants(endpoint_url, arguments.clients), remote, arguments.to, arguments.rounds)
    plain = statistics.median(one.gb_per_s for one in rates["plain ranged reader"])
    for name, values in rates.items():
        best, median = max(one.gb_per_s for one in values), statistics.median(one.gb_per_s for one in values)
        cpu = statistics.median(one.cpu_s_per_gb for one in values)
        print(f"{name:20} {median:5.2f} GB/s, best {best:5.2f}, {median / plain:4.2f} of plain, {cpu:4.2f} CPU s/GB")


@dataclass(frozen=True)
class Rate:
    gb_per_s: float
    cpu_s_per_gb: float


def measure(them: list[Contestant], remote: RemoteRom, parent: Path, rounds: int) -> dict[str, list[Rate]]:
    """Of each, after one round that does not count."""
    rates: dict[str, list[Rate]] = {one.name: [] for one in them}
    for number in range(rounds + 1):
        for one in random.sample(them, len(them)):
            measured = measure_quietly(partial(measure_once, one, remote, parent), _ATTEMPTS if number else 1)
            if number:
                rates[one.name].append(measured.value)
    return rates


def measure_once(one: Contestant, remote: RemoteRom, parent: Path) -> Rate:
    directory = Path(tempfile.mkdtemp(prefix="bench-download-", dir=parent))
    started, cpu_started = time.perf_counter(), time.process_time()
    one.download(remote, directory)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    if sum(path.stat().st_size for path in directory.rglob("*.safetensors")) < 0.99 * remote.bytes:
        raise SystemExit(f"{one.name} did not download it all")
    shutil.rmtree(directory)
    return Rate(remote.bytes / seconds / 1e9, cpu_s / remote.bytes * 1e9)


def contestants(endpoint_url: str, with_clients: bool) -> list[Contestant]:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=_TRANSFER.connections),
    )
    found = [
        Contestant("plain ranged reader", read_plainly),
        Contestant("ours", pull),
        Contestant("boto3 download_file", partial(download_file, client)),
    ]
    if with_clients:
        found += [
            Contestant("boto3 get_object", partial(get_ranges, partial(ask_boto3, client))),
            Contestant("obstore", partial(get_ranges, make_obstore(endpoint_url))),
            Contestant("awscrt", make_awscrt(endpoint_url)),
        ]
    return found


def pull(remote: RemoteRom, directory: Path) -> None:
    disk = RomDisk(directory)
    disk.pull(remote)
    disk.close()


def read_plainly(remote: RemoteRom, directory: Path) -> None:
    """As many connections and ranges of the same size, straight to the files: no hash, no journal."""
    reader = RangeReader(_TRANSFER.connections)
    get_ranges(lambda file, start, length: reader.read(remote.store, file, start, length), remote, directory)
    reader.close()


def get_ranges(ask: Callable[[RemoteFile, int, int], Iterator[Buffer]], remote: RemoteRom, directory: Path) -> None:
    descriptors = {file: create(directory / file.path, file.bytes) for file in remote.files}

    def bring(file: RemoteFile, start: int) -> None:
        offset = start
        for chunk in ask(file, start, min(_TRANSFER.range_bytes, file.bytes - start)):
            os.pwrite(descriptors[file], chunk, offset)
            offset += memoryview(chunk).nbytes

    with ThreadPoolExecutor(_TRANSFER.connections) as pool:
        starts = [(file, at) for file in remote.files for at in range(0, file.bytes, _TRANSFER.range_bytes)]
        work = [pool.submit(bring, file, start) for file, start in starts]
        for done in work:
            done.result()
    for descriptor in descriptors.values():
        os.close(descriptor)


def create(path: Path, nbytes: int) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.truncate(descriptor, nbytes)
    return descriptor


def download_file(client: Any, remote: RemoteRom, directory: Path) -> None:
    """What `aws s3 cp` does without further settings."""
    for file in remote.files:
        (directory / file.path).parent.mkdir(parents=True, exist_ok=True)
        client.download_file(_BUCKET, file.key, str(directory / file.path))


def ask_boto3(client: Any, file: RemoteFile, start: int, length: int) -> Iterator[bytes]:
    body = client.get_object(Bucket=_BUCKET, Key=file.key, Range=f"bytes={start}-{start + length - 1}")["Body"]
    yield from body.iter_chunks(_MIB)


def make_obstore(endpoint_url: str) -> Callable[[RemoteFile, int, int], Iterator[Buffer]]:
    import obstore
    from obstore.store import S3Store as Store

    store = Store(
        _BUCKET,
        endpoint=endpoint_url,
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )

    def ask(file: RemoteFile, start: int, length: int) -> Iterator[Buffer]:
        yield obstore.get_range(store, file.key, start=start, length=length)

    return ask


def make_awscrt(endpoint_url: str) -> Callable[[RemoteRom, Path], None]:
    from awscrt.auth import AwsCredentialsProvider
    from awscrt.http import HttpHeaders, HttpRequest
    from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup
    from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType

    group = EventLoopGroup()
    bootstrap = ClientBootstrap(group, DefaultHostResolver(group))
    client = S3Client(
        bootstrap=bootstrap,
        region="us-east-1",
        tls_mode=S3RequestTlsMode.DISABLED,
        credential_provider=AwsCredentialsProvider.new_static("bench", "bench"),
        part_size=_TRANSFER.range_bytes,
    )

    def download(remote: RemoteRom, directory: Path) -> None:
        headers = HttpHeaders([("host", endpoint_url.removeprefix("http://"))])
        requests = []
        for file in remote.files:
            os.close(create(directory / file.path, 0))
            request = HttpRequest("GET", f"/{_BUCKET}/{file.key}", headers)
            path = str(directory / file.path)
            requests.append(client.make_request(request=request, type=S3RequestType.GET_OBJECT, recv_filepath=path))
        for request in requests:
            request.finished_future.result()

    return download


@contextmanager
def served_rom(nbytes: int, megabytes_per_s: int | None) -> Iterator[str]:
    """A bucket with one ROM of about so many bytes; its endpoint."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        root, port = Path(name), free_port()
        root.chmod(0o755)
        write_rom(root / _BUCKET / "roms" / "bench", nbytes)
        (root / "listing.xml").write_text(listing(root / _BUCKET), encoding="utf-8")
        limit = f"limit_rate {megabytes_per_s}m;" if megabytes_per_s else ""
        user = "user root;" if os.geteuid() == 0 else ""
        config = _NGINX.format(root=root, port=port, bucket=_BUCKET, limit=limit, user=user)
        (root / "nginx.conf").write_text(config, encoding="utf-8")
        server = subprocess.Popen(["nginx", "-p", name, "-c", str(root / "nginx.conf")])
        try:
            wait_until(lambda: is_up(port), 10)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/{_BUCKET}").status_code == 200
    except httpx.TransportError:
        return False


def write_rom(directory: Path, nbytes: int) -> None:
    """Noise, but for what a ROM must have to be one, with the digests of a manifest."""
    files, noise = [], os.urandom(64 * _MIB)
    index: dict[str, object] = {"_class_name": "StableDiffusionPipeline"}
    for name, share in _SHARES.items():
        path = directory / name / "model.safetensors"
        path.parent.mkdir(parents=True)
        (path.parent / "config.json").write_text("{}", encoding="utf-8")
        index[name] = ["diffusers", name]
        count = int(nbytes * share)
        header = json.dumps({name: {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}).encode()
        with path.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for start in range(0, count, len(noise)):
                file.write(noise[: count - start])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        files.append({"path": f"{name}/model.safetensors", "bytes": path.stat().st_size, "sha256": digest})
    (directory / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    manifest = {"id": "bench", "family": "stable_diffusion", "files": files}
    (directory / "rom.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")


def listing(bucket: Path) -> str:
    """What ListObjectsV2 answers, with the ETags that nginx gives."""
    contents = ""
    for path in sorted(bucket.rglob("*")):
        if path.is_file():
            state, key = path.stat(), quote(str(path.relative_to(bucket)))
            etag = escape(f'"{int(state.st_mtime):x}-{state.st_size:x}"')
            contents += f"<Contents><Key>{key}</Key><Size>{state.st_size}</Size><ETag>{etag}</ETag></Contents>"
    facts = "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
    return f"<ListBucketResult>{facts}{contents}</ListBucketResult>"


if __name__ == "__main__":
    main()
