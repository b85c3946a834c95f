"""The API description at ``/docs.json``: every route, its errors, its schemas, and examples that work.

BentoML describes its own methods and probes; the reading routes, the one error body and the examples
are added here. Schemas come from the messages themselves.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving import openapi_examples as examples
from serving.messages import BatteryReply, CodeReply, CodeText, ErrorReply, GradeReply, GradeRequest
from serving.outcome_messages import OutcomeReply, OutcomeRequest
from serving.proof_routes import CheckpointReply, ConsistencyReply, InclusionReply
from serving.settings import software_version

Json = dict[str, Any]

_MODELS: tuple[type[BaseModel], ...] = (
    GradeRequest,
    GradeReply,
    OutcomeRequest,
    OutcomeReply,
    CodeText,
    CodeReply,
    BatteryReply,
    CheckpointReply,
    InclusionReply,
    ConsistencyReply,
    ErrorReply,
)
_REFERENCE = "#/components/schemas/{model}"

_REFUSALS = {
    "404": "Nothing is recorded under this identifier or code.",
    "408": "The body did not arrive in time.",
    "409": "The idempotency key was used for another request.",
    "413": "The body is larger than 8 MiB.",
    "415": "The body is not plain, uncompressed application/json.",
    "422": "The body is not strict JSON, does not have the required shape or breaks a rule of the measurement.",
    "429": "Too many requests at a time; see Retry-After.",
    "500": "A fault of the service, logged under the identifier in the message.",
    "503": "The record cannot be written or the service is not ready; nothing was graded. See Retry-After.",
}
_READING, _SENDING = ("404", "500", "503"), ("408", "413", "415", "422", "429", "500", "503")


def api_description(described_by_bentoml: Mapping[str, Any]) -> Json:
    """Return the OpenAPI document of the whole service.

    Parameters
    ----------
    described_by_bentoml : mapping
        BentoML's own document; its probes are kept, its description of our methods is replaced.
    """
    _, schemas = models_json_schema([(model, "validation") for model in _MODELS], ref_template=_REFERENCE)
    ours = {
        "/v1/grade": {"post": _grade()},
        "/v1/outcomes": {"post": _report_outcome()},
        "/v1/codes/parse": {"post": _parse_code()},
        **_reading_paths(),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "PackGrade",
            "version": software_version(),
            "description": "Grades retired traction batteries. No decision is answered before it is recorded.",
        },
        "servers": [{"url": "."}],
        "tags": [{"name": "grading"}, {"name": "record"}, *described_by_bentoml.get("tags", [])],
        "paths": {**ours, **_probes(described_by_bentoml)},
        "components": {"schemas": schemas["$defs"]},
    }


def _probes(described_by_bentoml: Mapping[str, Any]) -> Json:
    paths = described_by_bentoml.get("paths", {})
    return {path: paths[path] for path in ("/livez", "/readyz", "/metrics") if path in paths}


_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "1 to 128 visible ASCII characters; the server makes one and returns it if there is none.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
}


def _grade() -> Json:
    return {
        "tags": ["grading"],
        "operationId": "grade",
        "summary": "Grade one battery and record the decision",
        "parameters": [_KEY],
        "requestBody": _content(
            "GradeRequest", {"pulse test": examples.PULSE_TEST, "hold on inspection": examples.LEAKING_PACK}
        ),
        "responses": _responses("GradeReply", {"decision": examples.DECISION}, ("409", *_SENDING)),
    }


def _report_outcome() -> Json:
    return {
        "tags": ["record"],
        "operationId": "reportOutcome",
        "summary": "Record a capacity measured later on a graded battery; the decision stays as it is",
        "parameters": [_KEY],
        "requestBody": _content("OutcomeRequest", {"measured capacity": examples.OUTCOME}),
        "responses": _responses("OutcomeReply", {"outcome": examples.OUTCOME_RECORDED}, ("404", "409", *_SENDING)),
    }


def _parse_code() -> Json:
    return {
        "tags": ["grading"],
        "operationId": "parseCode",
        "summary": "Read a GB/T 34014 battery code; an invalid code is answered with its problems",
        "requestBody": _content(
            "CodeText", {"two lines": examples.CODE_ON_TWO_LINES, "a slip": examples.CODE_WITH_A_SLIP}
        ),
        "responses": _responses("CodeReply", {"valid code": examples.CODE_READ}, _SENDING),
    }


def _reading_paths() -> Json:
    decision = _parameter("decision_id", examples.DECISION["decision_id"])
    code = _parameter("code", examples.BATTERY["battery"]["battery_id"])
    return {
        "/v1/decisions/{decision_id}": {
            "get": {
                "tags": ["record"],
                "operationId": "decision",
                "summary": "A recorded decision, byte for byte as it was answered",
                "parameters": [decision],
                "responses": _responses("GradeReply", {"decision": examples.DECISION}, _READING),
            }
        },
        "/v1/batteries/{code}": {
            "get": {
                "tags": ["record"],
                "operationId": "battery",
                "summary": "A battery as last declared and its decisions, newest last",
                "parameters": [code],
                "responses": _responses("BatteryReply", {"battery": examples.BATTERY}, _READING),
            }
        },
        **_proof_paths(),
    }


def _proof_paths() -> Json:
    proved = ("422", *_READING)
    return {
        "/v1/checkpoint": {
            "get": {
                "tags": ["record"],
                "operationId": "checkpoint",
                "summary": "The signed head of the log (C2SP checkpoint); keep it elsewhere",
                "responses": _responses("CheckpointReply", {"checkpoint": examples.CHECKPOINT}, _READING),
            }
        },
        "/v1/proofs/inclusion": {
            "get": {
                "tags": ["record"],
                "operationId": "inclusionProof",
                "summary": "Proof that an entry stands in the log (RFC 9162)",
                "parameters": [_number("sequence", 0), _number("size", 1)],
                "responses": _responses("InclusionReply", {"proof": examples.INCLUSION}, proved),
            }
        },
        "/v1/proofs/consistency": {
            "get": {
                "tags": ["record"],
                "operationId": "consistencyProof",
                "summary": "Proof that the log of one size begins with that of an earlier one (RFC 9162)",
                "parameters": [_number("old_size", 1), _number("new_size", 1)],
                "responses": _responses("ConsistencyReply", {"proof": examples.CONSISTENCY}, proved),
            }
        },
    }


def _number(name: str, example: int) -> Json:
    return {
        "name": name,
        "in": "query",
        "required": True,
        "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999_999_999},
        "example": example,
    }


def _parameter(name: str, example: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "example": example}


def _responses(model: str, shown: Mapping[str, Json], refusals: tuple[str, ...]) -> Json:
    refused = {
        status: {"description": _REFUSALS[status], **_content("ErrorReply", {"error": examples.ERROR})}
        for status in sorted(refusals)
    }
    return {"200": {"description": "Done", **_content(model, shown)}, **refused}


def _content(model: str, shown: Mapping[str, Json]) -> Json:
    named = {name: {"value": value} for name, value in shown.items()}
    reference = {"$ref": _REFERENCE.format(model=model)}
    return {"content": {"application/json": {"schema": reference, "examples": named}}}
