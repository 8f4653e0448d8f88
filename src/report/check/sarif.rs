//! Writes a check as SARIF 2.1.0 by the rules of GitHub's code scanning. A result names the file that holds the rules, if
//! its path is relative.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::findings::check::{Check, CheckRow};
use crate::report::sarif::{FILE, SCHEMA, description, filled, level, message};

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
    let notices = check.notices.iter().map(|notice| {
        json!({ "descriptor": { "id": notice.code }, "level": "note", "message": { "text": message(&notice.message) } })
    });
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "flowgap",
                "version": filled(&check.flowgap_version),
                "rules": worst.iter().map(|(id, row)| rule(id, row)).collect::<Vec<_>>(),
            } },
            "automationDetails": { "id": format!("flowgap/check/{}", check.scope.edition) },
            "invocations": [{
                "executionSuccessful": matches!(check.status.exit, 0 | 1),
                "exitCode": check.status.exit,
                "exitCodeDescription": message(&format!("{}. {}", check.status.word, check.status.reasons.join("; "))),
                "toolExecutionNotifications": notices.collect::<Vec<_>>(),
            }],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule_id(row: &CheckRow) -> String {
    format!("{}.configuration", row.requirement)
}

fn rule(id: &str, row: &CheckRow) -> Value {
    let what = format!("Rules refuse flows that API Management needs ({}: {}).", row.requirement, row.purpose);
    let effect = row.effect.as_ref().map(|effect| format!("\n{effect}")).unwrap_or_default();
    let level = row.severity.map_or("note", level);
    json!({
        "id": id,
        "shortDescription": { "text": description(&what) },
        "fullDescription": { "text": description(&format!("{what}{effect}")) },
        "help": { "text": message(&format!("{what}{effect}\nEach alert says which rule decides and what would open it.")) },
        "defaultConfiguration": { "level": level },
        "properties": { "problem.severity": if level == "note" { "recommendation" } else { level }, "tags": ["azure", "api-management", "network"] },
    })
}

fn result(check: &Check, row: &CheckRow, place: Option<&usize>) -> Value {
    let fix = row.fix.as_ref().map(|fix| format!("\nFix: {}", fix.note)).unwrap_or_default();
    let by = row.denied_by.first();
    let group = by.and_then(|by| check.groups.iter().find(|group| group.name == by.group && group.layer == by.layer));
    let is_usable = |file: &&str| Path::new(file).is_relative() && !file.starts_with("..");
    let file = group.map(|group| group.file.as_str()).filter(is_usable).map(|file| file.replace('\\', "/"));
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": file.as_deref().unwrap_or(FILE) },
            "region": { "startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2 },
        },
    });
    if let (Some(by), Some(id), Some(keys)) =
        (by, group.and_then(|group| group.id.as_deref()), location.as_object_mut())
    {
        let name = format!("{id}/securityRules/{}", by.rule);
        keys.insert("logicalLocations".to_owned(), json!([{ "fullyQualifiedName": name, "kind": "resource" }]));
    }
    json!({
        "ruleId": rule_id(row),
        "ruleIndex": place,
        "level": row.severity.map_or("note", level),
        "message": { "text": message(&format!("{}: {}{fix}", row.requirement, row.explanation)) },
        "locations": [location],
        "partialFingerprints": { "primaryLocationLineHash": format!("{}:1", row.fingerprint) },
        "fingerprints": { "flowgap/v1": row.fingerprint },
        "properties": { "id": row.id, "severity": row.severity, "verdict": row.verdict },
    })
}
