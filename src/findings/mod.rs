//! From groups of flows to ranked findings: the analysis of contract sections 2.1 to 2.5.
//!
//! The queries match, group and compare; here findings get their identity, score and words. Knows no stores,
//! report formats or command lines.

mod explain;
mod finding;
mod score;
mod table;

pub use explain::{acl_name as short_acl, counted};
pub use finding::*;
pub use score::{Activity, Confidence, Reach, Score, Severity};

use std::collections::BTreeMap;
use std::net::IpAddr;

use datafusion::common::ScalarValue;
use sha2::{Digest, Sha256};

use crate::catalog::{Requirement, VnetMode};
use crate::engine::{Scope, Session, SessionError, distinct_addresses};
use crate::queries;
use table::Table;

/// How many addresses and hours a finding lists.
const LISTED_ADDRESSES: usize = 10;
const LISTED_HOURS: usize = 168;

/// Scans the input once and says what is blocked.
pub async fn analyze(session: &Session) -> Result<Analysis, SessionError> {
    let scope = session.scope();
    let mode = scope.vnet_mode.map_or("both", VnetMode::name);
    let params = vec![("vnet_mode", ScalarValue::from(mode))];
    session.materialize(queries::FLOW_GROUPS, vec![]).await?;
    session.materialize(queries::CANDIDATES, vec![]).await?;
    session.materialize(queries::MATCHED, params).await?;
    session.materialize(queries::DENIED, vec![]).await?;
    let rows = Table::new(session.collect(queries::FINDINGS, vec![]).await?)?;
    let mut lists = Lists::read(session).await?;
    let mut findings: Vec<Finding> = (0..rows.len()).map(|row| finding(&rows, row, scope, &mut lists)).collect();
    findings.sort_by(|a, b| b.score.cmp(&a.score).then(b.denied_tuples.cmp(&a.denied_tuples)).then(a.id.cmp(&b.id)));
    for (rank, finding) in findings.iter_mut().enumerate() {
        finding.rank = rank as u64 + 1;
    }
    let totals = Table::new(session.collect(queries::TOTALS, vec![]).await?)?;
    let input = input(session, &totals);
    let notices = notices(scope, &input, &findings);
    Ok(Analysis {
        schema: "flowgap.analysis/1",
        flowgap_version: env!("CARGO_PKG_VERSION"),
        scope: scope_used(session),
        causes: causes(&findings),
        coverage: Vec::new(),
        unmatched_denied: UnmatchedDenied {
            inbound_internet_tuples: totals.int("inbound_internet_tuples", 0).unwrap_or_default(),
            listed: Vec::new(),
        },
        input,
        findings,
        notices,
    })
}

/// What findings list, by the number of the finding.
struct Lists {
    hours: BTreeMap<i64, Vec<HourCount>>,
    locals: BTreeMap<i64, Vec<LocalAddress>>,
    peers: BTreeMap<i64, Vec<(IpAddr, i64)>>,
}

impl Lists {
    async fn read(session: &Session) -> Result<Self, SessionError> {
        let mut lists = Self { hours: BTreeMap::new(), locals: BTreeMap::new(), peers: BTreeMap::new() };
        let hours = Table::new(session.collect(queries::FINDING_HOURS, vec![]).await?)?;
        for row in 0..hours.len() {
            if let (Some(finding), Some(hour), Some(denied_tuples)) =
                (hours.int("finding", row), hours.int("hour", row), hours.int("denied_tuples", row))
            {
                lists.hours.entry(finding).or_default().push(HourCount { hour: Time(hour), denied_tuples });
            }
        }
        let locals = Table::new(session.collect(queries::FINDING_LOCALS, vec![]).await?)?;
        for row in 0..locals.len() {
            if let (Some(finding), Some(denied_tuples)) = (locals.int("finding", row), locals.int("denied_tuples", row))
            {
                let ip = locals.text("ip", row);
                lists.locals.entry(finding).or_default().push(LocalAddress { ip, denied_tuples });
            }
        }
        let peers = Table::new(session.collect(queries::FINDING_ADDRESSES, vec![]).await?)?;
        for row in 0..peers.len() {
            if let Some(finding) = peers.int("finding", row) {
                lists.peers.insert(finding, peers.addresses("peers", row));
            }
        }
        Ok(lists)
    }
}

