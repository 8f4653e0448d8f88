//! What a suppression says of the finding that it accepts.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A suppression that holds for a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// Entry of the file, such as `suppressions.toml, entry 2`.
    pub by: String,
    /// Why the finding is accepted.
    pub reason: String,
    /// Who answers for that.
    pub owner: String,
    /// First instant at which it no longer holds; null for a permanent one.
    pub expires: Option<Timestamp>,
}

impl Suppression {
    /// Returns whether it holds at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Returns by whom and until when the finding is accepted, and why, in words.
    pub fn in_words(&self) -> String {
        let until = self.expires.map(|expires| format!(" until {}", last_day(expires))).unwrap_or_default();
        format!("accepted by {}{until}: {} ({})", self.owner, self.reason, self.by)
    }
}

/// Returns the last day before `end`, such as `2026-12-31`.
pub fn last_day(end: Timestamp) -> String {
    Timestamp(end.0 - 1).to_string().chars().take(10).collect()
}
