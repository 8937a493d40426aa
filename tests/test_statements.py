"""The watch over statements sees what it is there for, and nothing else."""

import pytest

from tests.statements import Statements

WRITE = "INSERT INTO a VALUES (1)"


class FakeConnection:
    def __init__(self, *, in_transaction: bool) -> None:
        self.in_transaction = in_transaction

    def is_in_transaction(self) -> bool:
        return self.in_transaction


@pytest.mark.parametrize(
    ("queries", "faults"),
    [
        (("SELECT 1 FOR UPDATE",), 1),
        (("SELECT 1 FOR NO KEY UPDATE SKIP LOCKED",), 1),
        (("SELECT 1 FROM a FOR SHARE OF a",), 1),
        (("SELECT pg_try_advisory_xact_lock(1)",), 1),
        (("SELECT pg_advisory_xact_lock(1)",), 1),
        ((WRITE, WRITE), 0),
        ((WRITE, "DELETE FROM a"), 1),
        ((WRITE, "SELECT 1"), 0),
        (("WITH b AS (SELECT 1 FROM a FOR UPDATE) UPDATE a SET b = 1",), 0),
        (("SELECT 1",), 0),
    ],
)
def test_locks_and_second_writes_are_faults_outside_a_transaction_alone(
    queries: tuple[str, ...], faults: int
) -> None:
    for in_transaction, expected in ((False, faults), (True, 0)):
        seen, connection = Statements(), FakeConnection(in_transaction=in_transaction)
        seen.begin(connection)
        for query in queries:
            seen.note(connection, query)
        seen.end(connection, "here")
        assert len(seen.take()) == expected
        assert seen.take() == []


def test_connections_that_a_test_opened_itself_are_not_watched() -> None:
    seen = Statements()
    seen.note(FakeConnection(in_transaction=False), "SELECT 1 FOR UPDATE")
    assert seen.take() == []
