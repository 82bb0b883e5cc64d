"""How often one address may try."""

from channels.console.limits import KEPT, Limit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_address_may_try_so_often_and_then_waits_while_others_do_not() -> None:
    clock = Clock()
    limit = Limit(tries=3, per_minute=6, clock=clock)
    assert [limit.wait("a") for _ in range(4)] == [0, 0, 0, 10] and limit.spent("a") and not limit.spent("b") and limit.wait("b") == 0
    clock.now = 10
    assert not limit.spent("a") and limit.wait("a") == 0 and limit.wait("a") == 10
    clock.now = 1000
    assert [limit.wait("a") for _ in range(4)] == [0, 0, 0, 10]


def test_what_others_counted_lets_the_next_try_wait_as_long() -> None:
    clock = Clock()
    limit = Limit(tries=3, per_minute=6, clock=clock)
    limit.spend("a", 30)
    clock.now = 29
    assert limit.spent("a") and not limit.spent("b")
    clock.now = 30
    assert not limit.spent("a") and limit.wait("a") == 0 and limit.spent("a")


def test_a_crowd_of_addresses_is_forgotten_from_the_oldest_on() -> None:
    limit = Limit(tries=1, per_minute=1, clock=Clock())
    for nth in range(KEPT + 5):
        limit.wait(str(nth))
    assert limit.wait("0") == 0 and limit.wait(str(KEPT)) > 0
