from __future__ import annotations

import importlib
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nemo_runspec import wandb_kit
from nemo_runspec.wandb_tracking.own_session import forget_session

HANDLERS = "wandb.sdk.artifacts.storage_handlers"


class _Data(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("ETag", '"new"')
        self.end_headers()
        self.wfile.write(b"data")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The client's handlers, as they were before when the test is over."""
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("INIT_TIMEOUT", "FINISH_TIMEOUT", "HTTP_TIMEOUT", "LOGIN_TIMEOUT", "SILENT"):
        monkeypatch.setenv(f"WANDB_{name}", "1")  # what the session would set for good
    http = importlib.import_module(f"{HANDLERS}.http_handler").HTTPHandler
    local = importlib.import_module(f"{HANDLERS}.local_file_handler").LocalFileHandler
    runid = importlib.import_module("wandb.sdk.lib.runid")
    for owner, name in ((http, "load_path"), (local, "load_path"), (runid, "generate_fast_id")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    yield SimpleNamespace(http=http, local=local, runid=runid)
    forget_session()


def test_a_local_reference_is_its_path(handlers: Any, tmp_path: Path) -> None:
    file = tmp_path / "data 50% #1"
    file.write_text("made again since", "utf-8")
    entry = SimpleNamespace(ref=file.as_uri(), path="data", digest="of-before", size=3)
    handler = handlers.local()
    with pytest.raises(ValueError, match="Digest mismatch"):
        handler.load_path(entry, local=True)
    for _ in range(2):
        wandb_kit.patch_wandb_local_file_handler_skip_digest_verification()
    assert handler.load_path(entry, local=True) == str(file)


def test_a_web_reference_is_what_is_there_now(handlers: Any) -> None:
    requests = importlib.import_module("requests")
    with HTTPServer(("127.0.0.1", 0), _Data) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/data"
        entry = SimpleNamespace(ref=url, path="data", digest="old", size=4)
        handler = handlers.http(requests.Session(), "http")
        with pytest.raises(ValueError, match="Digest mismatch"):
            handler.load_path(entry, local=True)
        wandb_kit.patch_wandb_http_handler_skip_digest_verification()
        assert Path(handler.load_path(entry, local=True)).read_bytes() == b"data"
        assert handler.load_path(entry) == url
        server.shutdown()
        thread.join(60)


def test_ids_do_not_follow_the_seed(handlers: Any) -> None:
    wandb_kit.patch_wandb_runid_for_seeded_random()
    made = set()
    for _ in range(2):
        random.seed(1)
        made.add(handlers.runid.generate_fast_id(32))
    assert len(made) == 2
    assert all(set(one) <= set("abcdefghijklmnopqrstuvwxyz0123456789") for one in made)
