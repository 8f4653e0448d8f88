//! Writes a check as SARIF 2.1.0 by the rules of GitHub's code scanning. A result names the file that holds the rules, if
//! its path is relative.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::findings::check::{Check, CheckRow};
use crate::report::sarif::{FILE, Run, described, ended, level, location, message};

pub fn write(check: &Check, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &log(check))?;
    out.write_all(b"\n")
}

fn log(check: &Check) -> Value {
    let rows: Vec<&CheckRow> = check.rows.iter().filter(|row| row.severity.is_some()).collect();
    let mut worst: BTreeMap<String, &CheckRow> = BTreeMap::new();
    for row in &rows {
        let known = worst.entry(rule_id(row)).or_insert(row);
        if row.severity > known.severity {
            *known = row;
        }
    }
    let places: BTreeMap<&str, usize> = worst.keys().enumerate().map(|(place, id)| (id.as_str(), place)).collect();
    let results: Vec<Value> = rows.iter().map(|row| result(check, row, places.get(rule_id(row).as_str()))).collect();
    let status = &check.status;
    let notices = check.notices.iter().map(|notice| (notice.code, notice.message.clone()));
    Run {
        flowgap_version: &check.flowgap_version,
        id: format!("flowgap/check/{}", check.scope.edition),
        rules: worst.iter().map(|(id, row)| rule(id, row)).collect(),
        invocation: ended(status.exit, status.word, &status.reasons, None, notices),
        results,
    }
    .log()
}

fn rule_id(row: &CheckRow) -> String {
    format!("{}.configuration", row.requirement)
}

fn rule(id: &str, row: &CheckRow) -> Value {
    let what = format!("Rules refuse flows that API Management needs ({}: {}).", row.requirement, row.purpose);
    described(id, &what, row.effect.as_deref(), row.severity)
}

fn result(check: &Check, row: &CheckRow, place: Option<&usize>) -> Value {
    let fix = row.fix.as_ref().map(|fix| format!("\nFix: {}", fix.note)).unwrap_or_default();
    let by = row.denied_by.first();
    let group = by.and_then(|by| check.groups.iter().find(|group| group.name == by.group && group.layer == by.layer));
    let is_usable = |file: &&str| Path::new(file).is_relative() && !file.starts_with("..") && !file.contains("://");
    let file = group.map(|group| group.file.as_str()).filter(is_usable).map(|file| file.replace('\\', "/"));
    let rule = by.and_then(|by| Some(format!("{}/securityRules/{}", group?.id.as_deref()?, by.rule)));
    json!({
        "ruleId": rule_id(row),
        "ruleIndex": place,
        "level": row.severity.map_or("note", level),
        "message": { "text": message(&format!("{}: {}{fix}", row.requirement, row.explanation)) },
        "locations": [location(file.as_deref().unwrap_or(FILE), rule)],
        "partialFingerprints": { "primaryLocationLineHash": format!("{}:1", row.fingerprint) },
        "fingerprints": { "flowgap/v1": row.fingerprint },
        "properties": { "id": row.id, "severity": row.severity, "verdict": row.verdict },
    })
}
