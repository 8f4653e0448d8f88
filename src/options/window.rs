//! The time window of a run.

use serde::{Deserialize, Serialize};

use crate::time::TimeRange;

/// Flows to read by their time. Times are in ms since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Window {
    /// Every flow.
    #[default]
    All,
    /// From the first time on and before the second; `None` is open.
    Between(Option<i64>, Option<i64>),
    /// The last ms before the run.
    Last(i64),
}

/// A window that contains no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the window ends before it begins")]
pub struct WindowError;

impl Window {
    /// Returns the times that the window contains if the run starts at `now`, in ms since 1970.
    pub fn at(self, now: i64) -> Result<TimeRange, WindowError> {
        match self {
            Self::All => Ok(TimeRange::default()),
            Self::Between(Some(from), Some(to)) if from >= to => Err(WindowError),
            Self::Between(from, to) => Ok(TimeRange { from, to }),
            Self::Last(length) => Ok(TimeRange { from: Some(now - length), to: Some(now) }),
        }
    }
}
