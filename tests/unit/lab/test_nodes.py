"""How a lab's nodes are named, and when a program is started again."""

from __future__ import annotations

import pytest
from holdfast_lab.logic import nodes, restart
from holdfast_protocol.errors import Code, HoldfastError
from hypothesis import given
from hypothesis import strategies as st


def test_the_default_is_two_jurisdictions() -> None:
    found = nodes.parse(nodes.DEFAULT)
    assert [(one.node, one.jurisdiction, one.zone, one.devices) for one in found] == [
        ("de-1", "DE", "de", "sim2x24"),
        ("de-2", "DE", "de", "cpu"),
        ("fr-1", "FR", "fr", "sim1x24"),
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", Code.BAD_REQUEST),
        ("de-1", Code.BAD_REQUEST),
        ("de-1=DE", Code.BAD_REQUEST),
        ("de-1=DE:gpu", Code.BAD_REQUEST),
        ("de-1=DE:sim0x24", Code.BAD_REQUEST),
        ("de-1=de:cpu", Code.BAD_NAME),
        ("DE.1=DE:cpu", Code.BAD_NAME),
        ("a=DE:cpu,a=FR:cpu", Code.BAD_REQUEST),
        (",".join(f"n{i}=DE:cpu" for i in range(17)), Code.BAD_REQUEST),
    ],
)
def test_bad_names_are_refused(text: str, code: Code) -> None:
    with pytest.raises(HoldfastError) as caught:
        nodes.parse(text)
    assert caught.value.code is code


def test_several_sources_join() -> None:
    assert nodes.parse("a=DE:nvml+cpu")[0].devices == "nvml+cpu"


@given(st.text(max_size=60))
def test_any_text_is_nodes_or_a_refusal(text: str) -> None:
    try:
        found = nodes.parse(text)
    except HoldfastError as error:
        refused: Code | None = error.code
    else:
        refused = None
        assert len({one.node for one in found}) == len(found)
    assert refused in (None, Code.BAD_REQUEST, Code.BAD_NAME)


def test_pauses_grow_to_a_bound_and_a_steady_run_forgives() -> None:
    pauses = [restart.pause_s(count) for count in range(1, 12)]
    assert pauses == sorted(pauses)
    assert pauses[0] == restart.PAUSE_FIRST_S
    assert pauses[-1] == restart.PAUSE_MAX_S
    assert restart.failures_after(7, restart.STEADY_S) == 1
    assert restart.failures_after(7, restart.STEADY_S - 0.1) == 8


def test_an_ending_is_said_in_words() -> None:
    assert restart.ending(-9) == "was killed by signal 9"
    assert restart.ending(5) == "ended with exit code 5"
