//! Writes the change of the priority of a rule that exists, for targets that describe whole rules.

use super::powershell;
use super::rule::{Place, Rule, Value};
use super::{Rendered, Target};

/// Returns the change and its undo; `None` if the rule is a new one.
pub fn render(target: Target, place: &Place, rule: &Rule) -> Option<Rendered> {
    let before = rule.moved_from.as_ref()?;
    let text = |priority: &Value| match target {
        Target::PowerShell => powershell::set_priority(place, rule, priority),
        Target::Portal => format!(
            "{}, {} security rules, {}: Priority {}",
            shown(&place.nsg),
            rule.direction(),
            shown(&rule.name),
            shown(priority)
        ),
        // The rule is written down somewhere already, and a second copy would conflict with it.
        Target::Az | Target::Bicep | Target::Terraform => format!(
            "{}in the existing definition of rule {} of {}, set: priority = {}",
            target.comment(),
            shown(&rule.name),
            shown(&place.nsg),
            shown(priority)
        ),
    };
    Some(Rendered { change: text(&rule.priority), undo: text(before), cautions: Vec::new() })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Known(text) => text.clone(),
        Value::Asked(asked) => format!("({})", asked.hint),
    }
}
