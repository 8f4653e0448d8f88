"""Sends the queries of DuckDB's postgres extension, which is not in its packages: duckdb_client.py DSN

ATTACH asks for schemas, columns, types and indexes in one message. A scan by text, as with SET pg_use_text_protocol = true,
selects the columns that it needs.
"""

import sys

import psycopg

SCHEMAS = "SELECT oid, nspname FROM pg_namespace ORDER BY oid"
COLUMNS = """
    SELECT pg_namespace.oid AS namespace_id, relname, relpages, attname, pg_type.typname type_name,
        atttypmod type_modifier, pg_attribute.attndims ndim, attnum, pg_attribute.attnotnull AS notnull,
        NULL constraint_id, NULL constraint_type, NULL constraint_key, type_ns.nspname AS type_schema,
        col_desc.description AS column_comment, tbl_desc.description AS table_comment
    FROM pg_class
    JOIN pg_namespace ON relnamespace = pg_namespace.oid
    JOIN pg_attribute ON pg_class.oid=pg_attribute.attrelid
    JOIN pg_type ON atttypid=pg_type.oid
    JOIN pg_namespace type_ns ON pg_type.typnamespace = type_ns.oid
    LEFT JOIN pg_description col_desc
        ON col_desc.objoid=pg_class.oid AND col_desc.objsubid=pg_attribute.attnum
    LEFT JOIN pg_description tbl_desc ON tbl_desc.objoid=pg_class.oid AND tbl_desc.objsubid=0
    WHERE attnum > 0 AND relkind IN ('r', 'v', 'm', 'f', 'p')
    UNION ALL
    SELECT pg_namespace.oid AS namespace_id, relname, NULL relpages, NULL attname, NULL type_name,
        NULL type_modifier, NULL ndim, NULL attnum, NULL AS notnull, pg_constraint.oid AS constraint_id,
        contype AS constraint_type, conkey AS constraint_key, NULL AS type_schema, NULL AS column_comment,
        NULL AS table_comment
    FROM pg_class
    JOIN pg_namespace ON relnamespace = pg_namespace.oid
    JOIN pg_constraint ON (pg_class.oid=pg_constraint.conrelid)
    WHERE relkind IN ('r', 'v', 'm', 'f', 'p') AND contype IN ('p', 'u')
    ORDER BY namespace_id, relname, attnum, constraint_id"""
ENUMS = """
    SELECT n.oid, enumtypid, typname, enumlabel
    FROM pg_enum e JOIN pg_type t ON e.enumtypid = t.oid JOIN pg_namespace AS n ON (typnamespace=n.oid)
    ORDER BY n.oid, enumtypid, enumsortorder"""
COMPOSITES = """
    SELECT n.oid, t.typrelid AS id, t.typname as type, pg_attribute.attname, sub_type.typname,
        sub_type_ns.nspname AS sub_type_schema
    FROM pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    JOIN pg_class ON pg_class.oid = t.typrelid
    JOIN pg_attribute ON attrelid=t.typrelid
    JOIN pg_type sub_type ON (pg_attribute.atttypid=sub_type.oid)
    JOIN pg_catalog.pg_namespace sub_type_ns ON sub_type_ns.oid = sub_type.typnamespace
    WHERE pg_class.relkind IN ('c', 'r', 'v', 'm', 'f', 'p') AND t.typtype='c' AND pg_attribute.attnum > 0
        AND NOT pg_attribute.attisdropped
    ORDER BY n.oid, t.oid, attrelid, attnum"""
INDEXES = """
    SELECT pg_namespace.oid, tablename, indexname
    FROM pg_indexes JOIN pg_namespace ON (schemaname=nspname)
    ORDER BY pg_namespace.oid"""
VERSIONS = """
    SELECT pg_class.oid, relname, pg_class.xmin
    FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid
    WHERE relkind IN ('r', 'v', 'm', 'f', 'p') AND pg_namespace.nspname = 'public'
    ORDER BY pg_class.oid"""


def main(dsn):
    with psycopg.connect(dsn, autocommit=True) as c:
        one = lambda query: c.execute(query).fetchone()
        version, aurora = one("SELECT version(), (SELECT COUNT(*) FROM pg_settings WHERE name LIKE 'rds%')")
        assert version.startswith("PostgreSQL 16.") and aurora == 0
        c.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor = c.execute(";".join([SCHEMAS, COLUMNS, ENUMS, COMPOSITES, INDEXES, ""]))
        results = [cursor.fetchall()]
        while cursor.nextset():
            results.append(cursor.fetchall())
        schemas, columns, *others = results
        public = dict((name, oid) for oid, name in schemas)["public"]
        of_flows = {row[3]: row[4] for row in columns if row[:2] == (public, "flows")}
        assert (of_flows["dst_port"], of_flows["time"], of_flows["src_ip"]) == ("int4", "timestamptz", "text"), of_flows
        assert others == [[], [], []], others
        assert "flows" in [row[1] for row in c.execute(VERSIONS)]
        assert one("SELECT pg_database_size(current_database());") == (0,)
        c.execute("SET statement_timeout=30000")
        assert one('SELECT "dst_port", "time" FROM "public"."flows" WHERE ("dst_port" = 443);')[0] == 443
        c.execute("COMMIT")


if __name__ == "__main__":
    main(*sys.argv[1:])
