//! Size limits on the results of functions, so that numbers in a query cannot decide how much memory it takes.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_empty_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, IntervalMonthDayNanoType, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Documentation, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr::expressions::{self, Column};
use datafusion::physical_plan::PhysicalExpr;

/// Maximum bytes of one value.
const MOST_OF_A_VALUE: u64 = 16 << 20;
/// Maximum bytes of all values of one call, which processes one batch of rows.
const MOST_OF_A_CALL: u64 = 64 << 20;
/// Maximum bytes of all constants of one query. The limit is low, because the planner copies constants many times.
const MOST_OF_CONSTANTS: u64 = 8 << 20;

/// Returns an upper bound, in bytes, on the value that a function returns for a row.
type Size = fn(&[ArrayRef], usize) -> u64;

/// Functions whose results may be larger than their arguments.
const SIZES: [(&str, Size); 19] = [
    ("repeat", |args, row| text(args, 0, row).saturating_mul(number(args, 1, row))),
    ("lpad", padded),
    ("rpad", padded),
    ("replace", replaced),
    ("regexp_replace", replaced_by_pattern),
    (Joined::NAME, sum),
    ("concat", sum),
    ("concat_ws", |args, row| sum(args, row).saturating_add(text(args, 0, row).saturating_mul(args.len() as u64))),
    ("overlay", sum),
    ("array_to_string", |args, row| {
        let each = 24 + text(args, 1, row).saturating_add(text(args, 2, row));
        weight(&args[0], row).saturating_add(length(args, 0, row).saturating_mul(each))
    }),
    ("string_to_array", |args, row| text(args, 0, row).saturating_mul(17)),
    ("range", steps),
    ("generate_series", steps),
    ("array_repeat", |args, row| weight(&args[0], row).saturating_mul(number(args, 1, row))),
    ("array_resize", |args, row| {
        let each = args.get(2).map_or(8, |fill| weight(fill, row).max(8));
        number(args, 1, row).saturating_mul(each).saturating_add(weight(&args[0], row))
    }),
    ("array_concat", sum),
    ("make_array", sum),
    ("struct", sum),
    ("named_struct", sum),
];

/// Functions that fail on a batch without rows.
const NEEDS_A_ROW: [&str; 1] = ["to_char"];

fn size_of(name: &str) -> Option<Size> {
    SIZES.iter().find(|(known, _)| *known == name).map(|(_, size)| *size)
}

/// Wraps the functions of a plan in [`Bounded`]. Runs after type coercion.
#[derive(Debug)]
pub struct BoundFunctions;

impl AnalyzerRule for BoundFunctions {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let bound = |plan: LogicalPlan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let bounded = expr.transform_up(bounded)?;
                Ok(if bounded.transformed { bounded.update_data(|expr| name.restore(expr)) } else { bounded })
            })
        };
        Ok(plan.transform_up_with_subqueries(bound)?.data)
    }

    fn name(&self) -> &str {
        "bound_functions"
    }
}

/// Returns a function with limits on the size of its results.
pub fn bound(inner: Arc<ScalarUDF>) -> ScalarUDF {
    ScalarUDF::from(Bounded { inner })
}

/// Returns whether a function has limits on the size of its results.
pub fn is_bounded(function: &ScalarUDF) -> bool {
    function.inner().is::<Bounded>()
}

/// Name of the function of [`joined`].
pub const JOINED: &str = Joined::NAME;

/// Returns the operator `a || b` as a function with a limit.
pub fn joined() -> ScalarUDF {
    bound(Arc::new(ScalarUDF::from(Joined::new())))
}

fn bounded(expr: Expr) -> Result<Transformed<Expr>> {
    let call = match expr {
        Expr::ScalarFunction(call) => call,
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
            ScalarFunction { func: Arc::new(ScalarUDF::from(Joined::new())), args: vec![*left, *right] }
        }
        other => return Ok(Transformed::no(other)),
    };
    let ScalarFunction { func, args } = call;
    let is_known = size_of(func.name()).is_some() || NEEDS_A_ROW.contains(&func.name());
    if !is_known || is_bounded(&func) {
        return Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })));
    }
    let func = Arc::new(bound(func));
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
}

