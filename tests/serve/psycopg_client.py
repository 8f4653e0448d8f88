"""Asks a server by psycopg 3: psycopg_client.py DSN FLOWS DENIED

FLOWS and DENIED are the counts of flows that the answers must have.
"""

import datetime
import sys
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import errors

UTC = datetime.timezone.utc
DAY = datetime.datetime(2026, 5, 4, tzinfo=UTC)


def one(connection, query, values=()):
    return connection.execute(query, values).fetchone()


def values(c, flows, denied):
    assert one(c, "SELECT count(*) FROM flows") == (flows,)
    assert one(c, "SELECT count(*) FROM flows WHERE decision = %s AND dst_port >= %s", ("deny", 0)) == (denied,)
    assert one(c, "SELECT count(*) FROM flows WHERE time > %s", (DAY - datetime.timedelta(days=9),)) == (flows,)
    assert one(c, "SELECT count(*) FROM flows WHERE dst_port < %s", (70_000,)) == (flows,)
    assert one(c, "SELECT count(*) FROM flows WHERE decision = ANY(%s)", (["deny", "allow"],)) == (flows,)
    assert one(c, "SELECT count(*) FROM (SELECT * FROM flows LIMIT %s)", (3,)) == (3,)
    row = (7, "täxt", True, 1.5, None, datetime.date(2026, 5, 4), DAY)
    query = "SELECT %s::int8, %s::text, %s::bool, %s::float8, %s::text, %s::date, %s::timestamptz"
    for binary in (False, True):
        with c.cursor(binary=binary) as cursor:
            assert cursor.execute(query, row).fetchone() == row, binary
            kinds = cursor.execute("SELECT time, src_ip, dst_port, bytes_sent, [src_ip] FROM flows LIMIT 1").fetchone()
            assert [type(value) for value in kinds[:3]] == [datetime.datetime, str, int], kinds
            assert kinds[0].tzinfo is not None and kinds[4] == [kinds[1]], kinds
    for number in range(8):
        assert c.execute("SELECT %s::int4 + 1", (number,), prepare=True).fetchone() == (number + 1,)


def rows(c, flows):
    with c.cursor() as cursor:
        assert sum(1 for _ in cursor.stream("SELECT * FROM flows")) == flows
    with c.cursor() as cursor:
        assert sum(1 for _ in cursor.stream("SELECT * FROM flows LIMIT 5", binary=True)) == 5


def mistakes(c):
    for query, kind, place, hint in [
        ("SELECT dst_prt FROM flows", errors.UndefinedColumn, "8", "did you mean dst_port?"),
        ("SELECT 1,\n  x FROM flow", errors.UndefinedTable, "20", "did you mean flows?"),
        ("SELECT 1 FROM", errors.SyntaxError, None, None),
        ("SELECT nothing(1)", errors.UndefinedFunction, "8", None),
        ("SELECT time, count(*) FROM flows", errors.GroupingError, "8", None),
        ("SELECT 1 / (src_port * 0) FROM flows", errors.DivisionByZero, None, None),
        ("DELETE FROM flows", errors.ReadOnlySqlTransaction, None, None),
        ("COPY flows TO STDOUT", errors.ReadOnlySqlTransaction, None, None),
        ("SELECT $1", errors.UndefinedParameter, None, None),
    ]:
        try:
            c.execute(query)
        except kind as error:
            assert place is None or error.diag.statement_position == place, (query, error.diag.statement_position)
            assert hint is None or error.diag.message_hint == hint, (query, error.diag.message_hint)
        else:
            raise AssertionError(f"{query} works")
        c.rollback()


def transactions(dsn):
    with psycopg.connect(dsn) as c:
        one(c, "SELECT 1")
        try:
            one(c, "SELECT nope")
        except errors.UndefinedColumn:
            pass
        try:
            one(c, "SELECT 1")
            raise AssertionError("a failed transaction goes on")
        except errors.InFailedSqlTransaction:
            c.rollback()
        assert one(c, "SELECT 1") == (1,)
        c.execute("SET LOCAL timezone TO 'Asia/Tokyo'")
        assert one(c, "SHOW timezone") == ("Asia/Tokyo",)
        c.commit()
        assert one(c, "SHOW timezone") == ("UTC",)


def settings(dsn):
    with psycopg.connect(dsn, autocommit=True) as a, psycopg.connect(dsn, autocommit=True) as b:
        a.execute("SET timezone TO 'Europe/Berlin'")
        query = "SELECT count(*), min(time) FROM flows"
        assert one(b, "SHOW timezone") == ("UTC",)
        assert one(a, query)[1] == one(b, query)[1]
        assert one(a, query)[1].utcoffset() == datetime.timedelta(hours=2)
        for name in ("datafusion.execution.batch_size", "datafusion.runtime.memory_limit"):
            try:
                a.execute(f"SET {name} = 1")
                raise AssertionError(name)
            except errors.UndefinedObject:
                pass


def many(dsn, flows):
    def ask(number):
        with psycopg.connect(dsn, autocommit=True) as c:
            return sum(one(c, "SELECT count(*) FROM flows WHERE src_port %% 5 = %s", (n,))[0] for n in range(5))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(16))) == {flows}


def main(dsn, flows, denied):
    flows, denied = int(flows), int(denied)
    with psycopg.connect(dsn) as c:
        values(c, flows, denied)
        rows(c, flows)
        mistakes(c)
    transactions(dsn)
    settings(dsn)
    many(dsn, flows)


if __name__ == "__main__":
    main(*sys.argv[1:])
