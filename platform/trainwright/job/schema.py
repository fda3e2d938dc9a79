"""The form of a job file as a JSON Schema, for editors and other programs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from trainwright.job.deepspeed import DeepSpeed
from trainwright.job.kinds import DEFAULT, KINDS
from trainwright.plugins import short_names
from trainwright.plugins.builtin import built_ins, snake

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_PLUGINS: dict[tuple[str, str], tuple[str, str]] = {
    ("TrainJob", "model"): ("ModelSpec", "models"),
    ("TrainJob", "objective"): ("ObjectiveSpec", "objectives"),
    ("TrainJob", "strategies"): ("PluginSpec", "strategies"),
    ("TrainJob", "optimizer"): ("PluginSpec", "optimizers"),
    ("TrainJob", "schedule"): ("PluginSpec", "schedules"),
    ("TrainJob", "metrics"): ("MetricSpec", "metrics"),
    ("ProcedureJob", "procedure"): ("PluginSpec", "procedures"),
    ("FederatedJob", "model"): ("ModelSpec", "models"),
    ("FederatedJob", "objective"): ("ObjectiveSpec", "objectives"),
    ("FederatedJob", "strategies"): ("PluginSpec", "strategies"),
    ("FederatedJob", "optimizer"): ("PluginSpec", "optimizers"),
    ("FederatedJob", "schedule"): ("PluginSpec", "schedules"),
    ("FederatedJob", "metrics"): ("MetricSpec", "metrics"),
    ("FederationSpec", "aggregator"): ("PluginSpec", "aggregators"),
    ("FederationSpec", "partition"): ("PluginSpec", "partitioners"),
    ("FederationSpec", "update_transforms"): ("PluginSpec", "update_transforms"),
    ("DataSpec", "transforms"): ("PluginSpec", "transforms"),
    ("DataSpec", "source"): ("PluginSpec", "datasets"),
    ("HeldOut", "source"): ("PluginSpec", "datasets"),
    ("NamedSource", "source"): ("PluginSpec", "datasets"),
    ("NamedSource", "transforms"): ("PluginSpec", "transforms"),
}
"""(section, key) -> model of the plugin there, and its group."""

_PATH = r"^.*[.:/].*$"
"""Import paths, files beside the job, and paths and URLs of data all hold one of these signs."""


def job_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a job file of any kind.

    Names of installed plugins are listed; other names must look like an import path or a file.
    The options of plugins are not described: ``trainwright show NAME`` does.
    """
    definitions: dict[str, Any] = {}
    whole: dict[str, Any] = {}
    for kind in KINDS.values():
        schema = _model(kind.model)
        definitions.update(schema.pop("$defs", {}))
        definitions[kind.model.__name__] = _changeable(schema)
        whole[kind.name] = _whole(kind.model.__name__, schema.pop("required"))
    _name_plugins(definitions)
    _accept_short_forms(definitions)
    definitions["TrainJob"]["properties"]["deepspeed"] |= _deepspeed(definitions)
    _accept_bases(definitions)
    for section in definitions.values():
        without_titles(section)
    return {
        "$schema": DIALECT,
        "title": "Trainwright job",
        "type": "object",
        "properties": {"kind": {"enum": list(KINDS)}},
        "allOf": [_for_kind(name, schema) for name, schema in whole.items()],
        "$defs": definitions,
    }


def _changeable(schema: dict[str, Any]) -> dict[str, Any]:
    """A job that may extend another."""
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "another job file, relative to this one, that this one changes",
    }
    return schema


def _whole(name: str, required: list[str]) -> dict[str, Any]:
    """A job with all it needs; a file that extends another need not hold everything itself."""
    return {
        "$ref": f"#/$defs/{name}",
        "if": {"not": {"required": ["extends"]}},
        "then": {"required": required},
    }


