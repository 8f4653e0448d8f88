//! An analyzer rule that keeps comparisons exact.
//!
//! The optimizer rewrites `CAST(column AS type) = constant` into `column = constant`, with the constant cast to the
//! type of the column. The rewrite is wrong where either cast is lossy. A cast may drop the seconds of a time, the
//! digits after a millisecond, or the hours between two zones. The rule hides such casts from the optimizer.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TryCast, Volatility, cast,
};
use datafusion::optimizer::AnalyzerRule;

/// Hides casts that are compared with constants from the optimizer. Runs after type coercion.
#[derive(Debug)]
pub struct ExactComparisons;

impl AnalyzerRule for ExactComparisons {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(exact)?.data)
    }

    fn name(&self) -> &str {
        "exact_comparisons"
    }
}

fn exact(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| compared(expr, &schema))?;
        Ok(if rewritten.transformed { rewritten.update_data(|expr| name.restore(expr)) } else { rewritten })
    })
}

/// Rewrites `expr` if it is a comparison.
fn compared(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
            let mut sides = [*left, *right];
            let is_changed = keep_digits(&mut sides, schema) | hide_casts(&mut sides, schema);
            let [left, right] = sides.map(Box::new);
            Ok(changed(Expr::BinaryExpr(BinaryExpr { left, op, right }), is_changed))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let mut sides = [*expr, *low, *high];
            let is_changed = keep_digits(&mut sides, schema) | hide_casts(&mut sides, schema);
            let [expr, low, high] = sides.map(Box::new);
            Ok(changed(Expr::Between(Between { expr, negated, low, high }), is_changed))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let mut sides: Vec<Expr> = std::iter::once(*expr).chain(list).collect();
            let is_changed = keep_digits(&mut sides, schema) | hide_casts(&mut sides, schema);
            let list = sides.split_off(1);
            let Some(expr) = sides.pop() else { return plan_err!("a list without its expression") };
            Ok(changed(Expr::InList(InList { expr: Box::new(expr), list, negated }), is_changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn changed(expr: Expr, is_changed: bool) -> Transformed<Expr> {
    if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) }
}

/// Hides lossy casts of columns if another side is constant. Returns whether a side changed.
fn hide_casts(sides: &mut [Expr], schema: &DFSchema) -> bool {
    if !sides.iter().any(is_constant) {
        return false;
    }
    let mut is_changed = false;
    for side in sides.iter_mut().filter(|side| !is_constant(side)) {
        if let Some(hidden) = hidden(side, schema) {
            *side = hidden;
            is_changed = true;
        }
    }
    is_changed
}

fn is_constant(expr: &Expr) -> bool {
    expr.column_refs().is_empty()
}

/// Returns `expr` with its outermost lossy cast hidden. Returns `None` if no cast in the chain is lossy.
fn hidden(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    let (inner, to) = match expr {
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            (&**expr, field.data_type().clone())
        }
        // The optimizer rewrites calls of these functions into casts.
        Expr::ScalarFunction(call) if CASTS.contains(&call.name()) => (call.args.first()?, expr.get_type(schema).ok()?),
        _ => return None,
    };
    if !inner.get_type(schema).is_ok_and(|from| keeps_all(&from, &to)) {
        return Some(as_is().call(vec![expr.clone()]));
    }
    Some(cast(hidden(inner, schema)?, to))
}

const CASTS: [&str; 4] = ["arrow_cast", "arrow_try_cast", "cast_to_type", "try_cast_to_type"];

/// Returns whether the cast from `from` to `to` maps distinct values to distinct values in the same order.
fn keeps_all(from: &DataType, to: &DataType) -> bool {
    if from.is_integer() && to.is_integer() {
        let (Some(narrow), Some(wide)) = (from.primitive_width(), to.primitive_width()) else { return false };
        return match (from.is_signed_integer(), to.is_signed_integer()) {
            (true, false) => false,
            (false, true) => narrow < wide,
            _ => narrow <= wide,
        };
    }
    from == to || from.is_string() && to.is_string()
}

/// Casts all sides to nanoseconds if a constant text has more digits than the milliseconds of the time it is compared
/// with. Returns whether the sides changed.
fn keep_digits(sides: &mut [Expr], schema: &DFSchema) -> bool {
    let zone = sides.iter().find_map(|side| match side.get_type(schema) {
        Ok(DataType::Timestamp(TimeUnit::Millisecond, zone)) if !is_constant(side) => Some(zone),
        _ => None,
    });
    let Some(zone) = zone else { return false };
    let fine = DataType::Timestamp(TimeUnit::Nanosecond, zone);
    if !sides.iter().any(|side| in_nanoseconds(side, &fine).is_some_and(|value| has_more_digits(&value))) {
        return false;
    }
    for side in sides.iter_mut() {
        *side = match in_nanoseconds(side, &fine) {
            Some(value) => Expr::Literal(value, None),
            None => cast(side.clone(), fine.clone()),
        };
    }
    true
}

/// Returns, in nanoseconds, the time of a literal text that type coercion has cast to milliseconds.
fn in_nanoseconds(expr: &Expr, fine: &DataType) -> Option<ScalarValue> {
    let Expr::Cast(Cast { expr, field }) = expr else { return None };
    match (&**expr, field.data_type()) {
        (Expr::Literal(text, _), DataType::Timestamp(TimeUnit::Millisecond, _)) if text.data_type().is_string() => {
            text.cast_to(fine).ok()
        }
        _ => None,
    }
}

fn has_more_digits(value: &ScalarValue) -> bool {
    matches!(value, ScalarValue::TimestampNanosecond(Some(value), _) if value % 1_000_000 != 0)
}

/// Returns the function `as_is(value)`, which the optimizer cannot see through.
pub fn as_is() -> &'static ScalarUDF {
    static AS_IS: LazyLock<ScalarUDF> = LazyLock::new(|| ScalarUDF::from(AsIs::new()));
    &AS_IS
}

/// A function that returns its argument.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct AsIs {
    signature: Signature,
}

impl AsIs {
    pub const NAME: &'static str = "as_is";

    fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for AsIs {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [argument] => Ok(argument.clone()),
            _ => plan_err!("{} takes one argument", Self::NAME),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields {
            [field] => Ok(Arc::new(field.as_ref().clone().with_name(Self::NAME))),
            _ => plan_err!("{} takes one argument", Self::NAME),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [argument] => Ok(argument.clone()),
            _ => plan_err!("{} takes one argument", Self::NAME),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_integers_keep_all() {
        use DataType::{Int8, Int16, Int32, Int64, UInt16, UInt64, Utf8, Utf8View};
        for (from, to) in [(UInt16, Int32), (UInt16, UInt16), (Int8, Int64), (UInt16, UInt64), (Utf8, Utf8View)] {
            assert!(keeps_all(&from, &to), "{from} {to}");
        }
        let second = DataType::Timestamp(TimeUnit::Second, None);
        let ms = DataType::Timestamp(TimeUnit::Millisecond, None);
        for (from, to) in
            [(UInt16, Int16), (Int64, Int32), (Int8, UInt64), (Utf8, Int64), (ms.clone(), second), (ms, Int64)]
        {
            assert!(!keeps_all(&from, &to), "{from} {to}");
        }
    }
}
