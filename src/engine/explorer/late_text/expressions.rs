//! Rewrites of expressions over columns, some of which hold numbers.

use std::sync::LazyLock;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, ScalarUDF};

use super::numbers::{Number, as_text};
use crate::engine::functions::analysis::IpIn;
use crate::engine::scan::pushdown::canonical_ip;

/// Lookup of the number that a column holds.
pub type Find<'a> = dyn Fn(&Column) -> Option<Number> + 'a;

/// Returns `expr` with each number replaced by its text, and these numbers.
pub fn with_texts(expr: Expr, find: &Find) -> Result<(Expr, Vec<Number>)> {
    let mut used = Vec::new();
    let expr = expr.transform_down(|expr| Ok(text_of(expr, find, &mut used)))?.data;
    Ok((expr, used))
}

/// Rewrites a condition as [`with_texts`] does, but keeps the numbers in tests of equality.
pub fn with_equalities(condition: Expr, find: &Find) -> Result<(Expr, Vec<Number>)> {
    let mut used = Vec::new();
    let rewrite = |expr| match equality(&expr, find) {
        Some(equality) => Ok(Transformed::new(equality, true, TreeNodeRecursion::Jump)),
        None => Ok(text_of(expr, find, &mut used)),
    };
    let condition = condition.transform_down(rewrite)?.data;
    Ok((condition, used))
}

fn text_of(expr: Expr, find: &Find, used: &mut Vec<Number>) -> Transformed<Expr> {
    let Expr::Column(column) = &expr else { return Transformed::no(expr) };
    let Some(number) = find(column) else { return Transformed::no(expr) };
    let text = as_text(expr, &number);
    used.push(number);
    Transformed::new(text, true, TreeNodeRecursion::Jump)
}

/// Returns the condition over numbers that equals `expr` over texts, if there is one.
fn equality(expr: &Expr, find: &Find) -> Option<Expr> {
    let number = |expr: &Expr| match expr {
        Expr::Column(column) => find(column),
        _ => None,
    };
    match expr {
        Expr::IsNull(column) | Expr::IsNotNull(column) => number(column).map(|_| expr.clone()),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_equality(*op) => match (number(left), number(right)) {
            (Some(one), Some(other)) => (one.text == other.text).then(|| expr.clone()),
            (Some(_), None) => is_address(left, *op, right),
            (None, Some(_)) => is_address(right, *op, left),
            (None, None) => None,
        },
        _ => None,
    }
}

fn is_equality(op: Operator) -> bool {
    matches!(op, Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
}

/// Returns the comparison of a number with a constant address.
fn is_address(number: &Expr, op: Operator, constant: &Expr) -> Option<Expr> {
    static IP_IN: LazyLock<ScalarUDF> = LazyLock::new(|| ScalarUDF::from(IpIn::new()));
    let Expr::Literal(constant, _) = constant else { return None };
    let text = constant.try_as_str().flatten()?;
    canonical_ip(text)?;
    let constant = Expr::Literal(ScalarValue::Utf8View(Some(text.to_owned())), None);
    let is_address = IP_IN.call(vec![number.clone(), constant]);
    match op {
        Operator::Eq => Some(is_address),
        Operator::NotEq => Some(Expr::Not(Box::new(is_address))),
        _ => None,
    }
}

/// Returns whether an expression of the operator contains a subquery.
pub fn has_subquery(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found |= expr.exists(|expr| {
            let is_subquery = matches!(
                expr,
                Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) | Expr::ScalarSubquery(_)
            );
            Ok(is_subquery)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
