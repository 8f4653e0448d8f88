//! Aggregates that count equal values: `mode(x)` and `histogram(x)`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

/// Returns the aggregates.
pub fn all() -> [AggregateUDF; 2] {
    let signature = || Signature::any(1, Volatility::Immutable);
    [Answer::Mode, Answer::Histogram].map(|answer| AggregateUDF::from(Frequent { signature: signature(), answer }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    /// The most frequent value; of equally frequent ones the least.
    Mode,
    /// Each value with its count, in the order of the values.
    Histogram,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Frequent {
    signature: Signature,
    answer: Answer,
}

fn pair(value: &DataType) -> Fields {
    Fields::from(vec![Field::new("value", value.clone(), true), Field::new("count", DataType::Int64, false)])
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

impl AggregateUDFImpl for Frequent {
    fn name(&self) -> &str {
        match self.answer {
            Answer::Mode => "mode",
            Answer::Histogram => "histogram",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let value = arguments.first().cloned().unwrap_or(DataType::Null);
        Ok(match self.answer {
            Answer::Mode => value,
            Answer::Histogram => list(DataType::Struct(pair(&value))),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let value = args.input_fields.first().map_or(DataType::Null, |field| field.data_type().clone());
        Ok(vec![
            Arc::new(Field::new("values", list(value), true)),
            Arc::new(Field::new("counts", list(DataType::Int64), true)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let data_type = args.expr_fields.first().map_or(DataType::Null, |field| field.data_type().clone());
        Ok(Box::new(Counts { answer: self.answer, data_type, counts: HashMap::new(), bytes: 0 }))
    }
}

#[derive(Debug)]
struct Counts {
    answer: Answer,
    data_type: DataType,
    counts: HashMap<ScalarValue, i64>,
    /// Bytes of the values.
    bytes: usize,
}

impl Counts {
    fn add(&mut self, value: ScalarValue, count: i64) {
        let bytes = &mut self.bytes;
        *self.counts.entry(value).or_insert_with_key(|value| {
            *bytes += value.size() + size_of::<i64>();
            0
        }) += count;
    }

    /// Returns the values with their counts, in the order of the values.
    fn sorted(&self) -> Vec<(&ScalarValue, i64)> {
        let mut all: Vec<(&ScalarValue, i64)> = self.counts.iter().map(|(value, count)| (value, *count)).collect();
        all.sort_by(|(one, _), (other, _)| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
        all
    }

    fn columns(&self, pairs: &[(&ScalarValue, i64)]) -> Result<(ArrayRef, ArrayRef)> {
        let values = match pairs {
            [] => arrow::array::new_empty_array(&self.data_type),
            pairs => ScalarValue::iter_to_array(pairs.iter().map(|(value, _)| (*value).clone()))?,
        };
        Ok((values, Arc::new(Int64Array::from_iter_values(pairs.iter().map(|(_, count)| *count)))))
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let column = &values[0];
        for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
            self.add(ScalarValue::try_from_array(column, row)?.compacted(), 1);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sorted = self.sorted();
        match self.answer {
            Answer::Mode => {
                // The first of the highest count.
                let most = sorted.iter().rev().max_by_key(|(_, count)| *count);
                most.map_or_else(|| ScalarValue::try_from(&self.data_type), |(value, _)| Ok((*value).clone()))
            }
            Answer::Histogram => {
                let (values, counts) = self.columns(&sorted)?;
                let pairs = StructArray::try_new(pair(&self.data_type), vec![values, counts], None)?;
                let element = Arc::new(Field::new_list_field(pairs.data_type().clone(), true));
                let offsets = OffsetBuffer::from_lengths([pairs.len()]);
                Ok(ScalarValue::List(Arc::new(ListArray::try_new(element, offsets, Arc::new(pairs), None)?)))
            }
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.bytes + self.counts.capacity() * size_of::<(ScalarValue, i64)>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (values, counts) = self.columns(&self.sorted())?;
        let lists = [values, counts].map(|column| SingleRowListArrayBuilder::new(column).build_list_scalar());
        Ok(lists.into())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (values, counts) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for (values, counts) in values.iter().zip(counts.iter()) {
            let (Some(values), Some(counts)) = (values, counts) else { continue };
            let counts = counts.as_primitive::<Int64Type>();
            for row in 0..values.len() {
                self.add(ScalarValue::try_from_array(&values, row)?.compacted(), counts.value(row));
            }
        }
        Ok(())
    }
}
