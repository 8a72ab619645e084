"""One connection to a source, used by one thread at a time: a range of a blob, received and hashed.

Blocking sockets on purpose: OpenSSL decrypts without the interpreter's lock, and one copy less is
made of every byte than an event loop's TLS makes. The standard library's HTTP client with its caps
reads the heads. This file does I/O and decides nothing about what to fetch.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import ssl
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import FETCH_STALL_S, KIB

TICKET_HEADER: Final = "Hf-Ticket"
_BUFFER_BYTES: Final = 128 * KIB
_REFUSAL_BYTES: Final = 64 * KIB

Write = Callable[[int, memoryview], None]
"""Takes (offset in the blob, bytes); raises what a failing disk means."""


class Range(NamedTuple):
    """A part of a blob: ``length`` bytes from ``offset`` of ``total`` in all."""

    digest: str
    offset: int
    length: int
    total: int


class Lane:
    """A connection that is opened when it is needed and kept for the next range."""

    def __init__(self, tls: ssl.SSLContext, ticket: str) -> None:
        self._tls = tls
        self._ticket = ticket
        self._url = ""
        self._connection: http.client.HTTPSConnection | None = None
        self._socket: ssl.SSLSocket | None = None
        self._aborted = False

    def receive(self, url: str, wanted: Range, write: Write) -> str:
        """Give every byte of ``wanted`` to ``write``; return their sha256 in hex.

        Raises ``BLOB_MISSING`` where the source does not answer, ends early or lacks the blob,
        ``TICKET_REFUSED``, and what ``write`` raises.
        """
        try:
            return self._receive(url, wanted, write)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise HoldfastError(
                Code.BLOB_MISSING, f"No source answers for {wanted.digest}."
            ) from error
        except HoldfastError:
            self.close()
            raise

    def abort(self) -> None:
        """End the connection under a thread that waits on it; callable from another thread.

        The thread looks at ``_aborted`` after it has set ``_socket``, so one of the two sees the
        other; only a connect without an answer is waited for.
        """
        self._aborted = True
        opened = self._socket
        if opened is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket's own: that one would let the other thread go on without TLS.
                socket.socket.shutdown(opened, socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connection; the next range opens another."""
        if self._connection is not None:
            self._connection.close()
        if self._socket is not None:
            self._socket.close()
        self._connection = self._socket = None

    def _receive(self, url: str, wanted: Range, write: Write) -> str:
        connection = self._connect(url)
        last = wanted.offset + wanted.length - 1
        connection.request(
            "GET",
            f"/v1/blobs/{wanted.digest.replace(':', '/')}",
            headers={TICKET_HEADER: self._ticket, "Range": f"bytes={wanted.offset}-{last}"},
        )
        with connection.getresponse() as got:
            if got.status not in (200, 206):
                got.read(_REFUSAL_BYTES)
                raise _refusal(got.status, wanted.digest)
            if got.status != 206 and (wanted.offset, wanted.length) != (0, wanted.total):
                raise HoldfastError(Code.BLOB_MISSING, "A source does not know ranges.")
            return self._body(got, wanted, write)

    def _body(self, got: http.client.HTTPResponse, wanted: Range, write: Write) -> str:
        digest = hashlib.sha256()
        room = memoryview(bytearray(min(_BUFFER_BYTES, max(1, wanted.length))))
        at, end = wanted.offset, wanted.offset + wanted.length
        while at < end:
            count = got.readinto(room[: end - at])
            if not count or self._aborted:
                raise HoldfastError(Code.BLOB_MISSING, "A source ended early.")
            digest.update(room[:count])
            write(at, room[:count])
            at += count
        if got.readinto(room[:1]):
            raise HoldfastError(
                Code.BLOB_DIGEST, f"A source gives more bytes than {wanted.digest} has."
            )
        return digest.hexdigest()

    def _connect(self, url: str) -> http.client.HTTPSConnection:
        kept = self._connection
        if kept is not None and kept.sock is not None and self._url == url:
            return kept
        self.close()
        place = urlsplit(url)
        host, port = place.hostname or "", place.port or http.client.HTTPS_PORT
        bare = socket.create_connection((host, port), FETCH_STALL_S)
        self._socket = self._tls.wrap_socket(
            bare, server_hostname=host, do_handshake_on_connect=False
        )
        if self._aborted:
            raise ConnectionAbortedError
        self._socket.do_handshake()
        self._connection = http.client.HTTPSConnection(host, port, context=self._tls)
        self._connection.sock = self._socket
        self._connection.auto_open = 0
        self._url = url
        return self._connection


def _refusal(status: int, digest: str) -> HoldfastError:
    if status == 404:
        return HoldfastError(Code.BLOB_MISSING, f"A source does not have {digest}.")
    if status in (401, 403):
        return HoldfastError(Code.TICKET_REFUSED, f"A source refuses the ticket for {digest}.")
    return HoldfastError(Code.BLOB_MISSING, f"A source answers {status} for {digest}.")
