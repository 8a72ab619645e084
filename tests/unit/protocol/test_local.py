"""Local sockets: frames, caps, modes, stale files, last values."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

import pytest
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import LOCAL_FRAME_BYTES
from holdfast_protocol.local import LocalFeed, call, follow, serve


async def echo(request: bytes) -> bytes:
    return b"<" + request + b">"


async def test_a_request_is_answered_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with await serve(path, echo):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await call(path, b"hello", 5) == b"<hello>"
        assert await call(path, b"", 5) == b"<>"
    assert not path.exists()


async def test_several_requests_on_one_connection(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with await serve(path, echo):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"\0\0\0\1a\0\0\0\1b")
        assert await reader.readexactly(14) == b"\0\0\0\3<a>\0\0\0\3<b>"
        writer.close()
        await writer.wait_closed()


async def test_nobody_there_is_site_down(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError) as caught:
        await call(tmp_path / "none", b"x", 5)
    assert caught.value.code is Code.SITE_DOWN


async def test_a_handler_that_fails_ends_the_connection_only(tmp_path: Path) -> None:
    async def moody(request: bytes) -> bytes:
        if request == b"bad":
            raise HoldfastError(Code.BAD_REQUEST, "No.")
        return request

    path = tmp_path / "s"
    async with await serve(path, moody):
        with pytest.raises(HoldfastError) as caught:
            await call(path, b"bad", 5)
        assert caught.value.code is Code.SITE_DOWN
        assert await call(path, b"good", 5) == b"good"


async def test_silence_is_a_deadline(tmp_path: Path) -> None:
    async def never(_: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    path = tmp_path / "s"
    async with await serve(path, never):
        with pytest.raises(HoldfastError) as caught:
            await call(path, b"x", 0.02)
        assert caught.value.code is Code.DEADLINE


async def test_caps_hold_at_the_bound_and_one_past_it(tmp_path: Path) -> None:
    async def length(request: bytes) -> bytes:
        return str(len(request)).encode()

    path = tmp_path / "s"
    async with await serve(path, length):
        assert await call(path, bytes(LOCAL_FRAME_BYTES), 20) == str(LOCAL_FRAME_BYTES).encode()
        with pytest.raises(HoldfastError) as caught:
            await call(path, bytes(LOCAL_FRAME_BYTES + 1), 20)
        assert caught.value.code is Code.TOO_LARGE
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write((LOCAL_FRAME_BYTES + 1).to_bytes(4, "big"))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_a_stale_file_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    async with await serve(path, echo):
        with pytest.raises(HoldfastError) as caught:
            await serve(path, echo)
        assert caught.value.code is Code.ALREADY_EXISTS
        assert await call(path, b"x", 5) == b"<x>"
    path.write_text("precious")
    with pytest.raises(HoldfastError):
        await serve(path, echo)
    assert path.read_text() == "precious"


async def test_a_path_too_long_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError) as caught:
        await serve(tmp_path / ("x" * 120), echo)
    assert caught.value.code is Code.CONFIG_INVALID


async def test_a_feed_gives_the_last_value_at_once_and_then_changes(tmp_path: Path) -> None:
    path = tmp_path / "f"
    async with LocalFeed(path) as feed:
        await feed.publish(b"one")
        await feed.publish(b"two")
        seen = follow(path)
        late = follow(path)
        assert await anext(seen) == b"two"
        await feed.publish(b"three")
        assert await anext(seen) == b"three"
        assert await anext(late) == b"three"
        feed.close()
        with pytest.raises(StopAsyncIteration):
            await anext(seen)
        with pytest.raises(StopAsyncIteration):
            await anext(late)


async def test_a_subscriber_that_waits_hears_the_first_value(tmp_path: Path) -> None:
    path = tmp_path / "f"
    async with LocalFeed(path) as feed:
        seen = follow(path)
        first = asyncio.ensure_future(anext(seen))
        await asyncio.sleep(0)
        await feed.publish(b"first")
        assert await asyncio.wait_for(first, 5) == b"first"
        await seen.aclose()


async def test_a_slow_subscriber_skips_to_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "f"
    async with LocalFeed(path) as feed:
        await feed.publish(b"\0" * 4_000_000)
        seen = follow(path)
        await anext(seen)
        for number in range(1, 60):
            await feed.publish(bytes([number]) * 4_000_000)
            await asyncio.sleep(0)
        got = [0]
        async with asyncio.timeout(20):
            while got[-1] != 59:
                got.append((await anext(seen))[0])
        assert got == sorted(got)
        assert len(got) < 30
        await seen.aclose()


async def test_following_nothing_is_site_down(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError) as caught:
        await anext(follow(tmp_path / "none"))
    assert caught.value.code is Code.SITE_DOWN
