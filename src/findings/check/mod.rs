//! The static check: compares every row of the port table with configured rules and routes, without a flow.

mod model;
mod notices;
mod row;

pub use model::*;
pub(super) use row::rule_origin;

use super::{ServiceTagsUsed, Severity, Word};
use crate::catalog::{Necessity, Requirement, RowMode, Tag};
use crate::engine::Scope;
use crate::net::IpSet;
use crate::policy::{Acl, End, Layer, Path, Policy, Space, Station, Verdict, shadowed, stations};

/// What a check compares.
#[derive(Clone, Copy)]
pub struct CheckInput<'a> {
    /// The rules and routes.
    pub policy: &'a Policy,
    /// Subnets, network, port table and service tags.
    pub scope: &'a Scope,
    /// Whether the user gave the address space of the network.
    pub is_vnet_given: bool,
    /// Name or id of the only group to check; `None` for all.
    pub only: Option<&'a str>,
    /// Severity from which rows fail the check.
    pub fail_on: Option<Severity>,
}

impl CheckInput<'_> {
    fn is_meant(&self, acl: &Acl) -> bool {
        let is = |name: &str| {
            acl.name.eq_ignore_ascii_case(name) || acl.id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(name))
        };
        self.only.is_none_or(is)
    }
}

/// Returns the addresses that questions about these rules are answered with, and the end of the instance.
pub(super) fn space_of(policy: &Policy, scope: &Scope) -> (Space, End) {
    let blocks: Vec<_> = scope.subnets().to_vec();
    let tags: Vec<Tag> = scope.edition().catalog().rows().iter().map(|row| row.peer_tag().clone()).collect();
    let subnets = match blocks.as_slice() {
        [] => End::unknown_subnet(),
        blocks => End::of_addresses(blocks.iter().copied().collect::<IpSet>()),
    };
    (policy.space(scope.vnet(), &blocks, scope.service_tags(), &tags), subnets)
}

/// Compares the port table with the rules.
pub fn check(input: CheckInput) -> Check {
    let CheckInput { policy, scope, .. } = input;
    let (space, subnets) = space_of(policy, scope);
    let mut stations: Vec<Station> = stations(&policy.acls);
    stations.retain(|station| input.only.is_none() || station.acls.iter().any(|acl| input.is_meant(acl)));
    let requirements: Vec<&Requirement> =
        scope.requirements().iter().filter(|row| row.applies_in(scope.vnet_mode())).collect();
    let asked = row::Asked { space: &space, subnets: &subnets, scope, routes: &policy.routes };
    let rows: Vec<CheckRow> = stations
        .iter()
        .flat_map(|station| {
            let mut reserved = std::collections::BTreeSet::new();
            requirements.iter().map(|row| asked.row(station, row, &mut reserved)).collect::<Vec<_>>()
        })
        .collect();
    let is_checked = |acl: &Acl| stations.iter().any(|station| station.acls.iter().any(|own| std::ptr::eq(*own, acl)));
    let groups = policy.acls.iter().map(|acl| CheckedGroup {
        name: acl.name.clone(),
        id: acl.id.clone(),
        layer: acl.layer,
        shape: acl.shape,
        file: acl.file.clone(),
        rules: acl.rules.len(),
        attached: acl.attached.clone(),
        checked: is_checked(acl),
        gaps: acl.gaps.clone(),
    });
    let notices = notices::notices(input, &space, &stations, &rows);
    Check {
        schema: CheckSchema::V1,
        flowgap_version: env!("CARGO_PKG_VERSION").to_owned(),
        scope: scope_used(input, &space),
        status: status(input, &rows, has_group(&stations)),
        groups: groups.collect(),
        shadowed: policy.acls.iter().filter(|acl| is_checked(acl)).flat_map(shadowed).collect(),
        rows,
        routes: policy.routes.clone(),
        notices,
    }
}

fn scope_used(input: CheckInput, space: &Space) -> CheckScope {
    let scope = input.scope;
    let vnet_origin = match (input.policy.expanded_vnet(), input.is_vnet_given) {
        (Some(_), _) => VnetOrigin::Effective,
        (None, true) => VnetOrigin::Given,
        (None, false) => VnetOrigin::Default,
    };
    CheckScope {
        subnets: scope.subnets().iter().map(ToString::to_string).collect(),
        vnet: space.vnet().prefixes().iter().map(ToString::to_string).collect(),
        vnet_origin,
        vnet_mode: scope.vnet_mode(),
        edition: scope.edition().id().to_owned(),
        service_tags: scope.service_tags().map(|tags| ServiceTagsUsed {
            cloud: tags.cloud.clone(),
            change_number: tags.change_number,
            tags: tags.len() as u64,
        }),
    }
}

/// Returns whether a network security group is among the lists that are checked.
fn has_group(stations: &[Station]) -> bool {
    stations.iter().flat_map(|station| &station.acls).any(|acl| acl.layer != Layer::Admin)
}

/// Returns the result. A required row that the rules do not tell of is never fine.
fn status(input: CheckInput, rows: &[CheckRow], has_group: bool) -> CheckStatus {
    let fail_on = input.fail_on;
    let failing =
        rows.iter().filter(|row| fail_on.is_some_and(|least| row.severity.is_some_and(|own| own >= least))).count();
    let unknown: Vec<&str> = rows
        .iter()
        .filter(|row| row.necessity == Necessity::Required && row.verdict == Verdict::Unknown)
        .map(|row| row.requirement.as_str())
        .collect();
    let is_severe = |row: &&CheckRow| row.severity.is_some_and(|own| own >= Severity::Medium);
    let is_blocked = |row: &CheckRow| row.verdict == Verdict::Deny || row.path == Some(Path::Dropped);
    let mut severe = rows.iter().filter(is_severe).peekable();
    let (exit, reasons) = match (failing, unknown.as_slice(), rows) {
        (1.., ..) => {
            let least = fail_on.map(Severity::name).unwrap_or_default();
            (1, vec![format!("{} of severity {least} or worse", super::counted(failing as i64, "row"))])
        }
        (0, [], []) => (3, vec!["no rules were checked".to_owned()]),
        (0, [], _) if !has_group => (3, vec!["no network security group is given".to_owned()]),
        (0, [], _) => (0, Vec::new()),
        (0, unknown, _) => (3, vec![format!("the rules do not tell whether {} passes", unknown.join(", "))]),
    };
    let word = if severe.peek().is_some() {
        if severe.any(is_blocked) { Word::Blocked } else { Word::Degraded }
    } else if exit == 3 || !unknown.is_empty() {
        Word::CouldNotTell
    } else {
        Word::Ok
    };
    CheckStatus { word, exit, reasons, fail_on }
}

/// Returns whether a row matters in external mode only.
fn is_external_only(row: &Requirement) -> bool {
    row.vnet_mode == RowMode::External
}
