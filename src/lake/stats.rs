//! Statistics of a Parquet file in the form of the Delta log.

use std::cmp::Ordering;

use parquet::basic::LogicalType;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use serde_json::{Map, Value, json};

use crate::time::Timestamp;

/// A value that is compared before it becomes JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Bound {
    Number(i64),
    Time(i64),
    Text(String),
}

impl Bound {
    fn json(self) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Time(micros) => json!(Timestamp(micros.div_euclid(1000)).to_string()),
            Self::Text(text) => json!(text),
        }
    }
}

/// Returns the statistics of a file: number of rows, and per column the least and the greatest value and the nulls.
pub fn of(file: &ParquetMetaData) -> String {
    let (mut min, mut max, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (nr, column) in file.file_metadata().schema_descr().columns().iter().enumerate() {
        let is_time = matches!(column.logical_type_ref(), Some(LogicalType::Timestamp { .. }));
        let groups = || file.row_groups().iter().map(move |group| group.column(nr));
        let null_count: Option<u64> =
            groups().map(|group| group.statistics().and_then(Statistics::null_count_opt)).sum();
        let bounds = |of: fn(&Statistics, bool) -> Option<Bound>, keeps: Ordering| {
            let known = groups().filter_map(|group| {
                let is_null =
                    group.statistics().and_then(Statistics::null_count_opt) == Some(group.num_values() as u64);
                (!is_null).then(|| group.statistics().and_then(|statistics| of(statistics, is_time)))
            });
            // One unknown bound makes the whole unknown.
            let known: Option<Vec<Bound>> = known.collect();
            known?.into_iter().reduce(|a, b| if b.cmp(&a) == keeps { b } else { a })
        };
        let name = column.name().to_owned();
        min.extend(bounds(least, Ordering::Less).map(|bound| (name.clone(), bound.json())));
        max.extend(bounds(greatest, Ordering::Greater).map(|bound| (name.clone(), bound.json())));
        nulls.extend(null_count.map(|count| (name, json!(count))));
    }
    let rows = file.file_metadata().num_rows();
    json!({ "numRecords": rows, "minValues": min, "maxValues": max, "nullCount": nulls }).to_string()
}

fn least(statistics: &Statistics, is_time: bool) -> Option<Bound> {
    match statistics {
        Statistics::Int32(values) => values.min_opt().map(|value| Bound::Number((*value).into())),
        Statistics::Int64(values) => values.min_opt().map(|value| number(*value, is_time)),
        Statistics::ByteArray(values) => values.min_opt().and_then(|value| text(value.data())),
        _ => None,
    }
}

fn greatest(statistics: &Statistics, is_time: bool) -> Option<Bound> {
    match statistics {
        Statistics::Int32(values) => values.max_opt().map(|value| Bound::Number((*value).into())),
        Statistics::Int64(values) => values.max_opt().map(|value| number(*value, is_time)),
        Statistics::ByteArray(values) => values.max_opt().and_then(|value| text(value.data())),
        _ => None,
    }
}

fn number(value: i64, is_time: bool) -> Bound {
    if is_time { Bound::Time(value) } else { Bound::Number(value) }
}

fn text(bytes: &[u8]) -> Option<Bound> {
    std::str::from_utf8(bytes).ok().map(|text| Bound::Text(text.to_owned()))
}
