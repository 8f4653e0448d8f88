"""Asks a server by asyncpg, which speaks the binary forms alone: asyncpg_client.py DSN FLOWS"""

import asyncio
import datetime
import decimal
import sys

import asyncpg


async def main(dsn, flows):
    c = await asyncpg.connect(dsn)
    assert await c.fetchval("SELECT count(*) FROM flows") == flows
    assert await c.fetchval("SELECT count(*) FROM flows WHERE dst_port < $1 AND src_ip <> $2", 65535, "x") == flows
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    assert await c.fetchval("SELECT count(*) FROM flows WHERE time > $1", start) == flows
    assert await c.fetchval("SELECT count(*) FROM flows WHERE decision = ANY($1)", ["allow", "deny"]) == flows
    assert await c.fetchval("SELECT [src_ip, dst_ip] FROM flows LIMIT 1")
    row = (5, 1.5, True, None, decimal.Decimal("12.5"), start, datetime.date(2026, 5, 4), b"\x00\xff")
    query = "SELECT $1::int8, $2::float8, $3::bool, $4::text, $5::numeric(5,1), $6::timestamptz, $7::date, $8::bytea"
    assert tuple(await c.fetchrow(query, *row)) == row
    async with c.transaction():
        count = 0
        async for _ in c.cursor("SELECT time FROM flows", prefetch=100):
            count += 1
        assert count == flows
    for query, kind in [
        ("SELECT * FROM nowhere", asyncpg.UndefinedTableError),
        ("INSERT INTO flows VALUES (1)", asyncpg.ReadOnlySQLTransactionError),
    ]:
        try:
            await c.fetch(query)
            raise AssertionError(query)
        except kind:
            pass
    try:
        await c.fetch("SELECT count(*) FROM flows a, flows b, flows c WHERE a.src_port + b.src_port < c.src_port", timeout=0.5)
        raise AssertionError("a query without end ends")
    except asyncio.TimeoutError:
        pass
    assert await c.fetchval("SELECT 1") == 1
    await c.reset()
    await c.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
