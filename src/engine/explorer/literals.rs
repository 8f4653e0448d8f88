//! Constants that are given as text and compared with times and numbers: lenient forms of times, and errors that name
//! the text.

use std::fmt;

use arrow::array::timezone::Tz;
use arrow::datatypes::DataType;
use chrono::Utc;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use crate::engine::functions::text;
use crate::time::typed;

/// Reads constants that a query gives as text. Runs after type coercion, which casts them to the type of the other
/// side.
#[derive(Debug)]
pub struct TypedLiterals;

impl AnalyzerRule for TypedLiterals {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let read = |plan: LogicalPlan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let read = expr.transform_down(read)?;
                Ok(if read.transformed { read.update_data(|expr| name.restore(expr)) } else { read })
            })
        };
        Ok(plan.transform_up_with_subqueries(read)?.data)
    }

    fn name(&self) -> &str {
        "typed_literals"
    }
}

/// A text that does not have the type that it is compared with.
#[derive(Debug)]
pub struct Misread {
    /// The text, without quotes.
    pub text: String,
    why: String,
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Misread {}

fn read(expr: Expr) -> Result<Transformed<Expr>> {
    match &expr {
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => check([&**left, &**right])?,
        Expr::Between(Between { expr, low, high, .. }) => check([&**expr, &**low, &**high])?,
        Expr::InList(InList { expr, list, .. }) => check(std::iter::once(&**expr).chain(list))?,
        _ => {}
    }
    let Some((text, to)) = constant(&expr) else { return Ok(Transformed::no(expr)) };
    if !matches!(to, DataType::Timestamp(..)) || ScalarValue::from(text).cast_to(to).is_ok() {
        return Ok(Transformed::no(expr));
    }
    let utc: Tz = "UTC".parse()?;
    let time = typed::time(text, Utc::now().timestamp_millis(), &utc).ok_or_else(|| {
        let why = format!("'{text}' is not a time: write one like {}; without an offset it is in UTC", typed::TIMES);
        DataFusionError::External(Box::new(Misread { text: text.to_owned(), why }))
    })?;
    let value = ScalarValue::TimestampMillisecond(Some(time.0), Some("UTC".into()));
    Ok(Transformed::yes(Expr::Literal(value.cast_to(to)?, None)))
}

/// Returns an error if a side is a text that is no number although the other is one.
fn check<'a>(sides: impl IntoIterator<Item = &'a Expr>) -> Result<()> {
    let sides: Vec<&Expr> = sides.into_iter().collect();
    let column = sides.iter().find_map(|side| side.try_as_col());
    for (text, to) in sides.iter().filter_map(|side| constant(side)) {
        if to.is_numeric() && ScalarValue::from(text).cast_to(to).is_err() {
            let name = column.map_or("the other side", |column| column.name());
            let range = match to {
                DataType::UInt16 if text.parse::<f64>().is_ok() => "a whole number from 0 to 65535",
                _ => "a number",
            };
            let why = format!("{name} is {range}, and '{text}' is not");
            return Err(DataFusionError::External(Box::new(Misread { text: text.to_owned(), why })));
        }
    }
    Ok(())
}

/// Returns the text of a constant and the type that it is cast to.
fn constant(expr: &Expr) -> Option<(&str, &DataType)> {
    let Expr::Cast(Cast { expr, field }) = expr else { return None };
    let Expr::Literal(value, _) = &**expr else { return None };
    Some((text(value)?, field.data_type()))
}
