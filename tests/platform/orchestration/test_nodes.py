"""Nodes that no longer answer."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from trainwright.orchestration.nodes import wait_until_noticed


@pytest.fixture
def door() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def _node(server: socket.socket, alive: bool = True) -> dict[str, Any]:
    address, port = server.getsockname()
    return {"Alive": alive, "NodeManagerAddress": address, "NodeManagerPort": port}


def test_nodes_that_answer_or_are_known_to_be_dead_are_not_waited_for(door: socket.socket) -> None:
    gone = {"Alive": False, "NodeManagerAddress": "127.0.0.1", "NodeManagerPort": 1}
    assert wait_until_noticed(lambda: [_node(door), gone]) == []
    assert wait_until_noticed(lambda: []) == []


def test_a_silent_node_is_waited_for_until_the_cluster_has_noticed(door: socket.socket) -> None:
    silent = _node(door)
    door.close()
    asked = []

    def nodes() -> list[dict[str, Any]]:
        asked.append(True)
        return [{**silent, "Alive": len(asked) < 3}]

    assert wait_until_noticed(nodes) == []
    assert len(asked) == 3


def test_but_not_for_ever(door: socket.socket) -> None:
    silent = _node(door)
    door.close()
    assert wait_until_noticed(lambda: [silent], timeout_s=0.2) == ["127.0.0.1"]
