"""A receiver of OpenLineage events on loopback, and the schema that it holds them against."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jsonschema  # type: ignore[import-untyped]

# What version 2-0-2 of https://openlineage.io/spec/2-0-2/OpenLineage.json asks of a run's event, in
# our own words: the client carries no schema. That is the version that client 1.54 says it speaks.
SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
_URI = {"type": "string", "format": "uri", "pattern": "^[A-Za-z][A-Za-z0-9+.-]*:"}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
_UUID = {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
_TEXT = {"type": "string"}


def _facets(**known: Any) -> dict[str, Any]:
    """An object of facets: all have the base's fields, those that we tell have their own."""
    base = {
        "type": "object",
        "properties": {"_producer": _URI, "_schemaURL": _URI},
        "required": ["_producer", "_schemaURL"],
    }
    own = {
        name: {"allOf": [base, {"properties": fields, "required": sorted(required)}]}
        for name, (fields, required) in known.items()
    }
    return {"type": "object", "properties": own, "additionalProperties": base}


def _named(**more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"namespace": _TEXT, "name": _TEXT, **more},
        "required": ["namespace", "name"],
    }


_OWNERS = (
    {
        "owners": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": _TEXT, "type": _TEXT},
                "required": ["name"],
            },
        }
    },
    (),
)
_RUN_ID = {"type": "object", "properties": {"runId": _UUID}, "required": ["runId"]}
_DATASET = _named(
    facets=_facets(
        version=({"datasetVersion": _TEXT}, ("datasetVersion",)),
        datasetType=({"datasetType": _TEXT, "subType": _TEXT}, ("datasetType",)),
        dataSource=({"name": _TEXT, "uri": _TEXT}, ()),
        ownership=_OWNERS,
        lifecycleStateChange=(
            {
                "lifecycleStateChange": {
                    "enum": ["ALTER", "CREATE", "DROP", "OVERWRITE", "RENAME", "TRUNCATE"]
                }
            },
            ("lifecycleStateChange",),
        ),
    )
)
RUN_EVENT: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": _TIME,
        "producer": _URI,
        "schemaURL": {**_URI, "const": f"{SPEC}#/$defs/RunEvent"},
        "run": {
            "type": "object",
            "properties": {
                "runId": _UUID,
                "facets": _facets(
                    nominalTime=(
                        {"nominalStartTime": _TIME, "nominalEndTime": _TIME},
                        ("nominalStartTime",),
                    ),
                    parent=({"run": _RUN_ID, "job": _named()}, ("run", "job")),
                    errorMessage=(
                        {"message": _TEXT, "programmingLanguage": _TEXT, "stackTrace": _TEXT},
                        ("message", "programmingLanguage"),
                    ),
                    processing_engine=({"version": _TEXT, "name": _TEXT}, ("version",)),
                    executionParameters=(
                        {
                            "parameters": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "properties": {"key": _TEXT, "value": _TEXT},
                                    "required": ["key"],
                                },
                            }
                        },
                        (),
                    ),
                ),
            },
            "required": ["runId"],
        },
        "job": _named(
            facets=_facets(
                jobType=(
                    {
                        "processingType": {"enum": ["BATCH", "STREAMING", "SERVICE"]},
                        "integration": _TEXT,
                        "jobType": _TEXT,
                    },
                    ("processingType", "integration"),
                ),
                ownership=_OWNERS,
                sourceCodeLocation=(
                    {"type": _TEXT, "url": _TEXT, "path": _TEXT, "version": _TEXT},
                    ("type", "url"),
                ),
            )
        ),
        "inputs": {"type": "array", "items": _DATASET},
        "outputs": {"type": "array", "items": _DATASET},
    },
    "required": ["eventTime", "producer", "schemaURL", "run", "job"],
}

_VALIDATOR = jsonschema.Draft202012Validator(RUN_EVENT)


def check(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events, which are all as the specification has them."""
    for event in events:
        _VALIDATOR.validate(event)
    return events


@dataclass
class Receiver:
    """What was received.

    Args:
        url: what to set ``OPENLINEAGE_URL`` to.
        events: each body, in order.
        paths: where each was posted to.
        headers: of each.
        answer: the status code of the answers.
        gate: closed, no answer comes.
    """

    url: str
    events: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answer: int = 201
    gate: threading.Event = field(default_factory=threading.Event)

    def of(self, name: str) -> list[dict[str, Any]]:
        """The events of a job, in order."""
        return [each for each in self.events if each["job"]["name"] == name]


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    """A server for as long as this lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            taken.gate.wait(120)
            taken.events.append(json.loads(body))
            taken.paths.append(self.path)
            taken.headers.append(dict(self.headers))
            self.send_response(taken.answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    taken = Receiver(f"http://127.0.0.1:{server.server_port}")
    taken.gate.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield taken
    finally:
        taken.gate.set()
        server.shutdown()
        server.server_close()
        thread.join(60)
