"""One connection to a broker: from a credentials folder to a client that answers a round trip.

Everything foreign (nats, ssl, sockets) becomes a ``HoldfastError`` here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from nats import errors as foreign

from holdfast_protocol.bus.guarded import Counters, GuardedClient
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import credentials
from holdfast_protocol.identity.credentials import Credentials
from holdfast_protocol.limits import BUS_CONNECT_S, BUS_PING_S, PENDING_BYTES

_VIOLATION: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')
_CLOSE_S: Final = 2.0
_FLUSH_S: Final = 5.0
_REFUSED: Final = (
    "authorization violation",
    "authentication revoked",
    "authentication expired",
    "account authentication expired",
)

OnRefusal = Callable[[str, str], None]
"""Called with ("publish" or "subscription", subject in lower case)."""
OnEnd = Callable[[], None]


class _ConnectFailedError(Exception):
    """Carries the first failure out of nats-py's connect, which else retries for ever."""


class Connection:
    """A connected client and how it ends; never reused after it ended."""

    def __init__(self, counters: Counters, on_refusal: OnRefusal, on_end: OnEnd) -> None:
        self.client = GuardedClient(counters)
        self._on_refusal = on_refusal
        self._on_end = on_end
        self._connecting = True

    async def open(self, folder: Path, server: str, name: str) -> Credentials:
        """Connect to ``server`` as the identity in ``folder`` and complete one round trip.

        Raises ``CONFIG_INVALID`` for the folder, ``NOT_PERMITTED`` where the broker refuses the
        identity, ``BROKER_DOWN`` otherwise; the connection is closed then.
        """
        identity = credentials.read(folder)
        tls = client_tls(folder)
        try:
            async with asyncio.timeout(2 * BUS_CONNECT_S):
                await self._connect(identity, tls, server, name)
                await self.client.synchronise(BUS_CONNECT_S)
        except (_ConnectFailedError, foreign.Error, OSError, TimeoutError, EOFError) as error:
            await self.close()
            raise _failure(server, error) from error
        except asyncio.CancelledError:
            await self.close()
            raise
        self._connecting = False
        return identity

    async def close(self) -> None:
        """End it, within a bounded time; idempotent."""
        self._connecting = False
        with contextlib.suppress(foreign.Error, OSError, TimeoutError, EOFError):
            async with asyncio.timeout(_CLOSE_S):
                await self.client.close()

    async def _connect(
        self, identity: Credentials, tls: ssl.SSLContext, server: str, name: str
    ) -> None:
        key = identity.key_pair()
        await self.client.connect(
            servers=[server],
            name=name,
            tls=tls,
            tls_handshake_first=identity.connect.tls_first,
            user_jwt_cb=lambda: bytearray(identity.user_jwt.encode("ascii")),
            signature_cb=lambda nonce: base64.b64encode(key.sign(nonce.encode("ascii"))),
            inbox_prefix=identity.connect.inbox_prefix,
            # A fresh connection replaces one that ended: see guarded.py.
            allow_reconnect=False,
            connect_timeout=BUS_CONNECT_S,
            ping_interval=BUS_PING_S,
            max_outstanding_pings=2,
            pending_size=PENDING_BYTES,
            flush_timeout=_FLUSH_S,
            error_cb=self._on_error,
            closed_cb=self._on_closed,
        )

    async def _on_error(self, error: Exception) -> None:
        if self._connecting:
            raise _ConnectFailedError from error
        found = _VIOLATION.search(str(error).lower())
        if found is not None:
            self._on_refusal(found.group(1), found.group(2))

    async def _on_closed(self) -> None:
        self._on_end()


def client_tls(folder: Path) -> ssl.SSLContext:
    """Return TLS 1.3 with the folder's certificate that trusts its CA alone.

    Raises ``CONFIG_INVALID``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cafile=str(folder / "ca.pem"))
        context.load_cert_chain(str(folder / "cert.pem"), str(folder / "key.pem"))
    except (OSError, ssl.SSLError) as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"The certificates in {folder} do not load: {error}."
        ) from error
    return context


@contextlib.contextmanager
def translated(subject: str) -> Iterator[None]:
    """Turn what nats-py raises around ``subject`` into our errors."""
    try:
        yield
    except foreign.MaxPayloadError as error:
        raise HoldfastError(Code.TOO_LARGE, f"The message to {subject} is too large.") from error
    except (foreign.BadSubjectError, foreign.BadHeaderError) as error:
        raise HoldfastError(Code.BAD_REQUEST, f"Nothing can be sent to {subject!a}.") from error
    except TimeoutError as error:
        raise HoldfastError(Code.DEADLINE, f"No answer on {subject} in time.") from error
    except (foreign.Error, OSError) as error:
        raise down() from error


def down() -> HoldfastError:
    """The error while there is no connection."""
    return HoldfastError(Code.BROKER_DOWN, "The broker is not connected.")


def _failure(server: str, error: BaseException) -> HoldfastError:
    cause = error.__cause__ if isinstance(error, _ConnectFailedError) else error
    text = str(cause).lower()
    if any(phrase in text for phrase in _REFUSED):
        return HoldfastError(Code.NOT_PERMITTED, f"The broker {server} refuses this identity.")
    if isinstance(cause, ssl.SSLError):
        return HoldfastError(
            Code.BROKER_DOWN, f"The broker {server} cannot be reached: {cause.reason or 'TLS'}."
        )
    why = str(cause) or type(cause).__name__
    return HoldfastError(Code.BROKER_DOWN, f"The broker {server} cannot be reached: {why[:200]}.")
