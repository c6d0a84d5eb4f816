"""Ids that name their owner: they open for replicas alone, for what they were made for, and unaltered."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from common.replica_seal import ReplicaSeal

SECRET = b"0123456789abcdef0123456789abcdef"
SEAL = ReplicaSeal(SECRET)
TEXT = st.text(st.characters(exclude_categories=()), max_size=200)
OWNER = st.from_regex(r"[0-9a-z.:\[\]-]{1,40}", fullmatch=True)


@given(OWNER, TEXT)
def test_a_sibling_opens_it_and_learns_the_owner(owner: str, inner: str) -> None:
    sealed = SEAL.close(owner, inner, "session")
    assert ReplicaSeal(SECRET).open(sealed, "session") == (owner, inner)
    # MCP 2025-11-25, Session Management: visible ASCII.
    assert sealed.isascii()
    assert all(0x21 <= ord(letter) <= 0x7E for letter in sealed)


@given(OWNER, TEXT)
def test_no_two_are_alike(owner: str, inner: str) -> None:
    assert SEAL.close(owner, inner, "session") != SEAL.close(owner, inner, "session")


@given(OWNER, TEXT, st.data())
def test_altered_in_any_bit_it_opens_nothing(owner: str, inner: str, data: st.DataObject) -> None:
    raw = bytearray(base64.urlsafe_b64decode(SEAL.close(owner, inner, "session") + "=="))
    place = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[place // 8] ^= 1 << place % 8
    assert SEAL.open(base64.urlsafe_b64encode(raw).decode(), "session") is None


@given(st.text(max_size=300))
def test_what_no_replica_made_opens_nothing(text: str) -> None:
    assert SEAL.open(text, "session") is None
    assert SEAL.open("", "session") is None


def test_one_of_another_service_or_for_another_purpose_opens_nothing() -> None:
    sealed = SEAL.close("10.0.0.1:3000", "inner", "session")
    assert ReplicaSeal(SECRET[::-1]).open(sealed, "session") is None
    assert SEAL.open(sealed, "state") is None


@given(st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_a_proof_is_over_each_part_in_its_place(one: list[bytes], other: list[bytes]) -> None:
    assert (SEAL.proof(*one) == SEAL.proof(*other)) == (one == other)
