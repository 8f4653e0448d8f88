"""Reflects the tables of a server by SQLAlchemy: sqlalchemy_client.py URL FLOWS"""

import sys

import sqlalchemy as sa


def main(url, flows):
    engine = sa.create_engine(url)
    inspector = sa.inspect(engine)
    assert inspector.get_schema_names() == ["public", "query"], inspector.get_schema_names()
    assert "flows" in inspector.get_table_names() and "findings" in inspector.get_view_names()
    columns = {column["name"]: column for column in inspector.get_columns("flows")}
    assert str(columns["dst_port"]["type"]) == "INTEGER" and not columns["dst_port"]["nullable"]
    assert columns["bytes_sent"]["nullable"]
    assert inspector.get_pk_constraint("flows")["constrained_columns"] == []
    assert inspector.get_indexes("flows") == inspector.get_foreign_keys("flows") == []
    whole = sa.MetaData()
    whole.reflect(engine, views=True)
    assert {"flows", "findings", "coverage"} <= set(whole.tables) and "top_talkers" not in whole.tables, whole.tables
    whole.reflect(engine, schema="query", views=True)
    talkers = sa.Table("top_talkers", sa.MetaData(), schema="query", autoload_with=engine)
    assert talkers.columns.keys() == whole.tables["query.top_talkers"].columns.keys()
    table = sa.Table("flows", sa.MetaData(), autoload_with=engine)
    assert len(table.columns) == len(columns)
    with engine.connect() as c:
        count = sa.select(sa.func.count()).select_from(table)
        assert c.execute(count).scalar() == flows
        assert c.execute(count.where(table.c.dst_port.in_([1, 2, 443]))).scalar() < flows
        assert c.execute(sa.select(talkers.c.ip)).first()
        assert len(c.execute(sa.select(table.c.time, table.c.src_ip).limit(4)).all()) == 4


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
