//! Notes about conditions that no flow meets, such as `decision = 'Deny'`.

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

use crate::engine::functions::text;
use crate::flow::{Decision, Direction, FlowState};
use crate::net::parse_ip;

/// Returns a sentence for each constant that a column of `flows` never has. `plan` is optimized, so that conditions on
/// flows are at their scan or just above it.
pub fn notes(plan: &LogicalPlan) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    plan.apply_with_subqueries(|node| {
        let conditions: Vec<&Expr> = match node {
            LogicalPlan::TableScan(scan) if is_flows(node) => scan.filters.iter().collect(),
            LogicalPlan::Filter(filter) if is_flows(&filter.input) => vec![&filter.predicate],
            _ => Vec::new(),
        };
        for condition in conditions {
            condition.apply(|expr| {
                notes.extend(compared(expr).filter_map(|(column, value)| never(column, value)));
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    notes.sort();
    notes.dedup();
    Ok(notes)
}

fn is_flows(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => scan.table_name.table() == "flows",
        LogicalPlan::SubqueryAlias(alias) => is_flows(&alias.input),
        LogicalPlan::Filter(filter) => is_flows(&filter.input),
        _ => false,
    }
}

/// Returns the columns that `expr` compares with constants by `=` or `IN`, each with the text of a constant.
fn compared(expr: &Expr) -> impl Iterator<Item = (&str, &str)> {
    let (column, values) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (&**left, &**right) {
            (Expr::Column(column), value) | (value, Expr::Column(column)) => {
                (column.name(), std::slice::from_ref(value))
            }
            _ => ("", [].as_slice()),
        },
        Expr::InList(InList { expr, list, negated: false }) => match &**expr {
            Expr::Column(column) => (column.name(), list.as_slice()),
            _ => ("", [].as_slice()),
        },
        _ => ("", [].as_slice()),
    };
    values.iter().filter_map(move |value| match value {
        Expr::Literal(value, _) => Some((column, text(value)?)),
        _ => None,
    })
}

/// Returns why a column never has a value; `None` if it may.
fn never(column: &str, value: &str) -> Option<String> {
    let one_of = |names: &[&str]| {
        let is_known = names.contains(&value);
        (!is_known).then(|| format!("{column} is never '{value}': it is {}", alternatives(names)))
    };
    match column {
        "decision" => one_of(&Decision::NAMES),
        "direction" => one_of(&Direction::NAMES),
        "state" => one_of(&FlowState::NAMES),
        "protocol" => {
            let is_known =
                ["TCP", "UDP"].contains(&value) || value.parse::<u8>().is_ok_and(|nr| ![6, 17].contains(&nr));
            (!is_known)
                .then(|| format!("protocol is never '{value}': it is TCP, UDP or an IANA number, such as 1 for ICMP"))
        }
        "src_ip" | "dst_ip" => match parse_ip(value) {
            None => Some(format!(
                "{column} is never '{value}': that is not an address; for a range write {column} <<= '10.20.1.0/24'"
            )),
            Some(ip) if ip.to_string() != value => Some(format!("{column} is never '{value}': it is written '{ip}'")),
            Some(_) => None,
        },
        _ => None,
    }
}

fn alternatives(names: &[&str]) -> String {
    match names {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        names => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_of_a_column_are_named() {
        for (column, value) in [
            ("decision", "Deny"),
            ("direction", "out"),
            ("state", "E"),
            ("protocol", "tcp"),
            ("protocol", "6"),
            ("dst_ip", "10.20.1.300"),
            ("src_ip", "2001:DB8::1"),
        ] {
            let note = never(column, value).unwrap_or_else(|| panic!("{column} {value}"));
            assert!(note.starts_with(&format!("{column} is never '{value}'")), "{note}");
        }
        for (column, value) in [("decision", "deny"), ("protocol", "1"), ("src_ip", "2001:db8::1"), ("rule", "x")] {
            assert_eq!(never(column, value), None, "{column} {value}");
        }
    }
}
