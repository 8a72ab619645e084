"""What a journal in SQLite notices when it is opened, and what it then leaves untouched."""

from __future__ import annotations

import random
import shutil
import sqlite3
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from holdfast_controller.adapters.high_water import HighWater
from holdfast_controller.adapters.sqlite_journal import JournalSettings, open_journal
from holdfast_controller.journal.port import Committed, Tail, following
from holdfast_evidence import Signer, leaf_hash
from holdfast_evidence.logic import checkpoint
from holdfast_protocol.errors import Code, HoldfastError

from tests.contract.journal_site import (
    assert_known_prefix,
    fill,
    record,
    records,
    reference_root,
    site,
    sized,
)


def new_signer() -> Signer:
    return Signer(origin="holdfast/site-1/audit", key=Ed25519PrivateKey.generate())


async def refusal(settings: JournalSettings) -> HoldfastError:
    with pytest.raises(HoldfastError) as caught:
        async with open_journal(settings):
            pass
    return caught.value


def change(settings: JournalSettings, *statements: str) -> None:
    """Do what an insider with the file could do."""
    connection = sqlite3.connect(settings.path)
    for statement in ("DROP TRIGGER journal_no_update", "DROP TRIGGER journal_no_delete"):
        connection.execute(statement)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


async def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    settings = site(tmp_path)
    for turn in range(4):
        async with open_journal(settings) as journal:
            assert journal.tail.commit == turn * 50
            await fill(journal, *(sized(turn * 50 + n) for n in range(1, 51)))
            await assert_known_prefix(journal)
    for path in (settings.path, settings.high_water):
        assert path.stat().st_mode & 0o077 == 0


async def test_a_flipped_bit_in_a_record_is_named(tmp_path: Path) -> None:
    settings = site(tmp_path)
    async with open_journal(settings) as journal:
        await fill(journal, 50, 50)
    data = bytearray(settings.path.read_bytes())
    at = data.index(record(77).body) + 8
    data[at] ^= 1
    settings.path.write_bytes(data)
    error = await refusal(settings)
    assert (error.code, error.message) == (
        Code.JOURNAL_DAMAGED,
        "Record 77 does not match its leaf.",
    )


async def test_beyond_many_records_the_signed_part_is_hashed_in_the_background(
    tmp_path: Path,
) -> None:
    settings = msgspec.structs.replace(site(tmp_path, new_signer()), rehash_all_records=0)
    async with open_journal(settings) as journal:
        await fill(journal, 300, 300)
    change(settings, "UPDATE journal SET record = x'7b7d' WHERE seq = 77")
    async with open_journal(settings) as journal:
        assert journal.tail.root == reference_root(600)
        assert len(await journal.history(None, 77, 10)) == 10
        for broken in (journal.rehash(), journal.history(None, 70, 10), journal.read(0, 1)):
            with pytest.raises(HoldfastError, match="Record 77 does not match its leaf"):
                await broken
        await fill(journal, 1)
    change_again = "UPDATE journal SET record = x'7b7d' WHERE seq = 601"
    with sqlite3.connect(settings.path) as connection:
        connection.execute("DELETE FROM checkpoint WHERE size = 601")
        connection.execute(change_again)
    connection.close()
    assert "Record 601" in (await refusal(settings)).message


async def test_a_whole_journal_rehashes(tmp_path: Path) -> None:
    async with open_journal(site(tmp_path)) as journal:
        await journal.rehash()
        await fill(journal, 300, 1, 5000 - 2000)
        await journal.rehash()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM journal WHERE seq = 40", "Record 40 is missing"),
        ("UPDATE journal SET commit_no = 2 WHERE seq = 40", "Record 41 stands in commit 1"),
        ("UPDATE journal SET commit_no = 9 WHERE seq > 50", "Record 51 stands in commit 9"),
        ("UPDATE journal SET epoch = 1 WHERE seq = 40", "Record 40 stands in commit 1"),
        ("UPDATE journal SET leaf = zeroblob(32) WHERE seq = 9", "Record 9 does not match"),
    ],
)
async def test_a_rearranged_journal_is_damaged(
    tmp_path: Path, statement: str, message: str
) -> None:
    settings = site(tmp_path)
    async with open_journal(settings) as journal:
        await fill(journal, 50, 50)
    change(settings, statement)
    error = await refusal(settings)
    assert error.code == Code.JOURNAL_DAMAGED
    assert message in error.message


