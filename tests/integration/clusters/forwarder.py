"""A door to a server on loopback that can be shut, with TLS when asked for."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Certificate:
    """A certificate for 127.0.0.1 that nobody else has signed.

    Args:
        certificate: its file; trusted by whoever names it.
        key: its key's.
    """

    certificate: Path
    key: Path


def self_signed(folder: Path) -> Certificate:
    """Makes one with `openssl`."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(made.key), "-out", str(made.certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return made


class Forwarder:
    """Listens on a port of 127.0.0.1 of its own and hands on to another.

    Args:
        port: where to.
        certificate: with which it speaks TLS to its callers.
    """

    def __init__(self, port: int, certificate: Certificate | None = None) -> None:
        self._to = port
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate.certificate, certificate.key)
        self._open: set[socket.socket] = set()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    @property
    def address(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Meanwhile connections are refused, and those that there are are cut."""
        self.close()
        try:
            yield
        finally:
            self._listener = self._listen(self.port)

    def close(self) -> None:
        for each in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                caller = listener.accept()[0]
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(OSError))
            stack.enter_context(caller)
            if self._tls is not None:
                caller = stack.enter_context(self._tls.wrap_socket(caller, server_side=True))
            server = stack.enter_context(socket.create_connection(("127.0.0.1", self._to)))
            self._open |= {caller, server}
            back = threading.Thread(target=_copy, args=(server, caller), daemon=True)
            back.start()
            _copy(caller, server)
            back.join()
            self._open -= {caller, server}


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_CHUNK_BYTES):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
