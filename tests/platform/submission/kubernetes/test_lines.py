"""No line of a log twice, and none lost, however it is read again."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from trainwright.submission.kubernetes.lines import Attempt, Window

TEXTS = st.lists(st.sampled_from(["a", "b", "", "epoch 1", "loss 0.5"]), max_size=12)


def stamped(milliseconds: int, text: str) -> bytes:
    seconds, rest = divmod(milliseconds, 1000)
    return f"2026-01-01T10:{seconds // 60:02d}:{seconds % 60:02d}.{rest:03d}000000Z {text}".encode()


def read(window: Window, log: list[bytes], until: int) -> list[str]:
    """What a connection brings that breaks off after some lines of the log."""
    window.begin()
    sent = [line for line in log[:until] if line[:19].decode() >= window.since.rstrip("Z")]
    return [text for line in sent if (text := window.text(line)) is not None]


@given(
    gaps=st.lists(st.integers(0, 900), max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=6),
)
@example(gaps=[0, 0, 0], cuts=[1, 2])
def test_connections_made_again(gaps: list[int], cuts: list[int]) -> None:
    moments = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    # Lines of the two streams of a container may be a little out of order.
    moments = [max(0, moment - 3 * (place % 2)) for place, moment in enumerate(moments)]
    log = [stamped(moment, f"line {place % 3}") for place, moment in enumerate(moments)]
    window, shown = Window(), []
    for until in [*sorted(cuts), len(log)]:
        shown += read(window, log, until)
    assert shown == [f"line {place % 3}" for place in range(len(log))]


def test_only_the_last_seconds_are_asked_for_again() -> None:
    window = Window()
    assert window.since == ""
    for second in range(10):
        window.text(stamped(second * 1000, "x"))
    assert window.since == "2026-01-01T10:00:08Z"


@given(first=TEXTS, more=TEXTS, cut=st.integers(0, 12))
def test_a_second_submitter_begins_anew(first: list[str], more: list[str], cut: int) -> None:
    log = first + more
    attempt, shown = Attempt(), []
    one, two = attempt.reader(), None
    for text in log[:cut]:
        shown += one.new(text)
    two = attempt.reader()
    for text in log:
        shown += two.new(text)
    assert shown == log


def test_a_line_that_was_cut_off_comes_again_whole() -> None:
    attempt = Attempt()
    one = attempt.reader()
    shown = [line for text in ("a", "b", "epoch 3 lo") for line in one.new(text)]
    two = attempt.reader()
    shown += [line for text in ("a", "b", "epoch 3 loss 1", "c") for line in two.new(text)]
    assert shown == ["a", "b", "epoch 3 lo", "epoch 3 loss 1", "c"]


def test_another_driver_after_the_head_died_loses_no_line() -> None:
    """The log of a driver that begins anew is another, and only begins alike."""
    attempt = Attempt()
    one = attempt.reader()
    first = ["hello", "", *(f"step {number}" for number in range(20)), "saved", ""]
    shown = [line for text in first for line in one.new(text)]
    second = ["hello", "", "goes on", *(f"after {number}" for number in range(5)), "saved", "", "x"]
    two = attempt.reader()
    shown += [line for text in second for line in two.new(text)]
    assert shown == first + second[2:]


CLI = "2026-01-01 10:00:00,123\t"
SUBMITTER = [
    "Waiting for Ray Dashboard GCS to become healthy at http://x:8265 ...",
    f"{CLI}INFO cli.py:43 -- \x1b[37mJob submission server address\x1b[39m: \x1b[1mhttp://x",
    f"{CLI}SUCC cli.py:66 -- \x1b[32m-----------\x1b[39m",
    f"{CLI}SUCC cli.py:67 -- Job 'digits' submitted successfully",
    f"{CLI}INFO cli.py:333 -- ray job logs digits",
    "epoch 1",
    "2026-01-01 10:00:00,123 INFO mine.py:1 -- of the job",
    f"{CLI}WARN cli.py:9 -- \x1b[33mlog was cut\x1b[39m",
    f"{CLI}ERR cli.py:74 -- \x1b[31m-----------\x1b[39m",
    f"{CLI}ERR cli.py:75 -- \x1b[31mJob 'digits' failed\x1b[39m",
    f"{CLI}INFO cli.py:89 -- Status message: Job entrypoint command failed with exit code 1, last "
    "available logs (truncated to 20,000 chars):",
    "epoch 1",
    "Traceback",
]


def test_the_submitters_own_words_are_left_out() -> None:
    reader = Attempt().reader()
    shown = [line for text in SUBMITTER for line in reader.new(text)]
    assert shown == ["epoch 1", SUBMITTER[6], "log was cut"]


def test_a_message_that_is_nowhere_else_is_kept() -> None:
    reader = Attempt().reader()
    message = "Status message: runtime_env setup failed"
    assert list(reader.new(f"{CLI}INFO cli.py:89 -- {message}")) == [message]
    assert list(reader.new("because")) == ["because"]
