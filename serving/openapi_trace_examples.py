"""Examples of the API description for genealogy and EPCIS; made up, like those of `openapi_examples`."""

from typing import Any

from serving.openapi_examples import BATTERY, DECISION
from serving.trace.documents import GS1_CONTEXT
from serving.trace.identifiers import battery_uri, event_uri
from serving.trace.vocabulary import shipped_vocabulary

CELL: str = BATTERY["battery"]["battery_id"]
_PACK = "04QPB76836300JBC40000017"
_CASCADE_CELL = "04QCB76GB20000903RC"
_RECORDED: dict[str, Any] = {**DECISION["recorded"], "sequence": 20}

ASSOCIATION: dict[str, Any] = {"parent": _PACK, "children": [CELL], "action": "ADD"}
ASSOCIATED: dict[str, Any] = {
    "association_id": "1c0f6a0c1d2b4c3f9a8b7c6d5e4f3a11",
    **ASSOCIATION,
    "upload_due_on": "2026-12-11",
    "recorded": _RECORDED,
}

RECODING: dict[str, Any] = {
    "old_codes": [CELL],
    "new_code": _CASCADE_CELL,
    "rated_capacity_ah": 28.0,
    "decision_id": DECISION["decision_id"],
}
RECODED: dict[str, Any] = {
    "recoding_id": "2d0f6a0c1d2b4c3f9a8b7c6d5e4f3a12",
    **RECODING,
    "upload_due_on": "2026-12-11",
    "recorded": {**_RECORDED, "sequence": 21},
}

GENEALOGY: dict[str, Any] = {
    "battery_id": CELL,
    "current_code": CELL,
    "became": None,
    "old_codes": [],
    "part_of": _PACK,
    "parts": [],
}

_MOMENT = "2026-11-22T08:30:00.000000Z"
EVENTS: dict[str, Any] = {
    "@context": [GS1_CONTEXT, {shipped_vocabulary().prefix: shipped_vocabulary().namespace}],
    "type": "EPCISQueryDocument",
    "schemaVersion": "2.0",
    "creationDate": _MOMENT,
    "epcisBody": {
        "queryResults": {
            "queryName": "SimpleEventQuery",
            "resultsBody": {
                "eventList": [
                    {
                        "type": "AssociationEvent",
                        "eventID": event_uri(ASSOCIATED["association_id"]),
                        "eventTime": _MOMENT,
                        "eventTimeZoneOffset": "+00:00",
                        "action": "ADD",
                        "bizStep": "assembling",
                        "readPoint": {"id": "https://packgrade.example/loc/chongqing-3"},
                        "parentID": battery_uri(_PACK),
                        "childEPCs": [battery_uri(CELL)],
                        "packgrade:kind": "association",
                        "packgrade:log_index": _RECORDED["sequence"],
                        "packgrade:leaf_sha256": _RECORDED["leaf_sha256"],
                        "packgrade:battery_sequence": 0,
                        "packgrade:software_version": "0.1.0",
                        "packgrade:upload_due_on": "2026-12-11",
                    }
                ]
            },
        }
    },
}
