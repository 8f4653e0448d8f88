//! Writes all findings as CSV, one row each.

use std::io::{self, Write};

use super::grid::Grid;
use super::sink::Formulas;
use super::{Document, Report};
use crate::findings::Finding;
use crate::time::Timestamp;

pub struct CsvReport {
    pub formulas: Formulas,
}

impl Report for CsvReport {
    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = vec![
            "rank",
            "id",
            "kind",
            "severity",
            "score",
            "impact",
            "confidence",
            "verdict",
            "state",
            "requirement",
            "candidates",
            "direction",
            "vantage",
            "subnet",
            "protocol",
            "ports",
            "acl",
            "rule",
            "rule_origin",
            "denied_tuples",
            "denied_tuples_24h",
            "allowed_24h",
            "first_denied",
            "last_denied",
            "last_allowed_before",
            "first_allowed_after",
            "remote_addresses",
            "explanation",
            "fix",
        ];
        let findings = &document.analysis.findings;
        let mut rows: Vec<Vec<String>> = findings.iter().map(row).collect();
        // Without any name the columns stay as they always were.
        if findings.iter().any(|f| f.addresses.remote_addresses.iter().any(|address| address.name.is_some())) {
            columns.push("remote_names");
            rows.iter_mut().zip(findings).for_each(|(row, finding)| row.push(remote_names(finding)));
        }
        if let Some(changes) = document.changes {
            columns.push("transition");
            let of = |finding: &Finding| {
                let change = changes.list.iter().find(|change| change.finding.id == finding.identity.id);
                change.map(|change| change.transition.to_string()).unwrap_or_default()
            };
            rows.iter_mut().zip(findings).for_each(|(row, finding)| row.push(of(finding)));
        }
        Grid { columns, rows }.write_csv(self.formulas, out)
    }
}

fn row(f: &Finding) -> Vec<String> {
    let time = |time: Option<Timestamp>| time.map(|t| t.to_string()).unwrap_or_default();
    let ports: Vec<String> = f.subject.ports.iter().map(ToString::to_string).collect();
    let remote: Vec<&str> = f.addresses.remote_addresses.iter().map(|a| a.ip.as_str()).collect();
    vec![
        f.rank.to_string(),
        f.identity.id.clone(),
        f.identity.kind.to_string(),
        f.grade.severity.to_string(),
        f.grade.score.to_string(),
        f.grade.impact.to_string(),
        f.grade.confidence.to_string(),
        f.grade.verdict.to_string(),
        f.grade.state.to_string(),
        f.subject.requirement.clone().unwrap_or_default(),
        f.subject.candidates.join(";"),
        f.subject.direction.to_string(),
        f.subject.vantage.to_string(),
        f.subject.subnet.clone(),
        f.subject.protocol.clone(),
        ports.join(";"),
        f.blame.acl.clone().unwrap_or_default(),
        f.blame.rule.clone().unwrap_or_default(),
        f.blame.rule_origin.to_string(),
        f.denials.denied_tuples.to_string(),
        f.denials.denied_tuples_24h.to_string(),
        f.denials.allowed_24h.to_string(),
        time(f.times.first_denied),
        time(f.times.last_denied),
        time(f.times.last_allowed_before),
        time(f.times.first_allowed_after),
        remote.join(";"),
        f.explanation.clone(),
        super::sentences::fix_in_words(&f.fix),
    ]
}

/// Returns the names of the remote addresses in their order. An address without a name has an empty one.
fn remote_names(f: &Finding) -> String {
    let name = |name: &Option<String>| name.as_deref().unwrap_or_default().replace(';', ",");
    f.addresses.remote_addresses.iter().map(|address| name(&address.name)).collect::<Vec<_>>().join(";")
}
