"""The form of a profile as a JSON Schema, for editors."""

from __future__ import annotations

from typing import Any

from trainwright.job.schema import DIALECT, without_titles
from trainwright.submission.profile.spec import Profile


def profile_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a profile; one that extends another may lack the image."""
    schema = Profile.model_json_schema()
    without_titles(schema)
    _refuse_other_keys(schema)
    required = schema.pop("required")
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "another profile's file, relative to this one, that this one changes",
    }
    return {
        "$schema": DIALECT,
        "title": "Trainwright profile",
        **schema,
        "if": {"not": {"required": ["extends"]}},
        "then": {"required": required},
    }


def _refuse_other_keys(schema: Any) -> None:
    """Keys that are the user's own have a form, which is all that pydantic says of them."""
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema["additionalProperties"] = False
        for item in schema.values():
            _refuse_other_keys(item)
    elif isinstance(schema, list):
        for item in schema:
            _refuse_other_keys(item)
