"""A submitted job whose runs are objects in a store: nothing of it is on the head's disk alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import s3fs
from attempts import Submitted
from chaos.servers import SECRET, ObjectStore, store_environment
from driving import KILLED, end_all, wait_until

pytestmark = [pytest.mark.timeout(1200), pytest.mark.slow]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket; this process knows how to reach it."""
    server = ObjectStore(tmp_path)
    server.start()
    try:
        server.wait()
        for name, value in store_environment(server.uri).items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
    finally:
        server.kill()
        s3fs.S3FileSystem.clear_instance_cache()


TALKING = """
import os
from torch import Tensor, nn

class Talking(nn.Module):
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        os.write(2, b"a library talks\\n" + os.environb[b"AWS_SECRET_ACCESS_KEY"] + b"\\n")
        return nn.functional.cross_entropy(logits, target)
"""


def test_all_that_is_lost_with_a_pod_is_what_was_printed_last(bucket: str, tmp_path: Path) -> None:
    """With the whole pod its attendant is killed, too; copies were made before."""
    submitted = Submitted(
        tmp_path, storage=f"{bucket}/runs", objective={"name": "talking.py:Talking"}
    )
    (submitted.plugins / "talking.py").write_text(TALKING)
    first = submitted.attempt(hold=12)
    wait_until(lambda: len(submitted.kept) == 2, what="copies")
    end_all([first.process, *first.process.children(recursive=True)])
    assert first.wait() == KILLED
    submitted.let_go()
    driver, printed = submitted.kept.values()
    assert first.log.replace(SECRET, "***").startswith(printed)
    assert f"in {bucket}/runs/digits-" in printed
    assert "a library talks\n***\n" in driver

    second = submitted.attempt()
    assert second.wait() == 0, second.log
    told = second.log.replace(SECRET, "***")
    wait_until(lambda: told in submitted.kept.values(), what="the log")
    names = list(submitted.kept)
    assert list(submitted.kept.values())[:2] == [driver, printed]
    assert [name.partition("digits-01234567")[2] for name in names] == ["-driver.log", ".log"] * 2
    assert not any(SECRET in text for text in submitted.kept.values())
