"""What is rendered as text arrives as it was meant when ``kubectl`` sends it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from kube.server import KubeServer
from manifests import FOLDER

LOCAL = FOLDER / "overlays" / "local" / "submission.yaml"

PLURALS = {"ConfigMap": "configmaps", "NetworkPolicy": "networkpolicies", "RayJob": "rayjobs"}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_sends_it(tmp_path: Path) -> None:
    text = LOCAL.read_text()
    with KubeServer() as server:
        server.store.put(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "trainwright"}}
        )
        command = ["kubectl", f"--kubeconfig={server.kubeconfig(tmp_path)}", "apply"]
        command += [f"--cache-dir={tmp_path}", "--validate=false", "-f", "-"]
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        for manifest in yaml.safe_load_all(text):
            name = manifest["metadata"]["name"]
            kept = server.store.get(PLURALS[manifest["kind"]], name, "trainwright")
            for part in manifest.keys() - {"metadata"}:
                assert kept[part] == manifest[part], part
            assert kept["metadata"]["labels"] == manifest["metadata"]["labels"]
            wanted = manifest["metadata"].get("annotations", {})
            assert kept["metadata"]["annotations"].items() >= wanted.items()
