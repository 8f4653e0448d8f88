//! The changes of all files, each once.

use std::collections::BTreeSet;

use super::change::Recorded;
use super::error::{PlatformError, Reason};
use super::{activity_log, elements, parse, resource_changes};
use crate::policy::Node;
use crate::time::Timestamp;

const NO_CHANGES: Reason = Reason::Form(
    "this JSON holds no events: export the activity log with az monitor activity-log list --offset 90d --max-events 5000, \
     or rows of the table resourcechanges",
);

/// Changes of all files, by time.
#[derive(Debug, Clone, Default)]
pub struct Recordings {
    /// The changes.
    pub changes: Vec<Recorded>,
    /// Operations that failed, which changed nothing.
    pub failed: u64,
    /// First time of any event, whether it matters or not; `None` without events.
    pub first: Option<Timestamp>,
    /// Last time of any event.
    pub last: Option<Timestamp>,
}

impl Recordings {
    /// Adds the events of a file. `file` names it in errors and results.
    pub fn add_text(&mut self, file: &str, text: &str) -> Result<(), PlatformError> {
        let refused = |reason| PlatformError::new(file, reason);
        let value = parse(text).map_err(refused)?;
        let elements = elements(&Node::root(&value));
        let rows: Vec<Recorded> = elements.iter().filter_map(|node| resource_changes::read(node, file)).collect();
        let events: Vec<activity_log::Event> = elements.iter().filter_map(activity_log::event).collect();
        if rows.is_empty() && events.is_empty() && !elements.is_empty() {
            return Err(refused(NO_CHANGES));
        }
        let times = rows.iter().map(|row| row.time).chain(events.iter().map(|event| event.time));
        for time in times {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = Some(self.last.map_or(time, |last| last.max(time)));
        }
        let (changes, failed) = activity_log::operations(events, file);
        self.failed += failed;
        self.changes.extend(rows.into_iter().chain(changes));
        Ok(())
    }

    /// Returns the changes by time, each once.
    pub fn sorted(mut self) -> Self {
        let mut seen = BTreeSet::new();
        self.changes.retain(|change| {
            let key = (change.time, change.resource.clone(), change.operation.clone(), change.source.name());
            seen.insert(key)
        });
        self.changes.sort_by(|one, other| (one.time, &one.resource).cmp(&(other.time, &other.resource)));
        self
    }
}
