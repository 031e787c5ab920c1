"""A W&B server on the loopback interface, for the real client: a test double for the wire alone.

    with WandbServer() as server:
        run_client(server.environment(folder))
        server.state.runs …

GraphQL at ``/graphql``, a run's history at ``…/file_stream``, files by PUT and GET below
``/storage``. A :class:`Fault` makes it refuse, hang, fail, dawdle or die.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from tests.nemo_runspec.wandb.wandb_graphql import WireError, execute
from tests.nemo_runspec.wandb.wandb_state import ENTITY, State

KEY = "local-" + "a1b2c3d4e5" * 4
PROJECT = "proj"


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Attributes:
        how: ``hang``: no answer; ``error``: 500; ``refuse``: 401; ``slow``: the answer takes
            `seconds`; ``die``: the connection is cut, and no new one is taken.
        at: the GraphQL operation, or the HTTP method of a file, where it does; all when empty.
        after: how many such requests are answered before.
        seconds: of a slow answer.
    """

    how: Literal["hang", "error", "refuse", "slow", "die"]
    at: str = ""
    after: int = 0
    seconds: float = 1.5


class WandbServer:
    """The server; a context manager."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.state = State()
        self.fault = fault
        self.seen: list[str] = []
        self.unknown: list[str] = []
        self._matching = 0
        self._closing = threading.Event()
        self._dead = False
        self._http = _Listener(("127.0.0.1", 0), _Handler)
        self._http.wandb = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> WandbServer:
        self.state.base = self.url
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(60)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def environment(self, folder: Path, **more: str) -> dict[str, str]:
        """The variables of a client: its files stay in `folder`."""
        return client_environment(self.url, folder, **more)

    def runs(self) -> list[Any]:
        """The runs it knows, in order."""
        with self.state.lock:
            return list(self.state.runs.values())

    def versions(self, name: str) -> list[Any]:
        """The committed versions of an artifact."""
        with self.state.lock:
            return self.state.collection(ENTITY, PROJECT, name)

    def struck(self, what: str) -> Fault | None:
        """The fault that meets this request, if one does."""
        fault = self.fault
        if fault is None or (fault.at and fault.at != what):
            return None
        with self.state.lock:
            self._matching += 1
            return fault if self._matching > fault.after else None

    def suffer(self, fault: Fault, handler: _Handler) -> bool:
        """Let the fault do what it does; gives whether the request is answered all the same."""
        if fault.how == "hang":
            self._closing.wait()
            handler.close_connection = True
            return False
        if fault.how == "die":
            self._dead = True
            handler.close_connection = True
            return False
        if fault.how == "slow":
            self._closing.wait(fault.seconds)
            return True
        status, text = (401, "invalid key") if fault.how == "refuse" else (500, "broken")
        handler.reply({"errors": [{"message": text}]}, status)
        return False

    @property
    def dead(self) -> bool:
        """Whether it has died."""
        return self._dead

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a GraphQL request."""
        with self.state.lock:
            try:
                _, data = execute(body["query"], body.get("variables") or {}, self.state.roots())
            except (WireError, KeyError) as error:
                self.unknown.append(f"{error}: {body['query'][:200]}")
                return {"errors": [{"message": str(error)}]}
            return {"data": data}

    def stream(self, path: str, body: Mapping[str, Any]) -> None:
        """Take in what a run streams: its history and its end."""
        _, _, entity, project, name, _ = path.split("/")
        with self.state.lock:
            run = self.state.runs.get((entity, project, name))
            if run is None:
                return
            for file, chunk in (body.get("files") or {}).items():
                if file == "wandb-history.jsonl":
                    run.history += [json.loads(line) for line in chunk["content"]]
            if body.get("complete"):
                run.exitcode = body.get("exitcode", 0)


def client_environment(url: str, folder: Path, **more: str) -> dict[str, str]:
    """The variables of a client of the server at `url`: its files stay in `folder`."""
    places = {
        name: str(folder / name.lower())
        for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR")
    }
    return {
        "WANDB_BASE_URL": url,
        "WANDB_API_KEY": KEY,
        "WANDB_ENTITY": ENTITY,
        "WANDB_PROJECT": PROJECT,
        "WANDB_DIR": str(folder),
        "WANDB_CONSOLE": "off",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB__DISABLE_STATS": "true",
        "WANDB__DISABLE_META": "true",
        "HOME": str(folder),
        **places,
        **more,
    }


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    wandb: WandbServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing where a client has gone; anything else is a bug here."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def do_POST(self) -> None:
        raw = self._body()
        document = json.loads(raw or b"{}")
        what = "file_stream"
        if self.path == "/graphql":
            what = _operation(document.get("query", ""))
        if not self._struck(what):
            return
        if self.path == "/graphql":
            self.reply(self.server.wandb.answer(document))
        else:
            self.server.wandb.stream(self.path, document)
            self.reply({"exitcode": None, "limits": {}})

    def do_PUT(self) -> None:
        body = self._body()
        if self._struck("PUT"):
            with self.server.wandb.state.lock:
                self.server.wandb.state.storage[unquote(self.path)] = body
            self.reply({})

    def do_GET(self) -> None:
        if not self._struck("GET"):
            return
        with self.server.wandb.state.lock:
            body = self.server.wandb.state.storage.get(unquote(self.path))
        self._send(404 if body is None else 200, body or b"")

    def reply(self, document: Mapping[str, Any], status: int = 200) -> None:
        self._send(status, json.dumps(document).encode())

    def _struck(self, what: str) -> bool:
        """Whether the request is to be answered."""
        wandb = self.server.wandb
        wandb.seen.append(what)
        if wandb.dead:
            self.close_connection = True
            return False
        fault = wandb.struck(what)
        return fault is None or wandb.suffer(fault, self)

    def _body(self) -> bytes:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw

    def _send(self, status: int, body: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client has gone

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: pytest shows what the client says."""


def _operation(query: str) -> str:
    words = query.replace("(", " ").replace("{", " ").split()
    pairs = zip(words, words[1:], strict=False)
    return next((name for kind, name in pairs if kind in ("query", "mutation")), "")


def wait_until(condition: Any, seconds: float = 60.0) -> None:
    """Wait for something that another thread does."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never happened"
        time.sleep(0.02)
