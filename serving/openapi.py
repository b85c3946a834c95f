"""The API description at ``/docs.json``: every route, its errors, its schemas, and examples that work.

BentoML describes its own methods and probes; the reading routes, the one error body and the examples
are added here. Schemas come from the messages themselves.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving import openapi_examples as examples
from serving import openapi_trace_examples as trace_examples
from serving.batch_messages import MOST_BATTERIES, BatchGradeReply, BatchGradeRequest
from serving.correction_messages import CorrectionReply, CorrectionRequest
from serving.file_messages import FileGradeRequest
from serving.form_parts import REQUEST_PART
from serving.genealogy_messages import (
    AssociationReply,
    AssociationRequest,
    GenealogyReply,
    RecodingReply,
    RecodingRequest,
)
from serving.messages import BatteryReply, CodeReply, CodeText, ErrorReply, GradeReply, GradeRequest
from serving.outcome_messages import OutcomeReply, OutcomeRequest
from serving.proof_routes import CheckpointReply, ConsistencyReply, InclusionReply
from serving.settings import software_version
from serving.trace.documents import EpcisQueryDocument
from serving.trace_routes import MOST_PER_PAGE, USUAL_PER_PAGE

Json = dict[str, Any]

_MODELS: tuple[type[BaseModel], ...] = (
    GradeRequest,
    FileGradeRequest,
    BatchGradeRequest,
    BatchGradeReply,
    GradeReply,
    OutcomeRequest,
    OutcomeReply,
    CorrectionRequest,
    CorrectionReply,
    AssociationRequest,
    AssociationReply,
    RecodingRequest,
    RecodingReply,
    GenealogyReply,
    EpcisQueryDocument,
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
    "413": "The body is larger than the route takes: 8 MiB of JSON, 128 MiB of files.",
    "415": "The body is not plain and uncompressed, or of another type than the route takes.",
    "422": "The body is not strict JSON, does not have the required shape or breaks a rule of the measurement. A "
    "refused measurement of a sound battery is recorded; the header PackGrade-Recorded says where.",
    "429": "Too many requests at a time; see Retry-After.",
    "500": "A fault of the service, logged under the identifier in the message.",
    "507": "The disk has no room for the upload; nothing was graded.",
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
        "/v1/grade/files": {"post": _grade_files()},
        "/v1/grade/batch": {"post": _grade_batch()},
        "/v1/outcomes": {"post": _report_outcome()},
        "/v1/corrections": {"post": _correct()},
        "/v1/associations": {"post": _associate()},
        "/v1/recodings": {"post": _recode()},
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
        "tags": [{"name": "grading"}, {"name": "record"}, {"name": "trace"}, *described_by_bentoml.get("tags", [])],
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


def _grade_files() -> Json:
    form = {
        "type": "object",
        "required": [REQUEST_PART],
        "properties": {REQUEST_PART: {"$ref": _REFERENCE.format(model="FileGradeRequest")}},
        "additionalProperties": {"type": "string", "contentMediaType": "application/octet-stream"},
        "description": "Part `request` is JSON; every other part is a file, under the name a run calls it by.",
    }
    shown = {"value": {REQUEST_PART: examples.PULSE_TEST_IN_A_FILE, "train": "step_index,step_type,…"}}
    described = {
        "schema": form,
        "encoding": {REQUEST_PART: {"contentType": "application/json"}},
        "examples": {"pulse test in a file": shown},
    }
    return {
        "tags": ["grading"],
        "operationId": "gradeFiles",
        "summary": "Grade one battery from its measurement files, of at most 128 MiB, and record the decision",
        "parameters": [_KEY],
        "requestBody": {"required": True, "content": {"multipart/form-data": described}},
        "responses": _responses("GradeReply", {"decision": examples.DECISION}, ("409", *_SENDING, "507")),
    }


def _grade_batch() -> Json:
    result = {"status": 200, "idempotency_key": "7f3c/0", "decision": examples.DECISION}
    shown = {"results": [result], "counts": {examples.DECISION["outcome"]: 1}}
    return {
        "tags": ["grading"],
        "operationId": "gradeBatch",
        "summary": f"Grade up to {MOST_BATTERIES} batteries; each gets the answer it would get alone",
        "parameters": [_KEY],
        "requestBody": _content("BatchGradeRequest", {"one battery": {"batteries": [examples.PULSE_TEST]}}),
        "responses": _responses("BatchGradeReply", {"decisions": shown}, _SENDING),
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


def _correct() -> Json:
    return {
        "tags": ["record"],
        "operationId": "correct",
        "summary": "A named person overrides an unsafe verdict or withdraws a decision; the decision stays recorded",
        "parameters": [_KEY],
        "requestBody": _content("CorrectionRequest", {"withdrawal": examples.CORRECTION}),
        "responses": _responses(
            "CorrectionReply", {"correction": examples.CORRECTION_RECORDED}, ("404", "409", *_SENDING)
        ),
    }


def _associate() -> Json:
    return {
        "tags": ["trace"],
        "operationId": "associate",
        "summary": "Record that cells or modules came into a module or pack, or were taken out of it",
        "parameters": [_KEY],
        "requestBody": _content("AssociationRequest", {"a cell into a pack": trace_examples.ASSOCIATION}),
        "responses": _responses("AssociationReply", {"association": trace_examples.ASSOCIATED}, ("409", *_SENDING)),
    }


def _recode() -> Json:
    return {
        "tags": ["trace"],
        "operationId": "recode",
        "summary": "Record that batteries became a cascade product under a new code; the old codes are kept",
        "parameters": [_KEY],
        "requestBody": _content("RecodingRequest", {"a cell for cascade use": trace_examples.RECODING}),
        "responses": _responses("RecodingReply", {"recoding": trace_examples.RECODED}, ("409", *_SENDING)),
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
                "summary": "A battery as last declared, its decisions and its other entries, newest last",
                "parameters": [code],
                "responses": _responses("BatteryReply", {"battery": examples.BATTERY}, _READING),
            }
        },
        **_trace_paths(code),
        **_proof_paths(),
    }


def _trace_paths(code: Json) -> Json:
    return {
        "/v1/batteries/{code}/events": {
            "get": {
                "tags": ["trace"],
                "operationId": "events",
                "summary": "A battery's events under all its codes as GS1 EPCIS 2.0, in the order of the log",
                "parameters": [
                    code,
                    _page("perPage", 1, MOST_PER_PAGE, USUAL_PER_PAGE, "Entries of the record on a page."),
                    _page("nextPageToken", 0, 10**15, 0, "As the page before gave it."),
                ],
                "responses": _responses("EpcisQueryDocument", {"events": trace_examples.EVENTS}, ("422", *_READING)),
            }
        },
        "/v1/batteries/{code}/genealogy": {
            "get": {
                "tags": ["trace"],
                "operationId": "genealogy",
                "summary": "What a battery is part of, its parts, its old codes and the code in use",
                "parameters": [code],
                "responses": _responses("GenealogyReply", {"genealogy": trace_examples.GENEALOGY}, _READING),
            }
        },
        "/v1/vocabulary": {
            "get": {
                "tags": ["trace"],
                "operationId": "vocabulary",
                "summary": "The words our EPCIS documents use beside GS1's, in English and Chinese (JSON-LD)",
                "responses": {
                    "200": {"description": "Done", "content": {"application/json": {"schema": {"type": "object"}}}}
                },
            }
        },
    }


def _page(name: str, lowest: int, highest: int, example: int, description: str) -> Json:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": "integer", "minimum": lowest, "maximum": highest},
        "example": example,
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
