"""A real S3 server on loopback (moto), and what lies in a bucket looked at without our own code."""

import os
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

KEYS = {
    "AWS_ACCESS_KEY_ID": "a-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


@dataclass(frozen=True)
class LoopbackBucket:
    """A bucket of its own; `s3://NAME/deep/prefix` is the location under test."""

    name: str
    endpoint: str

    @property
    def location(self) -> str:
        return f"s3://{self.name}/deep/prefix"

    @property
    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1",
            aws_access_key_id="a-key", aws_secret_access_key="a-secret",
        )  # fmt: skip

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=f"deep/prefix/{key}", Body=data)

    def get(self, key: str) -> bytes:
        found = self.client.get_object(Bucket=self.name, Key=f"deep/prefix/{key}")
        return found["Body"].read()

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=f"deep/prefix/{key}")

    def listing(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        keys = (item["Key"] for page in pages for item in page.get("Contents", ()))
        return sorted(key.removeprefix("deep/prefix/") for key in keys)

    def snapshot(self) -> dict[str, bytes]:
        return {key: self.get(key) for key in self.listing()}


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[str]:
    """The address of the server."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line for every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(bucket_server: str, _clean_environment: None) -> LoopbackBucket:
    """An empty bucket, and an environment with its keys."""
    made = LoopbackBucket(f"test-{uuid.uuid4().hex[:12]}", bucket_server)
    os.environ.update(KEYS, AWS_ENDPOINT_URL=bucket_server)
    request = urllib.request.Request(f"{bucket_server}/{made.name}", method="PUT")
    urllib.request.urlopen(request, timeout=10).close()
    return made
