//! Writes SARIF 2.1.0 by the rules of GitHub's code scanning. Knows nothing of any source file: each result names the
//! first line of one fixed file, because GitHub shows no result without a file.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::sentences::{fix_in_words, name, needed};
use super::sink::visible_lines;
use super::{Document, Report};
use crate::findings::history::{Changes, Transition};
use crate::findings::{Analysis, Finding, Kind, Severity, Word};
use crate::flow::RuleOrigin;

pub struct SarifReport {
    /// Whether suppressed findings are results, too.
    pub shows_suppressed: bool,
}

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// File that every result names.
pub(super) const FILE: &str = "flowgap.toml";
/// Maximum number of results that GitHub accepts in a run.
const MOST_RESULTS: usize = 25_000;
/// Maximum length of the descriptions of a rule, in characters.
const DESCRIPTION: usize = 1024;
/// Maximum length of a message or name, in characters, so that no file exceeds GitHub's 10 MB.
const MESSAGE: usize = 2000;

impl Report for SarifReport {
    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &log(document, self.shows_suppressed))?;
        out.write_all(b"\n")
    }
}

fn log(&Document { analysis, changes }: &Document, shows_suppressed: bool) -> Value {
    let mut findings = needed(analysis);
    // GitHub would show suppressed results as open alerts.
    findings.retain(|finding| shows_suppressed || finding.suppressed.is_none());
    findings.truncate(MOST_RESULTS);
    let rules = rules(&findings);
    let places: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(place, id)| (id.as_str(), place)).collect();
    let results: Vec<Value> = findings.iter().map(|finding| result(finding, changes, &places)).collect();
    Run {
        flowgap_version: &analysis.flowgap_version,
        id: run_id(analysis),
        rules: rules.iter().map(|(id, worst)| rule(id, worst)).collect(),
        invocation: invocation(analysis),
        results,
    }
    .log()
}

/// A run of the program, as SARIF has it.
pub(super) struct Run<'a> {
    pub flowgap_version: &'a str,
    /// Id of the run. GitHub compares runs that agree up to the last slash.
    pub id: String,
    pub rules: Vec<Value>,
    pub invocation: Value,
    pub results: Vec<Value>,
}

impl Run<'_> {
    /// Returns the log that holds the run alone.
    pub fn log(self) -> Value {
        json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "flowgap",
                    "version": filled(self.flowgap_version),
                    "rules": self.rules,
                } },
                "automationDetails": { "id": self.id },
                "invocations": [self.invocation],
                "columnKind": "unicodeCodePoints",
                "results": self.results,
            }],
        })
    }
}

/// Returns a rule: what its results say, what breaks, and the worst severity.
pub(super) fn described(id: &str, what: &str, effect: Option<&str>, severity: Option<Severity>) -> Value {
    let effect = effect.map(|effect| format!("\n{effect}")).unwrap_or_default();
    let level = severity.map_or("note", level);
    let problem = if level == "note" { "recommendation" } else { level };
    json!({
        "id": id,
        "shortDescription": { "text": description(what) },
        "fullDescription": { "text": description(&format!("{what}{effect}")) },
        "help": { "text": message(&format!("{what}{effect}\nEach alert says which rule decides and what would open it.")) },
        "defaultConfiguration": { "level": level },
        "properties": { "problem.severity": problem, "tags": ["azure", "api-management", "network"] },
    })
}

/// Returns the first line of a file as a place, and the resource id of a rule.
pub(super) fn location(file: &str, rule: Option<String>) -> Value {
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": file },
            "region": { "startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2 },
        },
    });
    if let (Some(rule), Some(keys)) = (rule, location.as_object_mut()) {
        keys.insert("logicalLocations".to_owned(), json!([{ "fullyQualifiedName": rule, "kind": "resource" }]));
    }
    location
}

/// Returns how the run ended. `unread` says that a part of the input is missing.
pub(super) fn ended<C: serde::Serialize>(
    exit: u8,
    word: Word,
    reasons: &[String],
    unread: Option<String>,
    notices: impl Iterator<Item = (C, String)>,
) -> Value {
    let notification = |id: Value, level: &str, text: &str| json!({ "descriptor": { "id": id }, "level": level, "message": { "text": message(text) } });
    let is_whole = unread.is_none();
    let unread = unread.map(|text| notification(json!("partial"), "error", &text));
    let notices = notices.map(|(code, text)| notification(json!(code), "note", &text));
    json!({
        "executionSuccessful": matches!(exit, 0 | 1) && is_whole,
        "exitCode": exit,
        "exitCodeDescription": message(&format!("{word}. {}", reasons.join("; "))),
        "toolExecutionNotifications": unread.into_iter().chain(notices).collect::<Vec<_>>(),
    })
}

/// Returns the worst finding of each rule, by the id of the rule.
fn rules<'a>(findings: &[&'a Finding]) -> BTreeMap<String, &'a Finding> {
    let mut rules: BTreeMap<String, &Finding> = BTreeMap::new();
    for finding in findings {
        let worst = rules.entry(rule_id(finding)).or_insert(finding);
        if finding.grade.severity > worst.grade.severity {
            *worst = finding;
        }
    }
    rules
}

/// Returns the kind of the finding with its requirement, because GitHub tracks alerts by this id.
fn rule_id(finding: &Finding) -> String {
    match &finding.subject.requirement {
        Some(requirement) => cut(&format!("{requirement}.{}", finding.identity.kind), MESSAGE),
        None => finding.identity.kind.to_string(),
    }
}

