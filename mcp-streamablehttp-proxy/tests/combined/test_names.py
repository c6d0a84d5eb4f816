"""Every name that is shown leads back to what it is shown for, whatever prefixes and names there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mcp_streamablehttp_proxy.combined.names import Names

PREFIXES = st.lists(st.text("ab_", max_size=4), min_size=1, max_size=5, unique=True)
OWN = st.text("ab_", max_size=6)


@given(PREFIXES, st.lists(OWN, max_size=5, unique=True))
def test_a_shown_name_leads_back_and_none_is_shown_twice(prefixes: list[str], tools: list[str]) -> None:
    names = Names({f"s{number}": prefix for number, prefix in enumerate(prefixes)})
    everything = [(f"s{number}", own) for number in range(len(prefixes)) for own in tools]
    shown = {(server, own): names.shown(server, own) for server, own in everything}
    for (server, own), name in shown.items():
        assert name is None or names.owner(name) == (server, own)
    told = [name for name in shown.values() if name is not None]
    assert len(told) == len(set(told))


@given(PREFIXES, OWN)
def test_the_longest_prefix_hides_nothing_of_its_own(prefixes: list[str], own: str) -> None:
    longest = max(prefixes, key=len)
    names = Names({prefix: prefix for prefix in prefixes})
    if all(prefix == longest or not (longest + own).startswith(prefix) for prefix in prefixes):
        assert names.shown(longest, own) == longest + own
