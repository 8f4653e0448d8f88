//! The changes of all files, each once.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::activity_log::{self, Located};
use super::change::Recorded;
use super::{elements, resource_changes};
use crate::policy::{ExportError, Node, Reason, document_or_lines};
use crate::time::Timestamp;

const NO_CHANGES: Reason = Reason::Form(
    "this JSON holds no events: export the activity log with az monitor activity-log list --offset 90d --max-events 5000, \
     or rows of the table resourcechanges",
);

/// Changes of all files.
#[derive(Debug, Clone, Default)]
pub struct Recordings {
    /// The changes; those of the activity log only after [`Self::sorted`].
    pub changes: Vec<Recorded>,
    /// Operations that failed, which changed nothing.
    pub failed: u64,
    /// First time of any event, whether it matters or not; `None` without events.
    pub first: Option<Timestamp>,
    /// Last time of any event.
    pub last: Option<Timestamp>,
    /// Parts of files that could not be read, each as a sentence.
    pub unread: Vec<String>,
    /// Events of operations that matter, with their files. Events of one operation may be in several files.
    events: Vec<Located>,
}

impl Recordings {
    /// Adds the events of a file. `file` names it in errors and results.
    pub fn add_text(&mut self, file: &str, text: &str) -> Result<(), ExportError> {
        let (value, damaged) = document_or_lines(text).map_err(|reason| ExportError::new(file, reason))?;
        let root = Node::root(&value);
        let elements = elements(&root);
        let name: Arc<str> = file.into();
        let mut unknown = 0;
        for node in &elements {
            if let Some((time, change)) = resource_changes::read(node, file) {
                self.cover(time);
                self.changes.extend(change);
            } else if let Some(event) = activity_log::event(node) {
                self.cover(event.time);
                self.events.extend(event.target().map(|_| (event, Arc::clone(&name))));
            } else {
                unknown += 1;
            }
        }
        if unknown == elements.len() && unknown > 0 {
            return Err(ExportError::new(file, NO_CHANGES));
        }
        for (count, what) in [(damaged, "lines are damaged JSON"), (unknown, "elements are no events")] {
            if count > 0 {
                self.unread.push(format!("{file}: {count} {what}"));
            }
        }
        if ["nextlink", "skiptoken"].iter().any(|key| root.text_of(key).is_some()) {
            self.unread.push(format!("{file}: it is one page of several"));
        }
        Ok(())
    }

    /// Extends the time that the records are known to cover.
    pub fn cover(&mut self, time: Timestamp) {
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }

    /// Joins the events, and returns the changes by time, each once.
    pub fn sorted(mut self) -> Self {
        let (changes, failed) = activity_log::operations(std::mem::take(&mut self.events));
        self.failed += failed;
        self.changes.extend(changes);
        let mut seen = BTreeSet::new();
        self.changes.retain(|change| {
            let key = (change.time, change.resource.clone(), change.operation.clone(), change.source.name());
            seen.insert(key)
        });
        self.changes.sort_by(|one, other| (one.time, &one.resource).cmp(&(other.time, &other.resource)));
        self
    }
}
