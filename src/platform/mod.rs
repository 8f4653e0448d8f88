//! What Azure says of its own state: the network status of API Management, and the changes that the activity log and
//! Resource Graph record. Reads text, and knows no flow logs and no SQL.

mod activity_log;
mod change;
mod network_status;
mod recordings;
mod resource_changes;

pub use change::{ChangeSource, Recorded, Target};
pub use network_status::{Connectivity, ConnectivityStatus, NetworkStatus, read as read_status, requirement_of};
pub use recordings::Recordings;

use crate::policy::Node;
use crate::time::{HOUR, Timestamp};

/// Plausible times of records: the years 2010 to 2099, in ms since 1970.
const PLAUSIBLE: std::ops::Range<i64> = 350_640 * HOUR..1_139_592 * HOUR;

/// Parses the time of a record. `None` if it is none, or not plausible.
fn time(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text).filter(|time| PLAUSIBLE.contains(&time.0))
}

/// Returns the elements of a document: of a list, or of what wraps a list.
fn elements<'a>(root: &Node<'a>) -> Vec<Node<'a>> {
    let wrapped =
        ["value", "records", "data"].iter().find_map(|key| root.get(key).filter(|list| list.value().is_array()));
    wrapped.unwrap_or_else(|| root.clone()).items()
}
