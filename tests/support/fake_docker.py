"""What `docker` is to the deploy scripts: it notes how it was called, and a push puts an image into ECR.

FAKE_DOCKER_NOTES is a file of JSON lines, FAKE_DOCKER_FAILS the subcommand that fails, FAKE_DOCKER_MANIFEST what is
pushed.
"""

import json
import os
import sys

subcommand = next(word for word in sys.argv[1:] if word != "buildx")
secret = sys.stdin.read() if "--password-stdin" in sys.argv else None
with open(os.environ["FAKE_DOCKER_NOTES"], "a", encoding="utf-8") as notes:
    notes.write(json.dumps({"arguments": sys.argv[1:], "secret": secret}) + "\n")
if os.environ.get("FAKE_DOCKER_FAILS") == subcommand:
    sys.exit(1)
if subcommand == "push":
    import boto3

    repository, _, tag = sys.argv[-1].partition("/")[2].partition(":")
    with open(os.environ["FAKE_DOCKER_MANIFEST"], encoding="utf-8") as manifest:
        text = manifest.read()
    boto3.client("ecr", region_name="us-east-1").put_image(repositoryName=repository, imageManifest=text, imageTag=tag)
