"""An S3 server on loopback: moto's, its answers one after the other.

moto looks whether an object is there, then writes it; one lock around the whole makes its
conditional writes what they are at Amazon's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tests.nemo_runspec.store.wsgi_server import serve


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, Any]]:
    """Yields what to give to ``open_store`` as ``storage_options``."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    with serve(DomainDispatcherApplication(create_backend_app)) as url:
        yield {"key": "testing", "secret": "testing", "client_kwargs": {"endpoint_url": url}}


def make_bucket(options: dict[str, Any], name: str) -> str:
    """Makes a bucket; returns its URL."""
    import s3fs  # type: ignore[import-untyped]

    s3fs.S3FileSystem(**options, skip_instance_cache=True).mkdir(name)
    return f"s3://{name}"
