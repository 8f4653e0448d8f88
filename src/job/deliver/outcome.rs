//! What a run came to, as receivers learn of it.

use std::time::Duration;

use crate::findings::Analysis;
use crate::findings::history::{Change, Changes, Remembered, Transition};
use crate::job::config::receiver::{Occasion, Receiver};
use crate::report::Clock;
use crate::time::Timestamp;

/// Exit statuses from which a run counts as failed: no source, an internal error, or an interrupt.
const FAILED: u8 = 4;

/// Name and duration of a stage of a run.
pub type Stage = (&'static str, Duration);

/// What a run came to for one instance.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// Name of the instance.
    pub instance: &'a str,
    /// Number of the state that the run started from.
    pub run: u64,
    /// Time of the run.
    pub at: Timestamp,
    /// The analysis; `None` if there is none.
    pub analysis: Option<&'a Analysis>,
    /// What differs from the last run; `None` if nothing was compared.
    pub changes: Option<&'a Changes>,
    /// Findings that the state holds. Metrics show them while there is no analysis.
    pub known: &'a [Remembered],
    /// Exit status of the run for this instance.
    pub exit: u8,
    /// What goes wrong that did not at the last run, in words without secrets, such as `no new logs for 3 hours from 000D3A1B2C3D`.
    pub errors: &'a [String],
    /// Name and duration of each stage of the run.
    pub stages: &'a [Stage],
    /// Time of the last run without an error, this one included.
    pub last_success: Option<Timestamp>,
    /// Time between the last flow of the logs and the run.
    pub lag: Option<Duration>,
    /// Zone of the times in reports for readers.
    pub clock: Clock,
}

impl<'a> Outcome<'a> {
    /// Returns what differs from the last run, without accepted findings.
    pub fn changed(&self) -> impl Iterator<Item = &'a Change> + use<'a> {
        let changes = self.changes.into_iter().flat_map(|changes| &changes.list);
        changes.filter(|change| change.transition != Transition::Continuing && change.finding.suppressed.is_none())
    }

    /// Returns the findings that are reasons to act now.
    pub fn alarms(&self) -> impl Iterator<Item = &'a Change> + use<'a> {
        self.changed().filter(|change| change.is_alarm())
    }

    /// Returns the findings whose dependency works again.
    pub fn resolved(&self) -> impl Iterator<Item = &'a Change> + use<'a> {
        self.of(Transition::Resolved)
    }

    /// Returns the findings of one transition, without accepted ones.
    pub fn of(&self, transition: Transition) -> impl Iterator<Item = &'a Change> + use<'a> {
        self.changed().filter(move |change| change.transition == transition)
    }

    /// Returns whether the run failed or names a new error.
    pub fn is_error(&self) -> bool {
        !self.errors.is_empty() || self.exit >= FAILED || self.analysis.is_none()
    }

    fn is(&self, occasion: Occasion) -> bool {
        match occasion {
            Occasion::Always => true,
            Occasion::Change => self.changed().next().is_some(),
            Occasion::Fail => self.exit != 0,
            Occasion::New => self.alarms().any(|change| change.transition != Transition::Worsened),
            Occasion::Worsened => self.of(Transition::Worsened).next().is_some(),
            Occasion::Resolved => self.resolved().next().is_some(),
            // An error that lasts is told once.
            Occasion::Error => !self.errors.is_empty(),
        }
    }
}

impl Receiver {
    /// Returns whether this receiver gets a message about the outcome.
    pub fn wants(&self, outcome: &Outcome) -> bool {
        self.is_for(outcome.instance) && self.on.iter().any(|occasion| outcome.is(*occasion))
    }
}
