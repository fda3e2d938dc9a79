"""The parcel on its way: a ConfigMap, a volume of the submitter's, a package of Ray's."""

from __future__ import annotations

import base64
import re
import zipfile
from pathlib import Path

import yaml
from manifests import Manifest
from ray._private.runtime_env.packaging import create_package

from trainwright.submission.kubernetes.rendering import render
from trainwright.submission.parcel import Need, Parcel
from trainwright.submission.profile import Profile


def rendered(files: dict[str, bytes]) -> dict[str, Manifest]:
    parcel = Parcel("x", files, Need(1, 1.0, 0.0))
    return {one["kind"]: one for one in render(parcel.base, parcel, Profile(image="i:1"))}


def unpacked(manifests: dict[str, Manifest], folder: Path) -> None:
    """The submitter's volume as the kubelet makes it: links to a hidden folder with the files."""
    (volume,) = [
        volume
        for volume in manifests["RayJob"]["spec"]["submitterPodTemplate"]["spec"]["volumes"]
        if "configMap" in volume
    ]
    config_map = manifests["ConfigMap"]
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    hidden = folder / "..2026_11_30"
    for item in volume["configMap"]["items"]:
        file = hidden / item["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        if item["key"] in config_map["data"]:
            file.write_bytes(config_map["data"][item["key"]].encode())
        else:
            file.write_bytes(base64.b64decode(config_map["binaryData"][item["key"]]))
    (folder / "..data").symlink_to(hidden.name)
    for path in hidden.iterdir():
        (folder / path.name).symlink_to(Path("..data") / path.name)


def test_the_parcel_arrives_whole_and_once(tmp_path: Path) -> None:
    """Mounted as Kubernetes mounts it, packed by Ray as ``ray job submit`` packs it."""
    files = {
        "job.yaml": b"name: x\n",
        "losses/focal.py": b"X = 1\n",
        "a__b.py": b"A = 1\n",
        "a/b.py": b"\xe4 no text",
        "gr\xf6\xdfe.py": b"B = 2\n",
        "gr\xfc\xdfe.py": b"C = 3\n",
    }
    manifests = rendered(files)
    keys = [*manifests["ConfigMap"]["data"], *manifests["ConfigMap"]["binaryData"]]
    assert len(set(keys)) == len(files)
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) for key in keys)
    mounted, package = tmp_path / "submission", tmp_path / "package.zip"
    mounted.mkdir()
    unpacked(manifests, mounted)
    runtime_env = yaml.safe_load(manifests["RayJob"]["spec"]["runtimeEnvYAML"])
    assert runtime_env["working_dir"] == "/submission"
    create_package(str(mounted), package, True, excludes=runtime_env["excludes"])
    with zipfile.ZipFile(package) as archive:
        arrived = {name: archive.read(name) for name in archive.namelist() if name[-1] != "/"}
    assert arrived == files
