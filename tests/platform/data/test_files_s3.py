from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from trainwright.data.files.fingerprint import fingerprint_files
from trainwright.data.files.location import find_files
from trainwright.data.loading import load_splits
from trainwright.errors import DataError
from trainwright.job.models import DataSpec

COLUMNS = {"x": {"type": "vector", "from": ["a", "b"]}, "target": {"type": "class", "from": "y"}}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, "the S3 server ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the S3 server does not answer")


@pytest.fixture(autouse=True)
def _s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(request: pytest.FixtureRequest, endpoint: str) -> str:
    name = "b-" + str(abs(hash(request.node.name)))
    fs = fsspec.filesystem("s3")
    fs.mkdir(name)
    for part in range(2):
        with fs.open(f"{name}/train/part-{part}.parquet", "wb") as file:
            pq.write_table(table(part), file)
    return name


def table(part: int) -> pa.Table:
    rng = np.random.default_rng(part)
    return pa.table({"a": rng.random(40), "b": rng.random(40), "y": np.arange(40) % 4})


@pytest.mark.parametrize("url", ["train", "train/", "train/*.parquet", "train/part-?.parquet"])
def test_folder_and_glob(bucket: str, url: str) -> None:
    spec = DataSpec.model_validate(
        {"source": f"s3://{bucket}/{url}", "columns": COLUMNS, "validation": 0.25}
    )
    splits = load_splits(spec, base=Path("/nowhere"), workers=2)
    assert (len(splits.train), len(splits.validation)) == (60, 20)
    expected = np.concatenate([table(0)["a"].to_numpy(), table(1)["a"].to_numpy()])
    rows = splits.train.tensors["sample_id"].numpy()
    np.testing.assert_allclose(splits.train.tensors["x"][:, 0], expected[rows], rtol=1e-6)


def test_content_has_the_same_fingerprint_as_on_disk(bucket: str, tmp_path: Path) -> None:
    for part in range(2):
        pq.write_table(table(part), tmp_path / f"other-name-{part}.parquet")
    here = find_files("./", "auto", tmp_path, "data.source")
    there = find_files(f"s3://{bucket}/train", "auto", tmp_path, "data.source")
    assert fingerprint_files(here) == fingerprint_files(there)


def test_fsspec_configuration_in_the_environment(bucket: str, endpoint: str) -> None:
    """A fresh process, because fsspec reads FSSPEC_* variables when it is imported."""
    environment = {k: v for k, v in os.environ.items() if k != "AWS_ENDPOINT_URL"}
    environment |= {"FSSPEC_S3_ENDPOINT_URL": endpoint}
    code = (
        "from pathlib import Path; "
        "from trainwright.data.files.location import find_files; "
        f"print(len(find_files('s3://{bucket}/train', 'auto', Path('.'), 'data.source')))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert out.stdout.strip() == "2", out.stderr


def test_missing_key_and_bucket(bucket: str) -> None:
    with pytest.raises(DataError) as caught:
        find_files(f"s3://{bucket}/train/part-1.parqet", "auto", Path("."), "data.source")
    assert caught.value.problems[0].nearest == "part-1.parquet"
    with pytest.raises(DataError, match="no file matches"):
        find_files(f"s3://{bucket}/test/*.parquet", "auto", Path("."), "data.source")
    with pytest.raises(DataError, match="there is no file or folder"):
        find_files("s3://no-such-bucket/x.parquet", "auto", Path("."), "data.source")


def test_unreachable_store_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(DataError) as caught:
        find_files("s3://bucket/x.parquet", "auto", Path("."), "data.source")
    assert caught.value.problems[0].path == "data.source"
    assert "AWS_ENDPOINT_URL" in str(caught.value)


def test_object_that_is_cut_off(bucket: str) -> None:
    fs = fsspec.filesystem("s3")
    content = fs.cat_file(f"{bucket}/train/part-1.parquet")
    fs.pipe_file(f"{bucket}/train/part-1.parquet", content[: len(content) // 2])
    spec = DataSpec.model_validate({"source": f"s3://{bucket}/train", "columns": COLUMNS})
    with pytest.raises(DataError, match=rf"s3://{bucket}/train/part-1.parquet cannot be read"):
        load_splits(spec, base=Path("."), workers=2)
