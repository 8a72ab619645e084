"""What a lab asks of the machine before it starts."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
from holdfast_lab import ground, site_file
from holdfast_lab.logic.nodes import DEFAULT, parse
from holdfast_protocol.errors import Code, HoldfastError


def test_a_runtime_folder_is_made_for_its_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "hf-1"
    ground.private_folder(folder)
    ground.private_folder(folder)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_a_runtime_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "hf-1"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(HoldfastError) as caught:
        ground.private_folder(folder)
    assert caught.value.code == Code.CONFIG_INVALID


def test_a_link_that_somebody_left_is_no_runtime_folder(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    (tmp_path / "hf-1").symlink_to(tmp_path / "theirs")
    with pytest.raises(HoldfastError) as caught:
        ground.private_folder(tmp_path / "hf-1")
    assert caught.value.code == Code.CONFIG_INVALID


def test_a_runtime_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hf-1"
    folder.mkdir(mode=0o700)
    somebody = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    with pytest.raises(HoldfastError):
        ground.private_folder(folder)


@pytest.mark.parametrize("which", ["client", "leaf", "range"])
def test_a_port_that_another_program_took_is_named(which: str) -> None:
    site = site_file.plan("s", parse(DEFAULT), ())
    ground.check_ports(site)
    first = site.brokers[site.zone]
    port = {"client": first.client, "leaf": first.leaf, "range": site.range_port}[which]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(HoldfastError) as caught:
            ground.check_ports(site)
    assert caught.value.code == Code.CONFIG_INVALID
    assert f"Port {port} " in caught.value.message