async def test_a_history_rewritten_with_its_hashes_is_noticed(tmp_path: Path) -> None:
    signed, plain = site(tmp_path / "signed", new_signer()), site(tmp_path / "plain")
    forged = b'{"seq":0}'
    for settings, code in ((signed, Code.JOURNAL_DAMAGED), (plain, Code.JOURNAL_ROLLBACK)):
        async with open_journal(settings) as journal:
            await fill(journal, 20)
        change(
            settings,
            f"UPDATE journal SET record = x'{forged.hex()}', leaf = x'{leaf_hash(forged).hex()}'"  # noqa: S608 - constants of this test
            " WHERE seq = 7",
        )
        assert (await refusal(settings)).code == code


async def test_tiles_are_a_cache_that_is_mended(tmp_path: Path) -> None:
    settings = site(tmp_path)
    async with open_journal(settings) as journal:
        await fill(journal, 600)
    change(settings, "UPDATE tile SET hash = zeroblob(32) WHERE idx = 1")
    async with open_journal(settings) as journal:
        assert (await journal.proof(3)).root == reference_root(600)
    many = msgspec.structs.replace(settings, rehash_all_records=0, signer=new_signer())
    async with open_journal(many) as journal:
        await fill(journal, 1)
    change_tile = "UPDATE tile SET hash = zeroblob(32) WHERE idx = 0"
    with sqlite3.connect(settings.path) as connection:
        connection.execute(change_tile)
    connection.close()
    async with open_journal(many) as journal:
        assert (await journal.proof(3)).root == reference_root(601)


async def test_checkpoints_are_signed_by_number_and_at_the_end(tmp_path: Path) -> None:
    signer = new_signer()
    settings = msgspec.structs.replace(site(tmp_path, signer), checkpoint_records=100)
    async with open_journal(settings) as journal:
        assert await journal.last_checkpoint() is None
        await fill(journal, 60, 60)
        note = await journal.last_checkpoint()
        assert note is not None
        found = checkpoint.verify(note.encode(), signer.verifier)
        assert (found.size, found.root) == (120, reference_root(120))
        await fill(journal, 10)
        assert await journal.last_checkpoint() == note
        asked = await journal.checkpoint()
        assert asked is not None
        assert checkpoint.verify(asked.encode(), signer.verifier).size == 130
        await fill(journal, 3)
    async with open_journal(settings) as journal:
        last = await journal.last_checkpoint()
        assert last is not None
        assert checkpoint.verify(last.encode(), signer.verifier).size == 133
    other = msgspec.structs.replace(settings, signer=new_signer())
    assert "checkpoint over 133" in (await refusal(other)).message
    turned = msgspec.structs.replace(other, former=(signer.verifier,))
    async with open_journal(turned) as journal:
        await fill(journal, 1)


async def test_an_older_copy_is_a_rollback_until_it_is_accepted(tmp_path: Path) -> None:
    settings = site(tmp_path)
    async with open_journal(settings) as journal:
        await fill(journal, 10)
    shutil.copy(settings.path, tmp_path / "backup")
    async with open_journal(settings) as journal:
        await fill(journal, 10)
    shutil.copy(tmp_path / "backup", settings.path)
    before = settings.path.read_bytes()
    error = await refusal(settings)
    assert error.code == Code.JOURNAL_ROLLBACK
    assert "record 10" in error.message
    assert "record 20" in error.message
    assert settings.path.read_bytes() == before
    accepted = msgspec.structs.replace(settings, accept_rollback=True)
    async with open_journal(accepted) as journal:
        raised = following(journal.tail, records(journal.tail, 1), epoch=1)
        assert isinstance(await journal.append(journal.tail, raised), Committed)
    async with open_journal(settings) as journal:
        assert (journal.tail.seq, journal.tail.epoch) == (11, 1)


async def test_another_history_of_the_same_length_is_a_rollback(tmp_path: Path) -> None:
    one, two = site(tmp_path / "one"), site(tmp_path / "two")
    async with open_journal(one) as journal:
        await fill(journal, 10)
    async with open_journal(two) as journal:
        await journal.append(journal.tail, following(journal.tail, [record(n) for n in range(10)]))
    shutil.copy(two.path, one.path)
    assert (await refusal(one)).code == Code.JOURNAL_ROLLBACK