thread_local! {
    /// Bytes of the constants folded while this thread plans a query; `None` while it does not plan.
    static PLANNED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Runs `plan` on this thread, with one limit on all constants that it folds.
pub fn planning<T>(plan: impl FnOnce() -> T) -> T {
    struct Planning;
    impl Drop for Planning {
        fn drop(&mut self) {
            PLANNED.set(None);
        }
    }
    PLANNED.set(Some(0));
    let _planning = Planning;
    plan()
}

/// A function with limits on the size of its results.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
}

impl Bounded {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let Some(size) = size_of(self.name()) else { return Ok(()) };
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let rows = if is_constant { args.number_rows.min(1) } else { args.number_rows };
        let mut total = 0_u64;
        for row in 0..rows {
            let size = size(&arrays, row);
            if size > MOST_OF_A_VALUE {
                return exec_err!("{} makes a value of {size} bytes, and the limit is {MOST_OF_A_VALUE}", self.name());
            }
            total += size;
        }
        let most = match PLANNED.get() {
            Some(planned) => {
                total += planned;
                PLANNED.set(Some(total));
                MOST_OF_CONSTANTS
            }
            None => MOST_OF_A_CALL,
        };
        if total > most {
            return exec_err!("{} makes values of {total} bytes together, and the limit is {most}", self.name());
        }
        Ok(())
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arguments)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_empty = args.number_rows == 0 && args.args.iter().any(|arg| matches!(arg, ColumnarValue::Array(_)));
        if is_empty && NEEDS_A_ROW.contains(&self.name()) {
            return Ok(ColumnarValue::Array(new_empty_array(args.return_type())));
        }
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// The operator `a || b` as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Joined {
    signature: Signature,
}

impl Joined {
    const NAME: &'static str = "||";

    fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }

    /// Returns the operator of DataFusion, applied to the first two columns.
    fn operator(types: &[DataType]) -> (Schema, expressions::BinaryExpr) {
        let fields: Vec<Field> =
            types.iter().enumerate().map(|(at, kind)| Field::new(at.to_string(), kind.clone(), true)).collect();
        let side = |at: usize| Arc::new(Column::new(&at.to_string(), at)) as Arc<dyn PhysicalExpr>;
        (Schema::new(fields), expressions::BinaryExpr::new(side(0), Operator::StringConcat, side(1)))
    }
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &str {
        Self::NAME
    }

    /// Returns the name that the operator has. DataFusion would put an aggregate with another name under an alias. The
    /// alias would keep the optimizer from turning `count(DISTINCT a || b)` into a GROUP BY, which can spill to disk.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(names.join(" || "))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let (schema, operator) = Self::operator(arguments);
        operator.data_type(&schema)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = args.args.iter().map(|arg| arg.to_array(if is_constant { 1 } else { args.number_rows }));
        let arrays: Vec<ArrayRef> = arrays.collect::<Result<_>>()?;
        let types: Vec<DataType> = arrays.iter().map(|array| array.data_type().clone()).collect();
        let (schema, operator) = Self::operator(&types);
        let joined = operator.evaluate(&RecordBatch::try_new(Arc::new(schema), arrays)?)?;
        match joined {
            ColumnarValue::Array(array) if is_constant => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            other => Ok(other),
        }
    }
}

/// Returns the bytes of a text; 0 if there is none.
fn text(args: &[ArrayRef], at: usize, row: usize) -> u64 {
    args.get(at).map_or(0, |array| text_of(array, row).map_or(0, |text| text.len() as u64))
}

fn text_of(array: &ArrayRef, row: usize) -> Option<&str> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Some(array.as_string_view().value(row)),
        _ => None,
    }
}

/// Returns a repeat count; 0 if it is negative.
fn number(args: &[ArrayRef], at: usize, row: usize) -> u64 {
    args.get(at).and_then(|array| integer(array, row)).map_or(0, |number| u64::try_from(number).unwrap_or(0))
}