def _for_kind(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` for the jobs of one kind; a job that names none is of the default kind."""
    named = {"properties": {"kind": {"const": name}}}
    return {"if": named if name == DEFAULT else {**named, "required": ["kind"]}, "then": schema}


def _name_plugins(definitions: dict[str, Any]) -> None:
    """Let every place of a plugin list the names of its group."""
    for (section, key), (model, group) in _PLUGINS.items():
        name = f"{model}_{group}"
        definitions[name] = _plugin(definitions[model], group)
        properties = definitions[section]["properties"]
        properties[key] = _pointing(properties[key], model, name)
    for name in ("PluginSpec", "ModelSpec", "ObjectiveSpec", "MetricSpec"):
        del definitions[name]


def _plugin(definition: dict[str, Any], group: str) -> dict[str, Any]:
    """A plugin in its short and its long form, with the known names of its group."""
    library = [item.attribute for item in built_ins(group).values()]
    aliases = {*built_ins(group), *library, *map(snake, library)}
    known = short_names(group)
    names = [{"enum": known}, {"enum": sorted(aliases - {*known})}, {"pattern": _PATH}]
    name = {"type": "string", "anyOf": [item for item in names if item != {"enum": []}]}
    described = {**name, "description": f"one of `trainwright list {group}`, or an import path"}
    properties = {**definition["properties"], "name": described}
    properties["options"] = {
        "type": "object",
        "description": "options whose names are also keys of the job",
    }
    return {
        "description": definition.get("description", ""),
        "anyOf": [name, {**definition, "properties": properties}],
    }


def _pointing(schema: Any, model: str, name: str) -> Any:
    """``schema`` with its references to ``model`` turned to ``name``, discriminators left out."""
    if isinstance(schema, dict):
        if schema.get("$ref") == f"#/$defs/{model}":
            return {**schema, "$ref": f"#/$defs/{name}"}
        return {
            "anyOf" if key == "oneOf" else key: _pointing(item, model, name)
            for key, item in schema.items()
            if key not in ("default", "discriminator")
        }
    if isinstance(schema, list):
        return [_pointing(item, model, name) for item in schema]
    return schema


def _accept_short_forms(definitions: dict[str, Any]) -> None:
    fraction = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    short_forms: dict[str, dict[str, Any]] = {
        "HeldOut": fraction,
        "Monitor": {"type": "string"},
        "StreamingSpec": {"type": "boolean"},
        "CompileSpec": {"type": "boolean"},
        "Goals": {"type": "string", "minLength": 1},
    }
    for name in ("GridSpec", "RandomSpec", "TpeSpec", "AshaSpec", "MedianSpec", "PbtSpec"):
        short_forms[name] = {"const": definitions[name]["properties"]["name"]["const"]}
        definitions[name]["required"] = ["name"]
    for name, short in short_forms.items():
        long = definitions[name]
        definitions[name] = {"description": long["description"], "anyOf": [short, long]}


def _accept_bases(definitions: dict[str, Any]) -> None:
    """Some kinds hold another job or its path; an empty variant needs no braces."""
    kinds = [{"$ref": f"#/$defs/{name}"} for name in ("TrainJob", "ProcedureJob", "FederatedJob")]
    for name in ("CompareJob", "SweepJob"):
        base = definitions[name]["properties"]["base"]
        definitions[name]["properties"]["base"] = {
            "description": base["description"],
            "anyOf": [{"type": "string"}, *kinds],
        }
    properties = definitions["CompareJob"]["properties"]
    properties["variants"]["additionalProperties"] = {"type": ["object", "null"]}


def _deepspeed(definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _model(DeepSpeed)
    definitions.update(schema.pop("$defs", {}))
    return {key: schema[key] for key in ("properties", "additionalProperties")}


def _model(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True)


def without_titles(schema: Any) -> None:
    """Titles that only repeat a key's name are noise in an editor."""
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        for item in schema.values():
            without_titles(item)
    elif isinstance(schema, list):
        for item in schema:
            without_titles(item)
