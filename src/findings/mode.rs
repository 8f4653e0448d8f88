//! Determines the VNet mode of the instance: given, or inferred from the logs.

use crate::catalog::InstanceMode;
use crate::engine::{Session, SessionError};
use crate::names::names;
use crate::queries;

/// External or internal mode, and its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// `None` while unknown.
    pub mode: Option<InstanceMode>,
    /// Source of `mode`; `None` while that is unknown.
    pub origin: Option<ModeOrigin>,
}

/// Source of the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModeOrigin {
    /// The caller gave it.
    Given,
    /// Clients on the Internet are answered, now or in an earlier run of the job.
    Proven,
    /// Callers from the network are answered, and no client on the Internet is allowed.
    Likely,
}

names!(ModeOrigin { Given = "given", Proven = "proven", Likely = "likely" });

impl Mode {
    /// Returns the given mode, or infers it from the groups of flows. Where they show none, what an earlier run proved
    /// counts.
    pub async fn read(session: &Session) -> Result<Self, SessionError> {
        if let Some(mode) = session.scope().vnet_mode() {
            return Ok(Self { mode: Some(mode), origin: Some(ModeOrigin::Given) });
        }
        let rows = session.table(queries::VNET_MODE).await?;
        let row = rows.only()?;
        Ok(if row.flag("is_external")? {
            Self { mode: Some(InstanceMode::External), origin: Some(ModeOrigin::Proven) }
        } else if row.flag("is_likely_internal")? {
            Self { mode: Some(InstanceMode::Internal), origin: Some(ModeOrigin::Likely) }
        } else {
            let mode = session.scope().proven_mode();
            Self { mode, origin: mode.map(|_| ModeOrigin::Proven) }
        })
    }

    /// Returns whether the logs look like internal mode without proving it.
    pub fn is_likely_internal(self) -> bool {
        self == Self { mode: Some(InstanceMode::Internal), origin: Some(ModeOrigin::Likely) }
    }

    /// Returns the name that queries use; `both` while the mode is unknown.
    pub fn name(self) -> &'static str {
        self.mode.map_or("both", InstanceMode::name)
    }
}
