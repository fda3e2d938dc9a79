from __future__ import annotations

import json

import pytest
import torch

from trainwright.checkpoint import Piece
from trainwright.checkpoint.assemble import assemble
from trainwright.checkpoint.pieces import (
    PieceRef,
    TensorEntry,
    index_from_json,
    index_to_json,
    merge,
    piece_key,
)
from trainwright.errors import CheckpointError


def entry(
    *refs: tuple[str, int, int],
    shape: tuple[int, ...] = (10,),
    dtype: torch.dtype = torch.float32,
) -> TensorEntry:
    return TensorEntry(shape, dtype, tuple(PieceRef(*ref) for ref in refs))


@pytest.mark.parametrize(
    ("kind", "shape", "start", "numel"),
    [
        ("param", (2, 3), -1, 1),
        ("param", (2, 3), 5, 2),
        ("param", (2, 3), 7, 0),
        ("param", (), 0, 2),
        ("param", (0, 3), 0, 1),
        ("", (2,), 0, 2),
        ("a|b", (2,), 0, 2),
        ("state", (2,), 0, 2),
        ("rank_state", (2,), 0, 2),
    ],
)
def test_impossible_pieces_are_refused(
    kind: str, shape: tuple[int, ...], start: int, numel: int
) -> None:
    with pytest.raises(CheckpointError, match=r"model\.w"):
        Piece(kind, "model.w", shape, start, torch.zeros(numel))


def test_keys_are_unique_for_any_name() -> None:
    assert piece_key("param", "model.fc.weight", 128) == "param|model.fc.weight|128"
    assert piece_key("param", "a|1", 2) != piece_key("param", "a", 12)


def test_merge_joins_pieces_of_all_ranks_in_order() -> None:
    merged = merge([{"param": {"w": entry(("b", 6, 4))}}, {"param": {"w": entry(("a", 0, 6))}}])
    assert merged["param"]["w"].pieces == (PieceRef("a", 0, 6), PieceRef("b", 6, 4))


def test_each_tensor_is_sorted_once_however_many_ranks_have_a_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At ZeRO 3 all have one of every tensor; one by one they took minutes for 512 ranks."""
    joins: list[str] = []
    joined = TensorEntry.joined

    def counted(self: TensorEntry, *others: TensorEntry) -> TensorEntry:
        joins.append("")
        return joined(self, *others)

    monkeypatch.setattr(TensorEntry, "joined", counted)
    shape, names = (10, 51), ("v", "w")
    ranks = [
        {"param": {name: entry((f"{rank:03}", rank, 1), shape=shape) for name in names}}
        for rank in reversed(range(510))
    ]
    merged = merge(ranks)
    for name in names:
        assert [piece.start for piece in merged["param"][name].pieces] == list(range(510))
    assert len(joins) == len(names)


@pytest.mark.parametrize(
    ("refs", "gap"),
    [
        ([("a", 1, 9)], "0 to 1"),
        ([("a", 0, 9)], "9 to 10"),
        ([("a", 0, 4), ("b", 5, 5)], "4 to 5"),
        ([("a", 0, 8), ("b", 2, 2)], "8 to 10"),
        ([], "0 to 10"),
    ],
)
def test_merge_names_gaps(refs: list[tuple[str, int, int]], gap: str) -> None:
    with pytest.raises(CheckpointError, match=f"param 'w': elements {gap}"):
        merge([{"param": {"w": entry(*refs)}}])


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2)])
def test_empty_tensors_have_no_gaps(shape: tuple[int, ...]) -> None:
    assert merge([{"param": {"w": entry(shape=shape)}}])["param"]["w"].shape == shape


def test_merge_names_disagreements() -> None:
    first = {"param": {"w": entry(("a", 0, 10))}}
    with pytest.raises(CheckpointError, match=r"float32 \[10\] and as float32 \[5, 2\]"):
        merge([first, {"param": {"w": entry(("b", 0, 10), shape=(5, 2))}}])
    with pytest.raises(CheckpointError, match="bfloat16"):
        merge([first, {"param": {"w": entry(("b", 0, 10), dtype=torch.bfloat16)}}])


def test_merge_shows_a_few_of_many_problems() -> None:
    with pytest.raises(CheckpointError, match="and 15 more"):
        merge([{"param": {f"w{i}": entry() for i in range(20)}}])


def test_the_index_round_trips_through_json() -> None:
    index = {"param": {"w": entry(("a", 0, 4), ("b", 4, 6)), "s": entry(shape=())}, "empty": {}}
    assert index_from_json(json.loads(json.dumps(index_to_json(index)))) == index


def load_arange(piece: PieceRef, start: int, stop: int) -> torch.Tensor:
    assert piece.start <= start < stop <= piece.stop
    return torch.arange(start, stop, dtype=torch.float32)


def test_assemble_loads_only_what_is_asked_for() -> None:
    loaded: list[tuple[str, int, int]] = []

    def load(piece: PieceRef, start: int, stop: int) -> torch.Tensor:
        loaded.append((piece.file, start, stop))
        return load_arange(piece, start, stop)

    whole = entry(("a", 0, 4), ("b", 4, 2), ("c", 6, 4))
    assert assemble(whole, 5, 8, load).tolist() == [5, 6, 7]
    assert loaded == [("b", 5, 6), ("c", 6, 8)]


@pytest.mark.parametrize(
    "refs",
    [
        [("a", 0, 10), ("b", 0, 10)],
        [("a", 0, 10), ("b", 2, 3)],
        [("a", 0, 6), ("b", 4, 6), ("c", 5, 2)],
        [("a", 0, 3), ("b", 0, 7), ("c", 2, 8)],
    ],
)
def test_overlaps_must_agree(refs: list[tuple[str, int, int]]) -> None:
    index: dict[str, dict[str, TensorEntry]] = {}
    for ref in reversed(refs):
        index = {"param": {"w": index["param"]["w"].joined(entry(ref)) if index else entry(ref)}}
    whole = merge([index])["param"]["w"]
    assert assemble(whole, 0, 10, load_arange).tolist() == list(range(10))

    def lie(piece: PieceRef, start: int, stop: int) -> torch.Tensor:
        data = load_arange(piece, start, stop)
        return data + 1 if piece.file == "b" else data

    with pytest.raises(CheckpointError, match="disagree"):
        assemble(whole, 0, 10, lie)


def test_overlapping_nan_agrees_and_negative_zero_does_not() -> None:
    whole = entry(("a", 0, 1), ("b", 0, 1), shape=(1,))
    assert assemble(whole, 0, 1, lambda p, a, b: torch.tensor([torch.nan])).isnan().all()
    zeros = {"a": 0.0, "b": -0.0}
    with pytest.raises(CheckpointError, match="disagree"):
        assemble(whole, 0, 1, lambda p, a, b: torch.tensor([zeros[p.file]]))


def test_assemble_refuses_gaps_and_ranges_outside() -> None:
    gapped = entry(("a", 0, 4), ("b", 6, 4))
    assert assemble(gapped, 1, 4, load_arange).tolist() == [1, 2, 3]
    with pytest.raises(CheckpointError, match="4 to 6"):
        assemble(gapped, 0, 10, load_arange)
    with pytest.raises(CheckpointError, match="4 to 5"):
        assemble(gapped, 3, 5, load_arange)
    for start, stop in [(-1, 2), (3, 11), (5, 4)]:
        with pytest.raises(CheckpointError, match="has 10 elements"):
            assemble(gapped, start, stop, load_arange)
