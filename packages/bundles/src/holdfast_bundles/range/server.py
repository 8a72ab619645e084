"""Blobs over HTTPS: byte ranges of the store for nodes that hold a ticket. aiohttp lives here.

TLS 1.3 with client certificates; a certificate alone fetches nothing. Knows digests only: no
listing, no names, no other path.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import HEADER_BYTES

from holdfast_bundles.logic import tickets
from holdfast_bundles.range.config import RangeConfig
from holdfast_bundles.range.lane import TICKET_HEADER
from holdfast_bundles.store import Store, local_disk, replace_file

_GRACE_S = 5.0


class RangeServer:
    """Serves the blobs of one store; ``now_s`` is the clock in Unix seconds."""

    def __init__(
        self, store: Store, controller_key: bytes, now_s: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._controller_key = controller_key
        self._now_s = now_s

    def application(self) -> web.Application:
        """Return the web application; GET and HEAD of blobs are all it knows."""
        application = web.Application()
        application.router.add_get("/v1/blobs/sha256/{hex:[0-9a-f]{64}}", self._blob)
        return application

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        digest = f"sha256:{request.match_info['hex']}"
        try:
            tickets.check(
                request.headers.get(TICKET_HEADER, ""),
                self._controller_key,
                tickets.node_of_uris(_uris(request)),
                digest,
                self._now_s(),
            )
            if not self._store.has(digest):
                raise HoldfastError(Code.BLOB_MISSING, f"{digest} is not here.")
        except HoldfastError as error:
            return _refusal(error)
        headers = {"Content-Type": "application/octet-stream"}
        return web.FileResponse(self._store.path(digest), chunk_size=1 << 20, headers=headers)


def tls(config: RangeConfig) -> ssl.SSLContext:
    """Return the server's TLS: 1.3 only, client certificates required.

    Raises ``CONFIG_INVALID`` where the files do not make one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(config.cert, config.key)
        context.load_verify_locations(config.ca)
    except OSError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"The certificate, key or CA cannot be used: {error.strerror}."
        ) from error
    return context


async def run(config: RangeConfig, stopped: asyncio.Event) -> None:
    """Serve until ``stopped``; open transfers get a few seconds, then end.

    Raises ``CONFIG_INVALID`` for settings that do not make a server.
    """
    server = RangeServer(Store(Path(config.store_dir)), _key(config.controller_key_hex))
    runner = web.AppRunner(
        server.application(),
        access_log=None,
        shutdown_timeout=_GRACE_S,
        max_field_size=HEADER_BYTES,
        max_line_size=8190,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.listen_host, config.port, ssl_context=tls(config))
        try:
            await site.start()
        except OSError as error:
            raise HoldfastError(
                Code.CONFIG_INVALID,
                f"Port {config.port} of {config.listen_host} cannot be used: {error.strerror}.",
            ) from error
        port: int = runner.addresses[0][1]
        with local_disk():
            replace_file(Path(config.port_file), f"{port}\n".encode("ascii"))
        await stopped.wait()
    finally:
        await runner.cleanup()


def _uris(request: web.Request) -> list[str]:
    """Return the URI names of the client's certificate, which TLS has verified."""
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    names = certificate.get("subjectAltName", ()) if certificate else ()
    return [value for kind, value in names if kind == "URI"]


def _refusal(error: HoldfastError) -> web.Response:
    status = 404 if error.code is Code.BLOB_MISSING else error.status
    body = {"error": {"code": error.code.value, "message": error.message, "next": error.next}}
    return web.Response(status=status, body=encode(body), content_type="application/json")


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise HoldfastError(
            Code.CONFIG_INVALID, "controller_key_hex is not a raw ed25519 key in hex."
        )
    return key