fn integer(array: &ArrayRef, row: usize) -> Option<i64> {
    let one = cast(&array.slice(row, 1), &DataType::Int64).ok()?;
    one.is_valid(0).then(|| one.as_primitive::<Int64Type>().value(0))
}

/// Returns the number of elements of a list.
fn length(args: &[ArrayRef], at: usize, row: usize) -> u64 {
    let Some(array) = args.get(at).filter(|array| array.is_valid(row)) else { return 0 };
    match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().value_length(row) as u64,
        DataType::LargeList(_) => array.as_list::<i64>().value_length(row) as u64,
        _ => 0,
    }
}

/// Estimates the bytes of a value.
pub fn weight(array: &ArrayRef, row: usize) -> u64 {
    if array.is_null(row) {
        return 8;
    }
    let all = |values: &ArrayRef| match values.data_type().primitive_width() {
        Some(width) => 8 + (values.len() * width) as u64,
        None => (0..values.len()).fold(8, |sum: u64, row| sum.saturating_add(weight(values, row))),
    };
    match array.data_type() {
        DataType::List(_) => all(&array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => all(&array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => all(&array.as_fixed_size_list().value(row)),
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| weight(column, row)).sum(),
        _ => 16 + text_of(array, row).map_or(0, |text| text.len() as u64),
    }
}

fn sum(args: &[ArrayRef], row: usize) -> u64 {
    args.iter().fold(0, |sum, array| sum.saturating_add(weight(array, row)))
}

fn padded(args: &[ArrayRef], row: usize) -> u64 {
    let is_ascii = |at: usize| args.get(at).and_then(|array| text_of(array, row)).is_none_or(str::is_ascii);
    number(args, 1, row).saturating_mul(if is_ascii(0) && is_ascii(2) { 1 } else { 4 })
}

fn replaced(args: &[ArrayRef], row: usize) -> u64 {
    let (Some(whole), Some(part)) = (text_of(&args[0], row), text_of(&args[1], row)) else { return 0 };
    let count = if part.is_empty() { whole.len() + 1 } else { whole.matches(part).count() };
    (whole.len() as u64).saturating_add((count as u64).saturating_mul(text(args, 2, row)))
}

/// Assumes a match at every position. The text of a match is repeated once per reference in the replacement.
fn replaced_by_pattern(args: &[ArrayRef], row: usize) -> u64 {
    let (whole, by) = (text(args, 0, row), args.get(2).and_then(|array| text_of(array, row)).unwrap_or_default());
    let named = by.matches(['$', '\\']).count() as u64;
    whole.saturating_mul(1 + named).saturating_add((whole + 1).saturating_mul(by.len() as u64))
}

/// Returns the bytes of a series from a first to a last element by steps, at 8 bytes per element.
fn steps(args: &[ArrayRef], row: usize) -> u64 {
    let at = |at: usize| args.get(at).and_then(|array| integer(array, row));
    let count = match args {
        [_] => at(0).map(|last| u64::try_from(last).unwrap_or(0)),
        [_, _] => at(0).zip(at(1)).map(|(first, last)| first.abs_diff(last)),
        [first, _, step, ..] => {
            at(0).zip(at(1)).map(|(a, b)| a.abs_diff(b) / step_of(first.data_type(), step, row).max(1))
        }
        [] => None,
    };
    count.unwrap_or(0).saturating_mul(8)
}

/// Returns the length of a step in the unit of the values that it is added to.
fn step_of(kind: &DataType, step: &ArrayRef, row: usize) -> u64 {
    if !matches!(step.data_type(), DataType::Interval(_)) {
        return integer(step, row).map_or(1, i64::unsigned_abs);
    }
    if step.is_null(row) {
        return 1;
    }
    let Some(step) = step.as_primitive_opt::<IntervalMonthDayNanoType>().map(|steps| steps.value(row)) else {
        return 1;
    };
    let days = i64::from(step.months) * 28 + i64::from(step.days);
    match kind {
        DataType::Date32 => days.unsigned_abs(),
        _ => days.saturating_mul(86_400_000_000_000).saturating_add(step.nanoseconds).unsigned_abs(),
    }
}
