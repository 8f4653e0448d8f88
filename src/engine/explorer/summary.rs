//! Plans of our own: `SUMMARIZE`, one row per column of a query, computed in one scan; and `DESCRIBE`.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::functions::core::expr_fn::{get_field, named_struct};
use datafusion::functions::expr_fn::round;
use datafusion::functions_aggregate::expr_fn::{approx_distinct, avg, count, max, min};
use datafusion::functions_nested::expr_fn::make_array;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, col, lit};

use crate::schema::type_name;

/// Returns the plan of a statement whose rows are not those of the plan that the engine makes for it.
pub fn special(plan: LogicalPlan, is_summary: bool) -> Result<LogicalPlan> {
    match plan {
        plan if is_summary => summary(plan),
        LogicalPlan::DescribeTable(table) => description(&table.schema),
        plan => Ok(plan),
    }
}

/// Returns the plan of a summary of the rows of `plan`.
fn summary(plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = plan.schema().as_ref().clone();
    let mut counts = vec![count(lit(1_i64)).alias("rows")];
    let mut columns = Vec::new();
    for nr in 0..schema.fields().len() {
        let (own, column) = described(&schema, nr);
        counts.extend(own);
        columns.push(column);
    }
    let fields = ["column_name", "column_type", "min", "max", "approx_distinct", "avg", "nulls"];
    LogicalPlanBuilder::from(plan)
        .aggregate(Vec::<Expr>::new(), counts)?
        .project([make_array(columns).alias("columns")])?
        .unnest_column("columns")?
        .project(fields.map(|field| get_field(col("columns"), field).alias(field)))?
        .build()
}

/// Returns the aggregates of a column, and the struct that is made of their results.
fn described(schema: &DFSchema, nr: usize) -> (Vec<Expr>, Expr) {
    let (qualifier, field) = schema.qualified_field(nr);
    let column = || Expr::from((qualifier, field));
    let data_type = field.data_type();
    let named = |what: &str| format!("{what}_{nr}");
    let is_text = matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
    let is_ordered = is_text || data_type.is_numeric() || data_type.is_temporal();
    let mut own = vec![count(column()).alias(named("known"))];
    if is_ordered {
        own.extend([min(column()).alias(named("min")), max(column()).alias(named("max"))]);
    }
    if is_text || data_type.is_integer() || matches!(data_type, DataType::Timestamp(..)) {
        own.push(approx_distinct(column()).alias(named("distinct")));
    }
    if data_type.is_numeric() {
        own.push(avg(cast(column(), DataType::Float64)).alias(named("avg")));
    }
    let has = |what: &str| own.iter().any(|expr| matches!(expr, Expr::Alias(alias) if alias.name == named(what)));
    let or_null = |what: &str, data_type: DataType| match has(what) {
        true => cast(col(named(what)), data_type),
        false => cast(lit(ScalarValue::Null), data_type),
    };
    let fields = named_struct(vec![
        lit("column_name"),
        lit(field.name().as_str()),
        lit("column_type"),
        lit(type_name(data_type)),
        lit("min"),
        or_null("min", DataType::Utf8),
        lit("max"),
        or_null("max", DataType::Utf8),
        lit("approx_distinct"),
        or_null("distinct", DataType::UInt64),
        lit("avg"),
        round(vec![or_null("avg", DataType::Float64), lit(1_i64)]),
        lit("nulls"),
        col("rows") - col(named("known")),
    ]);
    (own, fields)
}

/// Returns the plan of `DESCRIBE`: columns with the names of types that the documents use.
fn description(schema: &Schema) -> Result<LogicalPlan> {
    let column = |value: fn(&Field) -> String| -> ArrayRef {
        Arc::new(schema.fields().iter().map(|field| Some(value(field))).collect::<StringArray>())
    };
    let yes_or_no = |field: &Field| if field.is_nullable() { "YES" } else { "NO" }.to_owned();
    let batch = RecordBatch::try_from_iter([
        ("column_name", column(|field| field.name().clone())),
        ("data_type", column(|field| type_name(field.data_type()))),
        ("is_nullable", column(yes_or_no)),
    ])?;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
    LogicalPlanBuilder::scan("columns", provider_as_source(Arc::new(table)), None)?.build()
}
