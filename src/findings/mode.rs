//! How the instance is joined to its virtual network: given, or read off the logs.

use crate::catalog::InstanceMode;
use crate::engine::{Session, SessionError};
use crate::queries;

/// External or internal mode, and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// `None` while unknown.
    pub mode: Option<InstanceMode>,
    pub origin: Option<Origin>,
}

/// How the mode is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Given,
    /// Clients on the Internet are answered.
    Proven,
    /// Callers of the network are answered, and no client on the Internet is let in.
    Likely,
}

impl Origin {
    pub fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Proven => "proven",
            Self::Likely => "likely",
        }
    }
}

impl Mode {
    /// Reads the mode off the groups of flows, unless it was given.
    pub async fn read(session: &Session) -> Result<Self, SessionError> {
        if let Some(mode) = session.scope().vnet_mode() {
            return Ok(Self { mode: Some(mode), origin: Some(Origin::Given) });
        }
        let rows = session.table(queries::VNET_MODE).await?;
        let (mode, origin) = if rows.flag("is_external", 0) {
            (Some(InstanceMode::External), Some(Origin::Proven))
        } else if rows.flag("is_likely_internal", 0) {
            (Some(InstanceMode::Internal), Some(Origin::Likely))
        } else {
            (None, None)
        };
        Ok(Self { mode, origin })
    }

    pub fn is_likely_internal(self) -> bool {
        self == Self { mode: Some(InstanceMode::Internal), origin: Some(Origin::Likely) }
    }

    /// As queries take it.
    pub fn name(self) -> &'static str {
        self.mode.map_or("both", InstanceMode::name)
    }
}