fn finding(rows: &Table, row: usize, scope: &Scope, lists: &mut Lists) -> Finding {
    let number = rows.int("finding", row).unwrap_or_default();
    let int = |name: &str| rows.int(name, row).unwrap_or_default();
    let flag = |name: &str| rows.flag(name, row);
    let time = |name: &str| rows.int(name, row).map(Time);
    let candidates: Vec<String> = rows.text("candidates", row).split(',').map(str::to_owned).collect();
    let primary = rows.text("primary_id", row);
    let verdict = Verdict::from_name(&rows.text("verdict", row));
    let direction = rows.text("direction", row);
    let (denied_tuples_24h, allowed_24h) = (int("denied_tuples_24h"), int("allowed_24h"));
    let kind = if int("unknown_count") > 1 {
        Kind::AmbiguousDependency
    } else if flag("all_from_internet") && allowed_24h > 0 {
        Kind::SourceRestricted
    } else {
        Kind::BlockedDependency
    };
    let state = match verdict {
        Verdict::Recovered => Activity::Recovered,
        _ if flag("is_quiet") => Activity::Quiet,
        _ => Activity::Ongoing,
    };
    let reach = match verdict {
        Verdict::Blocked => Reach::Whole,
        Verdict::ShareUnknown => Reach::Half,
        Verdict::Partial | Verdict::Recovered => {
            let is_floored = direction == "outbound" || flag("is_named");
            Reach::Share { denied: denied_tuples_24h, allowed: allowed_24h, is_floored }
        }
    };
    let confidence = match int("certainty") {
        3 => Confidence::Confirmed,
        2 => Confidence::Likely,
        _ => Confidence::Possible,
    };
    let impact = int("impact") as u16;
    let score = Score::new(impact, confidence, state, reach);
    let is_mode_capped = flag("is_external_only") && scope.vnet_mode.is_none();
    let caps = [
        (kind == Kind::SourceRestricted).then_some(Severity::Info),
        (kind == Kind::AmbiguousDependency || is_mode_capped).then_some(Severity::Medium),
        (verdict == Verdict::ShareUnknown && flag("all_from_internet")).then_some(Severity::Low),
    ];
    let severity = caps.into_iter().flatten().fold(score.severity(), Severity::min);
    let key = Key {
        direction,
        vantage: rows.text("vantage", row),
        subnet: rows.text("subnet", row),
        acl: rows.text("acl", row),
        rule: rows.text("rule", row),
    };
    let fingerprint = key.fingerprint(&candidates);
    let mut hours = lists.hours.remove(&number).unwrap_or_default();
    hours.drain(..hours.len().saturating_sub(LISTED_HOURS));
    let mut locals = lists.locals.remove(&number).unwrap_or_default();
    locals.truncate(LISTED_ADDRESSES);
    let peers = lists.peers.remove(&number).unwrap_or_default();
    let requirement = scope.requirements().into_iter().find(|r| r.id == primary).cloned();
    let mut finding = Finding {
        rank: 0,
        id: format!("F-{}", &fingerprint[..8]),
        fingerprint,
        kind,
        severity,
        score,
        impact: f64::from(impact) / 1000.0,
        confidence,
        verdict,
        state,
        reach,
        requirement: (kind != Kind::AmbiguousDependency).then(|| primary.clone()),
        purpose: purpose(kind, requirement.as_ref(), &candidates, scope),
        candidates,
        direction: key.direction,
        vantage: key.vantage,
        subnet: key.subnet,
        protocol: rows.text("protocol", row),
        ports: rows.ints("ports", row),
        acl: key.acl,
        rule: key.rule,
        rule_origin: rows.text("rule_origin", row),
        denied_tuples: int("denied_tuples"),
        denied_tuples_24h,
        allowed_24h,
        first_denied: time("first_denied"),
        last_denied: time("last_denied"),
        last_allowed_before: time("last_allowed_before"),
        first_allowed_after: time("first_allowed_after"),
        local_addresses: locals,
        remote_address_count: distinct_addresses(&peers.iter().map(|&(ip, _)| ip).collect::<Vec<_>>()),
        remote_addresses: remote_addresses(peers, scope),
        hours,
        outside_loaded_tags: int("unlisted_tuples"),
        explanation: String::new(),
        fix: explain::no_fix(),
    };
    finding.fix = explain::fix(&finding, requirement.as_ref());
    let context = explain::Context {
        is_mode_capped,
        needs_correction: flag("needs_correction"),
        has_service_tags: scope.service_tags.is_some(),
    };
    finding.explanation = explain::explanation(&finding, &context);
    finding
}

