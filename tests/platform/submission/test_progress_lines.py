"""Progress in words, and read back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainwright.submission.progress import Progress

PROGRESS = st.builds(
    Progress,
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.sampled_from(["steps", "rounds", "trials"]),
    st.none() | st.integers(0, 10**7).map(float),
)


@given(PROGRESS)
def test_what_is_written_is_read(progress: Progress) -> None:
    assert Progress.of_line(progress.line) == progress


@given(st.text(alphabet="step 0123456789of(%),:left", max_size=40))
def test_any_text_can_be_read(text: str) -> None:
    found = Progress.of_line(text)
    assert found is None or found.line
