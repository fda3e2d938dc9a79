from __future__ import annotations

import pytest

from trainwright.suggest import nearest, one_of


@pytest.mark.parametrize(
    ("word", "options", "expected"),
    [
        ("rl", ["lr", "betas"], "lr"),
        ("lx", ["lr", "betas"], "lr"),
        ("l", ["lr", "betas"], "lr"),
        ("llr", ["lr", "betas"], "lr"),
        ("aa", ["a", "b"], "a"),
        ("x", ["a", "b"], None),
        ("", ["a", "b"], None),
        ("ZLoss", ["z_loss", "l1"], "z_loss"),
        ("z-loss", ["z_loss"], "z_loss"),
        ("setps", ["steps", "epochs"], "steps"),
        ("epohcs", ["steps", "epochs"], "epochs"),
        ("adan", ["adam", "adamw"], "adam"),
        ("adawm", ["adam", "adamw"], "adamw"),
        ("dorpuot", ["width", "dropout"], "dropout"),
        ("precison", ["precision", "recall"], "precision"),
        ("crossentropyloss", ["cross_entropy", "mse"], "cross_entropy"),
        ("zebra", ["lr", "betas"], None),
        (5, ["5"], None),
    ],
)
def test_nearest(word, options, expected):
    assert nearest(word, options) == expected


def test_one_slip_goes_before_more_likeness_by_letters():
    assert nearest("abcdx", ["abcd", "yabcdx12"]) == "abcd"
    assert nearest("k", ["kk", "k_values"]) == "kk"


def test_only_single_slips_pass_the_strictest_cutoff():
    assert nearest("epohcs", ["epochs"], cutoff=1.0) == "epochs"
    assert nearest("epochcount", ["epochs"], cutoff=1.0) is None


def test_one_of_shortens_long_lists():
    assert one_of(["a", "b"]) == "a, b"
    assert one_of(map(str, range(20)), limit=2) == "0, 1, … (20 in all)"