fn rule(id: &str, worst: &Finding) -> Value {
    let about = match (&worst.subject.requirement, worst.identity.kind) {
        (Some(requirement), _) => format!("{requirement}: {}", worst.subject.purpose),
        (None, Kind::ForcedTunnellingSuspected) => "several dependencies of API Management".to_owned(),
        (None, Kind::UnlistedBlocked) => "a destination that no requirement names".to_owned(),
        (None, kind) if kind.is_contradiction() => "the evidence".to_owned(),
        (None, _) => "one of several dependencies of API Management".to_owned(),
    };
    let what = match worst.identity.kind {
        Kind::BlockedDependency => "Flows that API Management needs are refused",
        Kind::AmbiguousDependency => "Flows that API Management may need are refused",
        Kind::SourceRestricted => "Some callers are refused while others get through",
        Kind::UnansweredDependency => "Flows that API Management needs get no answer",
        Kind::ForcedTunnellingSuspected => "Flows may be routed to a firewall or appliance",
        Kind::UnlistedBlocked => "Flows that worked before are refused",
        Kind::ConfigurationContradicts => "The logs and the exported rules disagree",
        Kind::PlatformContradicts => "The logs and the network status of the instance disagree",
    };
    let effect = worst.meaning.effect.as_deref();
    described(id, &format!("{what} ({about})."), effect, Some(worst.grade.severity))
}

fn result(finding: &Finding, changes: Option<&Changes>, places: &BTreeMap<&str, usize>) -> Value {
    let id = rule_id(finding);
    let place = places.get(id.as_str());
    let text = format!("{}: {}\nFix: {}", name(finding), finding.explanation, fix_in_words(&finding.fix));
    let fingerprint = filled(&finding.identity.fingerprint);
    let mut result = json!({
        "ruleId": id,
        "ruleIndex": place,
        "level": level(finding.grade.severity),
        "rank": finding.grade.score,
        "message": { "text": message(&text) },
        "locations": [location(FILE, rule_path(finding))],
        "partialFingerprints": { "primaryLocationLineHash": format!("{fingerprint}:1") },
        "fingerprints": { "flowgap/v1": fingerprint },
        "properties": {
            "id": finding.identity.id,
            "severity": finding.grade.severity,
            "confidence": finding.grade.confidence,
            "verdict": finding.grade.verdict,
            "state": finding.grade.state,
            "subnet": cut(&finding.subject.subnet, MESSAGE),
            "deniedTuples": finding.denials.denied_tuples,
            "firstDenied": finding.times.first_denied,
            "lastDenied": finding.times.last_denied,
        },
    });
    let change = changes.and_then(|changes| changes.list.iter().find(|c| c.finding.id == finding.identity.id));
    if let (Some(change), Some(keys)) = (change, result.as_object_mut()) {
        keys.insert("baselineState".to_owned(), json!(baseline_state(change.transition)));
    }
    if let (Some(suppression), Some(keys)) = (&finding.suppressed, result.as_object_mut()) {
        let accepted =
            json!([{ "kind": "external", "status": "accepted", "justification": message(&suppression.in_words()) }]);
        keys.insert("suppressions".to_owned(), accepted);
    }
    result
}

/// Returns the state of a result compared with the last run.
fn baseline_state(transition: Transition) -> &'static str {
    match transition {
        Transition::New | Transition::Reopened => "new",
        Transition::Continuing => "unchanged",
        _ => "updated",
    }
}

/// Returns the resource id of the rule to blame, if the log names one.
fn rule_path(finding: &Finding) -> Option<String> {
    let blame = &finding.blame;
    let (acl, rule) = (blame.acl.as_deref()?, blame.rule_name.as_deref()?);
    let folder = match blame.rule_origin {
        RuleOrigin::User => "/securityRules/",
        RuleOrigin::Default => "/defaultSecurityRules/",
        _ => "/",
    };
    (!acl.is_empty() && !rule.is_empty()).then(|| cut(&format!("{acl}{folder}{rule}"), MESSAGE))
}

pub(super) fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// Returns the id of the run. GitHub compares runs that agree up to the last slash, so the scope comes before it.
fn run_id(analysis: &Analysis) -> String {
    let scope = match analysis.scope.subnets.as_slice() {
        [] => "any".to_owned(),
        _ if analysis.scope.subnets_inferred => "inferred".to_owned(),
        subnets => cut(&subnets.join("+").replace('/', "_"), MESSAGE),
    };
    let last = analysis.input.last_flow.map(|time| time.to_string()).unwrap_or_default();
    format!("flowgap/{scope}/{last}")
}

fn invocation(analysis: &Analysis) -> Value {
    let status = &analysis.status;
    let unread = status.partial.then(|| format!("A part of the input was not read. {}", status.reasons.join("; ")));
    let notices = analysis.notices.iter().map(|notice| (notice.code, notice.message.clone()));
    ended(status.exit, status.word, &status.reasons, unread, notices)
}

/// Returns text that a viewer shows literally: brackets would make links, and braces placeholders.
pub(super) fn message(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in cut(&visible_lines(text), MESSAGE).trim().chars() {
        match letter {
            '\\' | '[' | ']' => escaped.extend(['\\', letter]),
            '{' | '}' => escaped.extend([letter, letter]),
            _ => escaped.push(letter),
        }
    }
    filled(&escaped).to_owned()
}

pub(super) fn description(text: &str) -> String {
    cut(&visible_lines(text), DESCRIPTION)
}

/// Returns the text, cut at the end if it is longer than `most` characters.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
    }
}

/// Returns the text, or a dash if it is empty, because GitHub refuses empty texts.
pub(super) fn filled(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
