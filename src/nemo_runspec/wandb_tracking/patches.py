"""What is changed in the client, or in how a framework calls it: each says why, and until when.

A client that has not the parts that are changed is left as it is: that costs no run.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any

from nemo_runspec._patching import patch
from nemo_runspec.optional import optional_import
from nemo_runspec.wandb_tracking.client import NEED, one_line
from nemo_runspec.wandb_tracking.entries import local_path
from nemo_runspec.wandb_tracking.own_session import session
from nemo_runspec.wandb_tracking.session import Session

_logger = logging.getLogger(__name__)

_HANDLERS = "wandb.sdk.artifacts.storage_handlers"
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

_Function = Callable[..., Any]


def patch_init(dealings: Session) -> None:
    """Register what a run uses, and its tags, whoever starts it; a failure costs no training.

    A framework calls ``wandb.init`` long after the config's references were looked up.
    """

    def make(original: _Function) -> _Function:
        # Those of the process that calls it, which may be a fork of this one.
        return lambda *arguments, **named: session().open(original, arguments, named)

    patch(dealings.wandb, "init", make)


def take_local_references_as_they_are() -> None:
    """A reference to a local path is that path, whatever it holds by now.

    The client compares a digest. That of a reference made without a checksum is one of its path,
    which no file has; that of one made with it no longer holds once the data is made again. The
    content digest in the manifest says whether data has changed.
    """

    def make(original: _Function) -> _Function:
        def load_path(self: Any, manifest_entry: Any, local: bool = False) -> Any:
            reference = manifest_entry.ref or ""
            if not reference.startswith("file://"):
                return original(self, manifest_entry, local=local)
            return local_path(reference)

        return load_path

    _patch(f"{_HANDLERS}.local_file_handler", "LocalFileHandler.load_path", make)


def take_web_references_as_they_are() -> None:
    """A reference to the web is downloaded as it is now; ETags of a hub change by themselves."""

    def make(original: _Function) -> _Function:
        def load_path(self: Any, manifest_entry: Any, local: bool = False) -> Any:
            url = manifest_entry.ref
            if url is None or not local:
                return original(self, manifest_entry, local=local)
            path, hit, opened = self._cache.check_etag_obj_path(
                url=url, etag=manifest_entry.digest, size=manifest_entry.size or 0
            )
            if not hit:
                with self._get_stream(url) as response, opened(mode="wb") as file:
                    response.raise_for_status()
                    for data in response.iter_content(chunk_size=1 << 17):
                        file.write(data)
            return path

        return load_path

    _patch(f"{_HANDLERS}.http_handler", "HTTPHandler.load_path", make)


def draw_ids_from_the_system() -> None:
    """The client's ids do not repeat in runs that seed ``random`` alike.

    For clients before 0.23; later ones have a generator of their own, which this replaces by
    another.
    """
    system = random.SystemRandom()

    def make(original: _Function) -> _Function:
        def generate_fast_id(length: int = 8) -> str:
            return "".join(system.choices(_LETTERS, k=length))

        return generate_fast_id

    _patch("wandb.sdk.lib.runid", "generate_fast_id", make)
    # Older ones have the name there, too.
    _patch("wandb.sdk.artifacts.artifact", "generate_fast_id", make)


def _patch(module: str, name: str, make: Callable[[_Function], _Function]) -> None:
    """Patch a function of the client's own, if it is there."""
    *owners, function = name.split(".")
    try:
        owner = optional_import(module, needed_for=NEED)
        for part in owners:
            owner = getattr(owner, part)
        patch(owner, function, make)
    except (ImportError, AttributeError) as error:
        _logger.debug("this W&B client has no %s.%s: %s", module, name, one_line(error))
