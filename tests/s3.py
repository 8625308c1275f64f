"""A real S3 API in a process of its own: moto's server, with a bucket."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from operations.embedded import free_port
from tests.world import wait_until

BUCKET = "s3://media/claimbus"


@contextmanager
def s3_server(log: Path) -> Iterator[dict[str, str]]:
    """Run the server; return the variables with which it is reached."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": "1048576"},
        )
    try:
        wait_until(lambda: _is_listening(endpoint), what=f"moto's server; its log is {log}")
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/media", method="PUT"), timeout=10).close()
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
    finally:
        server.terminate()
        server.wait(10)


def _is_listening(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True
