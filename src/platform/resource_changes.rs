//! Reads rows of the table `resourcechanges` of Resource Graph. Changes of rules appear on their group.

use super::change::{ChangeSource, Recorded, Target};
use crate::policy::Node;
use crate::time::Timestamp;

/// Objects that hold a value, as the keys to them. A projection may put it into a column of their joined names.
const HOLDERS: [&str; 4] = ["", "changeattributes", "properties", "propertieschangeattributes"];

/// Reads a row. Returns its time, and the change if it matters; `None` if the object is no row.
pub fn read(node: &Node, file: &str) -> Option<(Timestamp, Option<Recorded>)> {
    let row = node.get("properties").filter(|row| row.has("targetresourceid")).unwrap_or_else(|| node.clone());
    let attributes = row.get("changeattributes").unwrap_or_else(|| row.clone());
    let text = |key: &str| {
        let joined = || HOLDERS.iter().find_map(|holder| row.text_of(&format!("{holder}{key}")));
        attributes.text_of(key).or_else(joined)
    };
    let resource = text("targetresourceid")?.to_ascii_lowercase();
    let time = super::time(&text("timestamp")?)?;
    let kind = text("targetresourcetype").unwrap_or_default().to_ascii_lowercase();
    let is_delete = text("changetype").is_some_and(|kind| kind.eq_ignore_ascii_case("delete"));
    let operation = text("operation").map(|operation| operation.to_ascii_lowercase());
    let operation = operation.unwrap_or_else(|| format!("{kind}/{}", if is_delete { "delete" } else { "write" }));
    let Some(target) = Target::of_operation(&operation) else { return Some((time, None)) };
    let (before, after) = differences(&row);
    let change = Recorded {
        time,
        actor: text("changedby").filter(|actor| !actor.eq_ignore_ascii_case("system")),
        operation,
        target,
        resource,
        correlation_id: text("correlationid"),
        source: ChangeSource::ResourceGraph,
        before,
        after,
        rules: Vec::new(),
        file: file.to_owned(),
    };
    Some((time, Some(change)))
}

/// Returns the values before and after, of the paths that changed: `path=value`, at most 10.
fn differences(row: &Node) -> (Option<String>, Option<String>) {
    let Some(changes) = row.get("changes").or_else(|| row.get("propertieschanges")) else { return (None, None) };
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
