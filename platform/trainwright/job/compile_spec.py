"""The ``training.compile`` section of a job: ``torch.compile``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from trainwright.job.plugin_spec import Section, from_switch


class CompileSpec(Section):
    """How the model is compiled."""

    backend: str = Field(
        "inductor",
        description="backend of torch.compile; inductor needs a C++ compiler on CPUs, and finds "
        "Triton on GPUs",
    )
    mode: Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] = (
        Field("default", description="what inductor aims at; see torch.compile")
    )
    dynamic: bool | None = Field(
        None,
        description="whether sizes may change without being compiled anew; default: those that "
        "have changed once",
    )


Compile = Annotated[CompileSpec | None, BeforeValidator(from_switch)]
"""``true`` stands for the defaults, ``false`` for none."""
