//! Messages of the shell.

use std::fmt::Write;

use arrow::datatypes::Schema;

use super::command::COMMANDS;
use crate::engine::{Explorer, FUNCTIONS, Names, type_name};
use crate::queries::NamedQuery;

/// Returns the opened sources, and three queries to try.
pub fn greeting(explorer: &Explorer) -> String {
    let mut text = format!("flowgap {}: SQL over flow logs, read only.\n", env!("CARGO_PKG_VERSION"));
    for listed in explorer.archive().listed() {
        let _ = writeln!(text, "Opened {}: {} blobs", listed.shown, listed.taken);
    }
    text.push_str(
        "Try:\n  \
         SELECT rule, dst_port, count(*) AS denied FROM denied_flows GROUP BY ALL ORDER BY denied DESC LIMIT 10;\n  \
         SELECT severity, requirement, rule, verdict, first_denied FROM findings;\n  \
         .run denied_timeline\n\
         A query ends with a semicolon. Tab completes, .help shows more, Ctrl-D leaves.\n",
    );
    text
}

pub fn help() -> String {
    let mut text = String::new();
    for (usage, what) in COMMANDS {
        let _ = writeln!(text, "{usage:28}{what}");
    }
    text.push_str(
        "Anything else is a query: it ends with a semicolon and may span several lines. Ctrl-C cancels a running query.\n",
    );
    text
}

pub fn functions(names: &Names) -> String {
    let mut text = String::new();
    for function in FUNCTIONS {
        let _ = writeln!(text, "{:26}{}", function.call, function.gives);
    }
    let _ = writeln!(
        text,
        "and {} standard SQL functions: SHOW FUNCTIONS lists them",
        names.functions.len() - FUNCTIONS.len()
    );
    text
}

pub fn tables(names: &Names) -> String {
    let mut text = String::new();
    for (name, columns) in &names.tables {
        let mut line = format!("{name:18}");
        for (nr, column) in columns.iter().enumerate() {
            let comma = if nr + 1 < columns.len() { ", " } else { "" };
            if line.chars().count() + column.len() + 1 > 100 {
                let _ = writeln!(text, "{}", line.trim_end());
                line = " ".repeat(18);
            }
            line += column;
            line += comma;
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

pub fn schema(name: &str, schema: &Schema) -> String {
    let mut text = format!("{name}\n");
    for field in schema.fields() {
        let null = if field.is_nullable() { "" } else { ", never null" };
        let _ = writeln!(text, "  {:20}{}{null}", field.name(), type_name(field.data_type()));
    }
    text
}

/// Returns a named query's title and parameters.
pub fn query_help(query: &NamedQuery) -> String {
    let mut text = format!("{:24}{}\n", query.id, query.title);
    for param in &query.params {
        let default = match param.default.as_deref() {
            Some("null") => "optional".to_owned(),
            Some(default) => format!("default {default}"),
            None => "required".to_owned(),
        };
        let _ = writeln!(text, "{:26}{}: {}; {}, {default}", "", param.name, param.meaning, param.kind.name());
    }
    text
}
