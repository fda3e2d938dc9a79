"""Any profile that is allowed, and any job that may be sent with it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from trainwright.submission.parcel import JOB, ORDERS, Need, Orders, Parcel
from trainwright.submission.profile import Profile

PART = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
WORD = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,10}[A-Za-z0-9])?", fullmatch=True)
NAME = st.lists(PART, min_size=1, max_size=3).map(".".join)
QUANTITY = st.from_regex(r"[1-9][0-9]{0,3}(\.[0-9])?(Mi|Gi|M|G)", fullmatch=True)
KEY = st.one_of(WORD, st.builds("{}/{}".format, NAME, WORD))
VARIABLE = st.from_regex(r"APP_[A-Z_]{0,8}", fullmatch=True)
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=0, max_size=30
)
SECONDS = st.integers(1, 2**31 - 1)


def some(values: Any, most: int = 2) -> Any:
    """A short list without repetitions."""
    return st.lists(values, max_size=most, unique_by=repr)


def tolerations() -> Any:
    effects = st.sampled_from([None, "NoSchedule", "PreferNoSchedule", "NoExecute"])
    exists = st.fixed_dictionaries({"key": st.none() | KEY, "effect": effects})
    equal = st.fixed_dictionaries(
        {"key": KEY, "operator": st.just("Equal"), "value": WORD, "effect": effects}
    )
    return some(exists | equal)


def shape(**further: Any) -> Any:
    return st.fixed_dictionaries(
        {
            "cpu": st.integers(1, 256) | st.floats(0.01, 256),
            "memory": QUANTITY,
            "node_selector": st.dictionaries(KEY, WORD | st.just(""), max_size=2),
            "tolerations": tolerations(),
            **further,
        }
    )


@st.composite
def profiles(draw: Any) -> Profile:
    """A profile, as the model lets it pass."""
    runs_already = draw(st.booleans())
    plain = draw(st.dictionaries(VARIABLE, TEXT, max_size=2))
    entries = st.fixed_dictionaries({"secret": NAME, "key": WORD})
    values = {
        "image": draw(
            st.sampled_from(["a:1", "r.example.com:5000/x/y:1-cuda", f"a@sha256:{'0' * 64}"])
        ),
        "pull_policy": draw(st.sampled_from(["IfNotPresent", "Always", "Never"])),
        "pull_secrets": draw(some(NAME)),
        "namespace": draw(PART),
        "service_account": draw(NAME),
        "head": draw(shape()),
        "worker": draw(
            shape(
                gpu=st.integers(0, 8),
                gpu_resource=st.sampled_from(["nvidia.com/gpu", "amd.com/gpu"]),
                replicas=st.none() | st.integers(1, 50),
                shared_memory=st.none() | QUANTITY,
            )
        ),
        "scratch": draw(QUANTITY),
        "cluster": draw(PART) if runs_already else None,
        "queue": None if runs_already else draw(st.none() | NAME),
        "priority": draw(st.none() | NAME),
        "volumes": [
            {"claim": claim, "path": f"/data/{number}", "read_only": draw(st.booleans())}
            for number, claim in enumerate(draw(st.lists(NAME, max_size=2)))
        ],
        "environment": plain,
        "secrets": draw(some(NAME)),
        "secret_environment": draw(
            st.dictionaries(VARIABLE.filter(lambda name: name not in plain), entries, max_size=2)
        ),
        "retries": draw(st.integers(0, 10)),
        "stop_seconds": draw(SECONDS),
        "pending_seconds": draw(SECONDS),
        "deadline_seconds": draw(st.none() | SECONDS),
        "keep_seconds": draw(st.integers(0, 10_000)),
        "annotate": draw(st.booleans()),
    }
    return Profile.model_validate(values, strict=True)


def needs() -> Any:
    """What jobs ask for: nothing, a few processes, as many as there is room for."""
    return st.builds(
        Need,
        workers=st.none() | st.integers(0, 40),
        cpus=st.sampled_from([0.1, 0.25, 0.5, 1.0, 1.5, 3.0, 7.0]),
        gpus=st.sampled_from([0.0, 0.0, 0.25, 0.3, 1.0, 2.0]),
    )


def parcels() -> Any:
    """Jobs with any text in their files, and any name."""
    names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True)
    module = st.from_regex(r"[a-z_ö]{1,5}(/[a-z_]{1,5})?\.py", fullmatch=True)

    def built(name: str, job: str, plugins: dict[str, str], need: Need, run: Any) -> Parcel:
        files = {path: text.encode() for path, text in plugins.items()}
        files |= {JOB: job.encode(), ORDERS: Orders().to_bytes()}
        return Parcel(name, files, need, run)

    plugins = st.dictionaries(module, TEXT, max_size=2)
    return st.builds(built, names, TEXT, plugins, needs(), st.none() | names)