/// What tells findings apart, besides their candidates.
struct Key {
    direction: String,
    vantage: String,
    subnet: String,
    acl: String,
    rule: String,
}

impl Key {
    /// 16 hex digits of SHA-256 over lines that stay the same from run to run.
    fn fingerprint(&self, candidates: &[String]) -> String {
        let lines = [
            candidates.join(","),
            self.direction.clone(),
            self.vantage.clone(),
            self.subnet.clone(),
            self.acl.to_lowercase(),
            self.rule.clone(),
        ];
        let digest = Sha256::digest(lines.join("\n").as_bytes());
        digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn purpose(kind: Kind, requirement: Option<&Requirement>, candidates: &[String], scope: &Scope) -> String {
    if kind != Kind::AmbiguousDependency {
        return requirement.map(|r| r.purpose.clone()).unwrap_or_default();
    }
    let rows = scope.requirements();
    let purposes = rows.iter().filter(|r| candidates.contains(&r.id)).map(|r| r.purpose.as_str());
    format!("one of: {}", purposes.collect::<Vec<_>>().join("; "))
}

/// The busiest first; among equals in the order of their numbers.
fn remote_addresses(mut peers: Vec<(IpAddr, i64)>, scope: &Scope) -> Vec<RemoteAddress> {
    peers.sort_by_key(|&(ip, tuples)| (std::cmp::Reverse(tuples), crate::net::number(ip)));
    peers.truncate(LISTED_ADDRESSES);
    let tags = scope.service_tags.as_ref();
    let listed = peers.into_iter().map(|(ip, denied_tuples)| RemoteAddress {
        ip: ip.to_string(),
        service_tag: tags.and_then(|tags| tags.tag(ip)).map(str::to_owned),
        denied_tuples,
    });
    listed.collect()
}

/// Blocked and ambiguous findings by rule, ACL and subnet: the worst first.
fn causes(findings: &[Finding]) -> Vec<Cause> {
    let mut causes: BTreeMap<(String, &str, &str), Cause> = BTreeMap::new();
    let blamed = |f: &&Finding| matches!(f.kind, Kind::BlockedDependency | Kind::AmbiguousDependency);
    for finding in findings.iter().filter(blamed) {
        let key = (finding.acl.to_lowercase(), finding.rule.as_str(), finding.subnet.as_str());
        let cause = causes.entry(key).or_insert_with(|| Cause {
            acl: finding.acl.clone(),
            rule: finding.rule.clone(),
            rule_origin: finding.rule_origin.clone(),
            subnet: finding.subnet.clone(),
            findings: Vec::new(),
            max_severity: Severity::Info,
            first_denied: finding.first_denied,
            last_denied: finding.last_denied,
            denied_tuples: 0,
        });
        cause.findings.push(finding.id.clone());
        cause.max_severity = cause.max_severity.max(finding.severity);
        cause.first_denied = cause.first_denied.min(finding.first_denied);
        cause.last_denied = cause.last_denied.max(finding.last_denied);
        cause.denied_tuples += finding.denied_tuples;
    }
    let mut causes: Vec<Cause> = causes.into_values().collect();
    causes.sort_by_key(|c| (std::cmp::Reverse(c.max_severity), std::cmp::Reverse(c.denied_tuples)));
    causes
}

fn input(session: &Session, totals: &Table) -> Input {
    let read = session.input();
    let counts = read.counts;
    let problems = read.problems.into_iter().map(|p| Problem {
        blob: p.blob,
        offset: p.offset,
        record: p.record,
        reason: p.reason,
    });
    Input {
        blobs: read.blobs,
        bytes: read.bytes,
        records: counts.records,
        tuples: counts.tuples,
        denied_tuples: counts.denied_tuples,
        tuples_in_scope: totals.int("tuples_in_scope", 0).unwrap_or_default(),
        denied_in_scope: totals.int("denied_in_scope", 0).unwrap_or_default(),
        malformed_tuples: counts.malformed_tuples,
        unreadable_blobs: read.unreadable_blobs,
        first_flow: counts.times.map(|(first, _)| Time(first)),
        last_flow: counts.times.map(|(_, last)| Time(last)),
        versions: Versions { nsg1: counts.versions.nsg1, nsg2: counts.versions.nsg2, vnet4: counts.versions.vnet4 },
        problem_count: read.problem_count,
        problems: problems.collect(),
        bad_records: counts.bad_records,
        slow_records: counts.slow_records,
    }
}

fn scope_used(session: &Session) -> ScopeUsed {
    let (scope, window) = (session.scope(), session.window());
    ScopeUsed {
        subnets: scope.subnets.iter().map(ToString::to_string).collect(),
        subnets_inferred: false,
        vnet: scope.vnet.iter().map(ToString::to_string).collect(),
        vnet_mode: scope.vnet_mode.map(|mode| mode.name().to_owned()),
        edition: scope.edition.clone(),
        from: window.from.map(Time),
        to: window.to.map(Time),
        service_tags: scope.service_tags.as_ref().map(|tags| ServiceTagsUsed {
            cloud: tags.cloud.clone(),
            change_number: tags.change_number,
            tags: tags.len() as u64,
        }),
    }
}

fn notices(scope: &Scope, input: &Input, findings: &[Finding]) -> Vec<Notice> {
    let versions = &input.versions;
    let has_external_only = findings.iter().any(|f| {
        let row = scope.requirements().into_iter().find(|r| Some(&r.id) == f.requirement.as_ref());
        row.is_some_and(|r| r.vnet_mode == VnetMode::External)
    });
    let checks = [
        (
            "nsg-format-only",
            versions.vnet4 == 0 && versions.nsg1 + versions.nsg2 > 0,
            "All input is NSG flow logs, which Azure does not support for API Management: what they do not show proves little. \
             Turn VNet flow logs on.",
        ),
        (
            "allowed-not-logged",
            input.tuples_in_scope > 0 && input.tuples_in_scope == input.denied_in_scope,
            "The logs hold denied flows only, so how much got through cannot be known.",
        ),
        (
            "service-tags-missing",
            scope.service_tags.is_none(),
            "No service-tag file was loaded, so public addresses cannot be told apart by service. Download Microsoft's \
             ServiceTags_Public_*.json and add --service-tags FILE.",
        ),
        (
            "vnet-mode-unknown",
            scope.vnet_mode.is_none() && has_external_only,
            "Some findings matter only to an instance in external mode; they are at most medium until you say --vnet-mode external.",
        ),
        (
            "slow-path-input",
            input.slow_records > 0,
            "Some records hold escaped characters and took the slower way through the decoder.",
        ),
    ];
    let notices = checks.into_iter().filter(|(_, holds, _)| *holds);
    notices.map(|(code, _, message)| Notice { code, message: message.to_owned() }).collect()
}
