"""Reads a lake with other engines, and rewrites it as other programs do: lake.py read LAKE OUT OUT, or lake.py optimize LAKE."""

import sys

import duckdb
import polars
import pyarrow.parquet
from deltalake import DeltaTable

verb, lake = sys.argv[1:3]
table = DeltaTable(lake)
if verb == "optimize":
    print(table.optimize.compact())
elif verb == "checkpoint":
    table.create_checkpoint()
elif verb == "update":
    print(table.update(updates={"rule": "'another'"}))
elif verb == "append-only":
    table.alter.set_table_properties({"delta.appendOnly": "true"})
else:
    rows = polars.scan_delta(lake).collect()
    types = {name: str(rows.schema[name]) for name in ("time", "src_port", "bytes_sent", "blob", "flow_date")}
    assert types == {
        "time": "Datetime(time_unit='us', time_zone='UTC')",
        "src_port": "Int32",
        "bytes_sent": "Int64",
        "blob": "String",
        "flow_date": "Date",
    }, types
    assert (rows["time"].dt.date() == rows["flow_date"]).all()
    denied = polars.scan_delta(lake).filter(polars.col("decision") == "deny").select(polars.len()).collect().item()
    assert denied == (rows["decision"] == "deny").sum()
    pyarrow.parquet.write_table(rows.drop("flow_date").to_arrow(), sys.argv[3])
    # DuckDB's reader of Delta tables is an extension, which it would have to download.
    duckdb.execute("SET TimeZone = 'UTC'")
    found = duckdb.read_parquet(table.file_uris(), hive_partitioning=True)
    assert duckdb.sql("SELECT count(*) FROM found WHERE flow_date <> time::DATE").fetchall() == [(0,)]
    types = dict(zip(found.columns, map(str, found.types)))
    assert (types["time"], types["src_port"], types["flow_date"]) == ("TIMESTAMP WITH TIME ZONE", "INTEGER", "DATE"), types
    duckdb.sql("SELECT * EXCLUDE flow_date FROM found").write_parquet(sys.argv[4])
