//! Limits the severity of a finding independently of its score.

use super::analysis::Basis;
use super::draft::Setting;
use super::mode::ModeOrigin;
use super::model::{Grade, Kind, Verdict};
use super::score::Severity;
use crate::catalog::InstanceMode;

/// Properties of a finding that limit its severity.
pub struct SeverityCaps {
    pub kind: Kind,
    /// Whether all candidates that answered yes are inbound from the Internet.
    pub is_from_internet: bool,
    /// Whether the finding matters in external mode only.
    pub is_external_only: bool,
}

impl SeverityCaps {
    /// Returns the limits that follow from the kind alone.
    pub fn of(kind: Kind) -> Self {
        Self { kind, is_from_internet: false, is_external_only: false }
    }

    /// Lowers the severity of `grade` to the lowest limit that applies.
    pub fn apply(&self, grade: &mut Grade, setting: Setting) {
        let is_share_unknown = grade.verdict == Verdict::ShareUnknown && self.is_from_internet;
        let is_unsure = self.kind == Kind::AmbiguousDependency || setting.basis == Basis::Unknown;
        let of_mode = match (setting.mode.mode, setting.mode.origin) {
            _ if !self.is_external_only => None,
            (None, _) => Some(Severity::Medium),
            (Some(InstanceMode::Internal), Some(ModeOrigin::Likely)) => Some(Severity::Low),
            _ => None,
        };
        let caps = [
            (self.kind == Kind::SourceRestricted).then_some(Severity::Info),
            is_unsure.then_some(Severity::Medium),
            is_share_unknown.then_some(Severity::Low),
            of_mode,
        ];
        grade.severity = caps.into_iter().flatten().fold(grade.severity, Severity::min);
    }
}
