//! Makes the identities of findings: the same fingerprint in every run that finds the same.

use sha2::{Digest, Sha256};

use super::model::{Blame, Identity, Kind, Subject};
use crate::engine::{Row, SessionError};
use crate::flow::{RuleOrigin, ScopeDirection, Vantage};

/// Parts of an identity besides the candidates.
#[derive(Debug, Clone)]
pub struct FindingKey {
    pub direction: ScopeDirection,
    pub vantage: Vantage,
    pub subnet: String,
    /// ACL as the log names it; `None` if no rule is to blame, never empty.
    pub acl: Option<String>,
    /// Rule as the log names it; `None` if no rule is to blame, never empty.
    pub rule: Option<String>,
}

impl FindingKey {
    /// Reads the key from the columns of the same names.
    pub fn read(row: Row) -> Result<Self, SessionError> {
        let filled = |column| Ok::<_, SessionError>(row.text_or_null(column)?.filter(|text| !text.is_empty()));
        Ok(Self {
            direction: row.named("direction")?,
            vantage: row.named("vantage")?,
            subnet: row.text("subnet")?,
            acl: filled("acl")?,
            rule: filled("rule")?,
        })
    }

    /// Makes the identity. `concern` is text that stays the same from run to run, mostly the ids of the candidates.
    pub fn identity(&self, kind: Kind, concern: &str) -> Identity {
        let lines = [
            concern,
            self.direction.name(),
            self.vantage.name(),
            &self.subnet,
            &self.acl_key(),
            self.rule.as_deref().unwrap_or_default(),
        ];
        let digest = Sha256::digest(lines.join("\n").as_bytes());
        let fingerprint: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let id = format!("F-{}", fingerprint.get(..8).unwrap_or(&fingerprint));
        Identity { id, fingerprint, kind }
    }

    /// Returns the ACL in lower case, because log versions differ in case; empty if no rule is to blame.
    pub fn acl_key(&self) -> String {
        self.acl.as_deref().unwrap_or_default().to_lowercase()
    }

    /// Returns the rule to blame, with its author.
    pub fn blame(&self, origin: RuleOrigin) -> Blame {
        Blame::new(self.acl.as_deref(), self.rule.as_deref(), origin)
    }

    /// Returns the subject without its requirement.
    pub fn subject(self, candidates: Vec<String>, protocol: String, ports: Vec<u16>) -> Subject {
        let Self { direction, vantage, subnet, .. } = self;
        Subject { requirement: None, candidates, purpose: String::new(), direction, vantage, subnet, protocol, ports }
    }
}
