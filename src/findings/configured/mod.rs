//! Joins an analysis with the configuration and with what Azure says: fixes get a priority and are tried, contradictions
//! become findings, and changes of the configuration explain when refusals began.

mod changes;
mod contradictions;
mod fixes;
mod platform;
mod replay;
pub mod tables;

use self::replay::Refusals;
use super::analysis::{Analysis, Notice};
use super::model::Finding;
use super::notice_code::NoticeCode;
use crate::engine::{Session, SessionError};
use crate::platform::{NetworkStatus, Recordings};
use crate::policy::Policy;

/// What is known beside the flows.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// Rules and routes; `None` without files.
    pub policy: Option<Policy>,
    /// Network status of the instance; empty without files.
    pub status: Vec<NetworkStatus>,
    /// Changes; `None` without files.
    pub changes: Option<Recordings>,
}

impl Configuration {
    /// Completes an analysis of a session. Must be called before the commands of its fixes are written.
    pub async fn apply(&self, analysis: &mut Analysis, session: &Session) -> Result<(), SessionError> {
        let scope = session.scope();
        let mut found: Vec<Finding> = Vec::new();
        if let Some(policy) = &self.policy {
            missing_groups(analysis, policy);
            fixes::complete_all(analysis, policy, scope, &Refusals::read(session).await?);
            found.extend(contradictions::find(analysis, policy, scope));
        }
        if !self.status.is_empty() {
            found.extend(platform::join(analysis, &self.status, scope));
        }
        if let Some(changes) = &self.changes {
            changes::join(analysis, changes);
        }
        self.rank(analysis, found);
        Ok(())
    }

    /// Adds findings after the others, because they are about the evidence and not about flows.
    fn rank(&self, analysis: &mut Analysis, mut found: Vec<Finding>) {
        found.sort_by(|one, other| (other.grade.score, &one.identity.id).cmp(&(one.grade.score, &other.identity.id)));
        found.dedup_by(|one, other| one.identity.fingerprint == other.identity.fingerprint);
        if found.is_empty() {
            return;
        }
        let next = analysis.findings.len() as u64 + 1;
        for (rank, mut finding) in (next..).zip(found) {
            finding.rank = rank;
            analysis.findings.push(finding);
        }
        analysis.settle_status();
    }
}

/// Says which groups of the logs are in no file.
fn missing_groups(analysis: &mut Analysis, policy: &Policy) {
    let mut names: Vec<String> = analysis
        .findings
        .iter()
        .filter(|finding| !finding.is_unneeded())
        .filter_map(|finding| finding.blame.acl.as_deref())
        .filter(|acl| acl.to_ascii_lowercase().contains("/networksecuritygroups/") && policy.acl(acl).is_none())
        .map(|acl| super::short_acl(acl).to_owned())
        .collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        let message =
            format!("no file has the rules of {}: export it, too, to have its fixes completed", names.join(", "));
        analysis.notices.push(Notice { code: NoticeCode::ConfigurationMissing, message });
    }
}
