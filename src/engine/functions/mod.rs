//! SQL functions: those of the analysis, and those that user queries may call.

pub(super) mod analysis;
mod frequent;
pub(super) mod locator;
pub(super) mod user;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

fn immutable(
    name: &str,
    arguments: Vec<DataType>,
    result: DataType,
    call: impl Fn(&[ArrayRef]) -> ArrayRef + Send + Sync + 'static,
) -> ScalarUDF {
    let call = move |args: &[ColumnarValue]| -> Result<ColumnarValue> {
        Ok(ColumnarValue::Array(call(&ColumnarValue::values_to_arrays(args)?)))
    };
    create_udf(name, arguments, result, Volatility::Immutable, Arc::new(call))
}

pub(super) fn text(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}
