from apps.kit.backoff import Backoff


def test_waits_grow_to_the_longest_and_start_again_after_a_success() -> None:
    backoff = Backoff(0.1, 0.5, jitter=0.0)
    assert [backoff.next_seconds() for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    backoff.reset()
    assert backoff.next_seconds() == 0.1


def test_jitter_only_shortens_a_wait() -> None:
    waits = [Backoff(1.0, 1.0, jitter=0.2).next_seconds() for _ in range(200)]
    assert 0.8 <= min(waits) < 0.85
    assert 0.95 < max(waits) <= 1.0


def test_factor_says_how_fast_waits_grow() -> None:
    backoff = Backoff(1.0, 10.0, factor=1.5, jitter=0.0)
    assert [backoff.next_seconds() for _ in range(3)] == [1.0, 1.5, 2.25]