async def test_a_lost_or_spoilt_mark_is_a_rollback_and_a_torn_one_is_not(tmp_path: Path) -> None:
    settings = site(tmp_path)
    async with open_journal(settings) as journal:
        await fill(journal, 10, 10, 10)
    whole = settings.high_water.read_bytes()
    for torn in (b"\0" * 512 + whole[512:], whole[:512] + b"\xff" * 512, whole[:700]):
        settings.high_water.write_bytes(torn)
        async with open_journal(settings) as journal:
            assert journal.tail.seq == 30
    settings.high_water.write_bytes(b"\xff" * 1024)
    assert (await refusal(settings)).code == Code.JOURNAL_ROLLBACK
    settings.high_water.unlink()
    assert (await refusal(settings)).code == Code.JOURNAL_ROLLBACK


def test_the_mark_keeps_the_one_before_until_the_new_one_is_whole(tmp_path: Path) -> None:
    marks = [Tail(commit=n, seq=n, epoch=0, root=reference_root(n)) for n in range(6)]
    high_water = HighWater(tmp_path / "marks" / "journal")
    assert high_water.read() is None
    high_water.reset(marks[0])
    for before, mark in pairwise(marks):
        high_water.write(mark)
        whole = (tmp_path / "marks" / "journal").read_bytes()
        other = tmp_path / "torn"
        seen = set()
        for torn in (b"\0" * 512 + whole[512:], whole[:512] + b"\0" * 512):
            other.write_bytes(torn)
            copy = HighWater(other)
            seen.add(copy.read())
            copy.close()
        assert seen == {before, mark}
    high_water.close()


async def test_a_vanished_database_is_a_rollback(tmp_path: Path) -> None:
    settings = site(tmp_path)
    async with open_journal(settings) as journal:
        await fill(journal, 10)
    settings.path.unlink()
    assert (await refusal(settings)).code == Code.JOURNAL_ROLLBACK


async def test_a_log_cut_anywhere_is_a_whole_prefix_and_never_silent(tmp_path: Path) -> None:
    settings, dice = site(tmp_path / "live"), random.Random(7)
    copy = site(tmp_path / "copy")
    log = copy.path.with_name("journal.db-wal")
    copy.path.parent.mkdir()
    async with open_journal(settings) as journal:
        await fill(journal, *(sized(n) for n in range(1, 121)))
        whole = settings.path.with_name("journal.db-wal").read_bytes()
        database = settings.path.read_bytes()
    lengths = set()
    for _ in range(25):
        shutil.rmtree(copy.path.parent)
        shutil.copytree(settings.high_water.parent, copy.high_water.parent)
        copy.path.write_bytes(database)
        cut = dice.randrange(len(whole) // 4, len(whole) - 1)
        flip = dice.random() < 0.5
        damaged = bytearray(whole if flip else whole[:cut])
        if flip:
            damaged[cut] ^= 1 << dice.randrange(8)
        log.write_bytes(damaged)
        assert (await refusal(copy)).code == Code.JOURNAL_ROLLBACK
        assert log.read_bytes() == bytes(damaged), "what may be rescued is left alone"
        async with open_journal(msgspec.structs.replace(copy, accept_rollback=True)) as journal:
            await assert_known_prefix(journal)
            lengths.add(journal.tail.commit)
    assert len(lengths) > 5


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("PRAGMA user_version = 2", Code.JOURNAL_NEWER),
        ("PRAGMA application_id = 7", Code.JOURNAL_DAMAGED),
        ("UPDATE meta SET v = x'00' WHERE k = 'site'", Code.SITE_BINDING),
    ],
)
async def test_what_is_not_ours_is_refused(tmp_path: Path, statement: str, code: Code) -> None:
    settings = site(tmp_path)
    async with open_journal(settings) as journal:
        await fill(journal, 1)
    change(settings, statement)
    assert (await refusal(settings)).code == code


async def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    settings = site(tmp_path)
    settings.path.write_bytes(b"not a database" * 1000)
    assert (await refusal(settings)).code == Code.JOURNAL_DAMAGED
    async with open_journal(site(tmp_path / "other")) as journal:
        await fill(journal, 500)
    data = bytearray((tmp_path / "other" / "journal.db").read_bytes())
    data[4096 * 3 : 4096 * 12] = random.Random(1).randbytes(4096 * 9)
    (tmp_path / "other" / "journal.db").write_bytes(data)
    assert (await refusal(site(tmp_path / "other"))).code == Code.JOURNAL_DAMAGED


async def test_records_cannot_be_changed_by_accident(tmp_path: Path) -> None:
    settings = site(tmp_path)
    async with open_journal(settings) as journal:
        await fill(journal, 3)
    connection = sqlite3.connect(settings.path)
    for statement in ("UPDATE journal SET kind = ''", "DELETE FROM journal"):
        with pytest.raises(sqlite3.IntegrityError, match="append only"):
            connection.execute(statement)
    connection.close()
