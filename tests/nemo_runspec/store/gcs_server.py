"""As much of Google Cloud Storage's JSON API as gcsfs asks of it here, with its preconditions.

https://cloud.google.com/storage/docs/json_api/v1/objects: insert (multipart, media), get, list,
delete; https://cloud.google.com/storage/docs/request-preconditions: ``ifGenerationMatch``.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from tests.nemo_runspec.store.wsgi_server import serve


@contextlib.contextmanager
def gcs_server() -> Iterator[dict[str, Any]]:
    """Yields what to give to ``open_store`` as ``storage_options``."""
    with serve(_application()) as url:
        yield {"endpoint_url": url, "token": "anon"}


def _application() -> Any:
    from werkzeug.wrappers import Request, Response

    objects: dict[tuple[str, str], tuple[bytes, dict[str, Any]]] = {}
    generations = itertools.count(1)

    def says(document: dict[str, Any], status: int = 200) -> Response:
        return Response(json.dumps(document), status, content_type="application/json")

    def fails(status: int, message: str) -> Response:
        return says({"error": {"code": status, "message": message}}, status)

    def insert(request: Request, bucket: str) -> Response:
        body = request.get_data()
        if request.args["uploadType"] == "multipart":
            _, about, content, _ = body.split(b"--==0==", 3)
            name = json.loads(about.split(b"\n\n", 1)[1])["name"]
            body = content.split(b"\n\n", 1)[1][:-1]
        else:
            name = request.args["name"]
        there = objects.get((bucket, name))
        wanted = request.args.get("ifGenerationMatch")
        if wanted is not None and wanted != (there[1]["generation"] if there else "0"):
            return fails(412, "conditionNotMet")
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        info = {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "generation": str(next(generations)),
            "size": str(len(body)),
            "md5Hash": base64.b64encode(hashlib.md5(body).digest()).decode(),
            "updated": now,
            "timeCreated": now,
        }
        objects[bucket, name] = (body, info)
        return says(info)

    def listing(request: Request, bucket: str) -> Response:
        prefix = request.args.get("prefix", "")
        delimiter = request.args.get("delimiter", "")
        items, prefixes = [], set()
        for (within, name), (_, info) in sorted(objects.items()):
            if within != bucket or not name.startswith(prefix):
                continue
            head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found:
                prefixes.add(f"{prefix}{head}{delimiter}")
            else:
                items.append(info)
        return says({"items": items, "prefixes": sorted(prefixes)})

    @Request.application
    def app(request: Request) -> Response:
        # Names hold slashes, quoted: only the path as it was sent tells.
        from urllib.parse import unquote

        parts = [unquote(part) for part in request.environ["RAW_URI"].partition("?")[0].split("/")]
        bucket = parts[parts.index("b") + 1]
        name = "/".join(parts[parts.index("o") + 1 :]) if "o" in parts else ""
        if bucket == "no-such-bucket":
            return fails(404, "The specified bucket does not exist.")
        if request.method == "POST":
            return insert(request, bucket)
        if not name:
            return listing(request, bucket) if "o" in parts else says({"name": bucket})
        there = objects.get((bucket, name))
        if there is None:
            return fails(404, f"No such object: {bucket}/{name}")
        if request.method == "DELETE":
            del objects[bucket, name]
            return Response(status=204)
        if request.args.get("alt") == "media" or "download" in parts:
            return Response(there[0])
        return says(there[1])

    return app
