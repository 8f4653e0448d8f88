//! The dashboard: each panel's SQL, with its macros expanded as Grafana does, and Grafana's own queries.

use serde_json::Value;

use super::Server;
use super::raw::Raw;
use crate::support::binary::root;

/// Expands the macros of Grafana's PostgreSQL source.
fn expanded(sql: &str) -> String {
    let mut text = sql.replace("$__interval", "1h");
    while let Some(at) = text.find("$__") {
        let open = at + text[at..].find('(').expect("arguments");
        let close = open + text[open..].find(')').expect("an end");
        let arguments: Vec<&str> = text[open + 1..close].split(',').map(str::trim).collect();
        let (from, to) = ("2026-05-04T00:00:00Z", "2026-05-06T00:00:00Z");
        let new = match &text[at..open] {
            "$__timeFilter" => format!("{} BETWEEN '{from}' AND '{to}'", arguments[0]),
            "$__timeFrom" => format!("'{from}'"),
            "$__timeTo" => format!("'{to}'"),
            "$__timeGroupAlias" => format!("floor(extract(epoch from {})/3600)*3600 AS \"time\"", arguments[0]),
            "$__timeGroup" => format!("floor(extract(epoch from {})/3600)*3600", arguments[0]),
            other => panic!("{other} is not known"),
        };
        text.replace_range(at..=close, &new);
    }
    text
}

#[test]
fn panels_have_rows() {
    let path = root().join("dashboards/grafana/flowgap.json");
    let dashboard: Value = serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON");
    let server = Server::over_archive(&["--subnet", "10.20.1.0/24"]);
    let mut client = Raw::connect(server.port);
    let mut ran = 0;
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let sql = expanded(target["rawSql"].as_str().expect("SQL"));
            let answer = client.query(&sql);
            assert!(answer.error.is_none(), "{}: {sql}: {answer:?}", panel["title"]);
            assert!(!answer.rows.is_empty(), "{}: {sql}", panel["title"]);
            ran += 1;
        }
    }
    assert!(ran >= 8, "{ran}");
}

#[test]
fn the_query_editor_finds_tables_and_columns() {
    let server = Server::over_archive(&[]);
    let mut client = Raw::connect(server.port);
    let path = "SELECT CASE WHEN trim(s[i]) = '\"$user\"' THEN user ELSE trim(s[i]) END
        FROM generate_series(
            array_lower(string_to_array(current_setting('search_path'),','),1),
            array_upper(string_to_array(current_setting('search_path'),','),1)
        ) as i, string_to_array(current_setting('search_path'),',') s";
    let tables = format!(
        "SELECT CASE WHEN quote_ident(table_schema) IN ({path}) THEN quote_ident(table_name)
            ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS \"table\"
        FROM information_schema.tables
        WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', '_timescaledb_cache')
        ORDER BY CASE WHEN quote_ident(table_schema) IN ({path}) THEN 0 ELSE 1 END, 1"
    );
    let answer = client.query(&tables);
    let names: Vec<&str> = answer.rows.iter().filter_map(|row| row[0].as_deref()).collect();
    assert!(names.iter().any(|name| name.ends_with("flows")), "{answer:?}");
    let columns = "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\" FROM information_schema.columns
        WHERE CASE WHEN array_length(parse_ident('public.flows'),1) = 2
            THEN quote_ident(table_schema) = (parse_ident('public.flows'))[1]
                AND quote_ident(table_name) = (parse_ident('public.flows'))[2]
            ELSE quote_ident(table_name) = 'public.flows' END";
    let answer = client.query(columns);
    assert!(answer.rows.iter().any(|row| row[0].as_deref() == Some("dst_port")), "{answer:?}");
    assert_eq!(client.query("SELECT current_setting('server_version_num')::int/100 AS version").one(), "1600");
    assert_eq!(client.query("SELECT 1").one(), "1");
}
