"""The memory's bounds, on a clock of the test's own."""

import pytest
from mcp_echo_streamablehttp_server_stateful.memory import Memory, Owner


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_an_entry_lives_while_it_is_used(clock: Clock) -> None:
    memory = Memory(10, 5, clock)
    owner = Owner("user", "alice")
    memory.recall(owner).last_echo = "kept"
    for _ in range(3):
        clock.now += 9
        assert memory.recall(owner).last_echo == "kept"
    clock.now += 10
    assert memory.recall(owner).last_echo is None
    assert len(memory) == 1


def test_idle_entries_go_when_another_is_used(clock: Clock) -> None:
    memory = Memory(10, 5, clock)
    for number in range(3):
        memory.recall(Owner("user", str(number)))
    clock.now = 11
    memory.recall(Owner("user", "new"))
    assert len(memory) == 1


def test_the_longest_unused_entry_makes_room(clock: Clock) -> None:
    memory = Memory(10, 2, clock)
    first, second, third = (Owner("user", name) for name in "abc")
    memory.recall(first).last_echo = "a"
    memory.recall(second).last_echo = "b"
    memory.recall(first)
    memory.recall(third)
    assert len(memory) == 2
    assert memory.recall(first).last_echo == "a"
    assert memory.recall(second).last_echo is None


def test_a_user_and_a_session_of_the_same_name_are_apart(clock: Clock) -> None:
    memory = Memory(10, 5, clock)
    memory.recall(Owner("user", "x")).last_echo = "user's"
    assert memory.recall(Owner("session", "x")).last_echo is None
