//! Reads rows of the table `resourcechanges` of Resource Graph. Changes of rules appear on their group.

use super::change::{ChangeSource, Recorded, Target};
use crate::policy::Node;
use crate::time::Timestamp;

/// Reads a row; `None` if the object is none, or its changes do not matter.
pub fn read(node: &Node, file: &str) -> Option<Recorded> {
    let row = node.get("properties").filter(|row| row.has("targetresourceid")).unwrap_or_else(|| node.clone());
    let resource = row.text_of("targetresourceid")?.to_ascii_lowercase();
    let kind = row.text_of("targetresourcetype").unwrap_or_default().to_ascii_lowercase();
    let attributes = row.get("changeattributes").unwrap_or_else(|| row.clone());
    let time = Timestamp::parse_rfc3339(&attributes.text_of("timestamp")?)?;
    let is_delete = row.text_of("changetype").is_some_and(|kind| kind.eq_ignore_ascii_case("delete"));
    let operation = attributes.text_of("operation").map(|operation| operation.to_ascii_lowercase());
    let operation = operation.unwrap_or_else(|| format!("{kind}/{}", if is_delete { "delete" } else { "write" }));
    let target = Target::of_operation(&operation)?;
    let actor = attributes.text_of("changedby").filter(|actor| !actor.eq_ignore_ascii_case("system"));
    let (before, after) = differences(&row);
    Some(Recorded {
        time,
        actor,
        operation,
        target,
        resource,
        correlation_id: attributes.text_of("correlationid"),
        source: ChangeSource::ResourceGraph,
        before,
        after,
        rules: Vec::new(),
        file: file.to_owned(),
    })
}

/// Returns the values before and after, of the paths that changed: `path=value`, at most 10.
fn differences(row: &Node) -> (Option<String>, Option<String>) {
    let Some(changes) = row.get("changes") else { return (None, None) };
    let mut lists = (Vec::new(), Vec::new());
    for (path, change) in changes.object().into_iter().flatten().take(10) {
        let change = Node::at(change, String::new());
        for (key, list) in [("previousvalue", &mut lists.0), ("newvalue", &mut lists.1)] {
            list.extend(change.text_of(key).map(|value| format!("{path}={value}")));
        }
    }
    let joined = |list: Vec<String>| Some(list.join("; ")).filter(|text| !text.is_empty());
    (joined(lists.0), joined(lists.1))
}
