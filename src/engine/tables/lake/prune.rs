//! Conditions of a query in the types of the files of a lake, for statistics of files, row groups and pages. They may
//! keep more rows than the query wants, and never fewer.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, SchemaRef};
use chrono::DateTime;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column as Name, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::expressions::{binary, col, lit};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::PhysicalExpr;
use serde_json::{Map, Value};

use crate::decode::Predicate;
use crate::lake::{DataFile, columns};
use crate::net::{IpSet, PortSet, address};
use crate::schema::Column;
use crate::time::{DAY, TimeRange};

/// Largest number of alternatives that statistics are compared with.
const ALTERNATIVES: usize = 20;

/// A condition that a text column is one of some texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOf {
    column: Column,
    texts: Vec<String>,
}

/// Returns the condition on a stored text that `filter` is, if it is one.
pub fn one_of(filter: &Expr) -> Option<OneOf> {
    let text = |expr: &Expr| match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    };
    let (name, texts) = match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (&**left, &**right) {
            (Expr::Column(name), constant) | (constant, Expr::Column(name)) => (name, vec![text(constant)?]),
            _ => return None,
        },
        Expr::InList(InList { expr, list, negated: false }) => match &**expr {
            Expr::Column(name) => (name, list.iter().map(text).collect::<Option<Vec<_>>>()?),
            _ => return None,
        },
        _ => return None,
    };
    let column = Column::ALL.into_iter().find(|column| column.name() == name.name)?;
    let stored = columns::stored().field(columns::index(column)?).data_type().clone();
    stored.is_string().then_some(OneOf { column, texts })
}

/// Returns the condition that rows of one of `times` meet if they meet `predicate` and `others`. `schema` is that of the files.
/// Returns `None` if there is none.
pub fn condition(
    schema: &SchemaRef,
    times: &[TimeRange],
    predicate: &Predicate,
    others: &[OneOf],
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let mut all = Conjunction { schema, terms: None };
    all.add_times(times)?;
    let Predicate { decision, direction, states, protocols, src_ports, dst_ports, src_ips, dst_ips, .. } = predicate;
    if let Some(decision) = decision {
        all.add_texts(Column::Decision, [decision.name()])?;
    }
    if let Some(direction) = direction {
        all.add_texts(Column::Direction, [direction.name()])?;
    }
    if let Some(states) = states {
        all.add_texts(Column::State, states.iter().map(|state| state.name()))?;
    }
    if let Some(protocols) = protocols {
        let names: Vec<_> = protocols.iter().map(|protocol| protocol.name()).collect();
        all.add_texts(Column::Protocol, names.iter().map(AsRef::as_ref))?;
    }
    for (column, ips) in [(Column::SrcIp, src_ips), (Column::DstIp, dst_ips)] {
        if let Some(texts) = ips.as_ref().and_then(single_addresses) {
            all.add_texts(column, texts.iter().map(String::as_str))?;
        }
    }
    for (column, ports) in [(Column::SrcPort, src_ports), (Column::DstPort, dst_ports)] {
        if let Some(ports) = ports {
            all.add_ports(column, ports)?;
        }
    }
    for OneOf { column, texts } in others {
        all.add_texts(*column, texts.iter().map(String::as_str))?;
    }
    Ok(all.terms)
}

/// Returns the files whose statistics allow rows that meet the condition.
pub fn kept<'a>(
    files: &'a [DataFile],
    schema: &SchemaRef,
    condition: Option<&Arc<dyn PhysicalExpr>>,
) -> Result<Vec<&'a DataFile>> {
    let Some(condition) = condition else { return Ok(files.iter().collect()) };
    let pruning =
        PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).try_build(Arc::clone(condition))?;
    let kept = pruning.prune(&Statistics(files))?;
    Ok(files.iter().zip(kept).filter_map(|(file, is_kept)| is_kept.then_some(file)).collect())
}

/// Terms that must all hold.
struct Conjunction<'a> {
    schema: &'a SchemaRef,
    terms: Option<Arc<dyn PhysicalExpr>>,
}

impl Conjunction<'_> {
    /// Adds a term: one of `alternatives` must hold. More than [`ALTERNATIVES`] are not worth a comparison.
    fn add(&mut self, alternatives: impl IntoIterator<Item = Arc<dyn PhysicalExpr>>) -> Result<()> {
        let either = alternatives.into_iter().map(Ok).reduce(|a, b| binary(a?, Operator::Or, b?, self.schema));
        if let Some(term) = either.transpose()? {
            self.terms = Some(match self.terms.take() {
                Some(terms) => binary(terms, Operator::And, term, self.schema)?,
                None => term,
            });
        }
        Ok(())
    }

    fn add_times(&mut self, times: &[TimeRange]) -> Result<()> {
        let micros = |ms: i64| ScalarValue::TimestampMicrosecond(Some(ms.saturating_mul(1000)), Some("UTC".into()));
        let bound = |op, ms: i64| compared(self.schema, Column::Time, op, micros(ms));
        let mut alternatives = Vec::new();
        for TimeRange { from, to } in times {
            let from = from.map(|from| bound(Operator::GtEq, from)).transpose()?;
            let to = to.map(|to| bound(Operator::Lt, to)).transpose()?;
            alternatives.push(match (from, to) {
                (Some(from), Some(to)) => binary(from, Operator::And, to, self.schema)?,
                (Some(end), None) | (None, Some(end)) => end,
                // This range holds all times.
                (None, None) => return Ok(()),
            });
        }
        if alternatives.len() > ALTERNATIVES { Ok(()) } else { self.add(alternatives) }
    }

    fn add_texts<'a>(&mut self, column: Column, texts: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let texts: Vec<&str> = texts.into_iter().take(ALTERNATIVES + 1).collect();
        if texts.len() > ALTERNATIVES {
            return Ok(());
        }
        let constant = |text: &str| {
            let text = ScalarValue::from(text);
            match self.schema.field_with_name(column.name())?.data_type() {
                DataType::Dictionary(key, _) => Ok(ScalarValue::Dictionary(key.clone(), Box::new(text))),
                _ => Ok::<_, arrow::error::ArrowError>(text),
            }
        };
        let is = |text: &str| compared(self.schema, column, Operator::Eq, constant(text)?);
        let terms = texts.into_iter().map(is).collect::<Result<Vec<_>>>()?;
        self.add(terms)
    }

    fn add_ports(&mut self, column: Column, ports: &PortSet) -> Result<()> {
        let ranges = ports.ranges();
        // Of many ranges, only the outer ends are compared.
        let outer = ranges.first().zip(ranges.last()).map(|(first, last)| (first.0, last.1));
        let ranges = if ranges.len() > ALTERNATIVES { outer.as_slice() } else { ranges };
        let bound = |op, port: u16| compared(self.schema, column, op, ScalarValue::Int32(Some(port.into())));
        let within = |&(low, high): &(u16, u16)| {
            binary(bound(Operator::GtEq, low)?, Operator::And, bound(Operator::LtEq, high)?, self.schema)
        };
        let terms = ranges.iter().map(within).collect::<Result<Vec<_>>>()?;
        self.add(terms)
    }
}

fn compared(schema: &SchemaRef, column: Column, op: Operator, value: ScalarValue) -> Result<Arc<dyn PhysicalExpr>> {
    binary(col(column.name(), schema)?, op, lit(value), schema)
}

/// Returns the texts of the addresses of a set of few single addresses.
fn single_addresses(ips: &IpSet) -> Option<Vec<String>> {
    let single =
        |prefix: &crate::net::Prefix| (prefix.first() == prefix.last()).then(|| address(prefix.first()).to_string());
    (ips.prefixes().len() <= ALTERNATIVES).then(|| ips.prefixes().iter().map(single).collect())?
}

/// Statistics of files in the log of the lake.
struct Statistics<'a>(&'a [DataFile]);

impl Statistics<'_> {
    /// Returns the values of a column; null where the log has none. `of_day` is the time within a file's day that stands
    /// for a missing time.
    fn values(&self, name: &Name, of: fn(&DataFile) -> &Map<String, Value>, of_day: i64) -> Option<ArrayRef> {
        let stored = columns::stored();
        let field = stored.field_with_name(&name.name).ok()?;
        fn known<'a>(file: &'a DataFile, of: fn(&DataFile) -> &Map<String, Value>, name: &str) -> Option<&'a Value> {
            of(file).get(name)
        }
        Some(match field.data_type() {
            DataType::Timestamp(..) => {
                let time = |file: &DataFile| {
                    let text = known(file, of, &name.name).and_then(Value::as_str);
                    let time = text.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
                    let of_day = (i64::from(file.date) * DAY + of_day) * 1000;
                    let is_time = name.name == Column::Time.name();
                    time.map(|time| time.timestamp_micros()).or_else(|| is_time.then_some(of_day))
                };
                let times: TimestampMicrosecondArray = self.0.iter().map(time).collect();
                Arc::new(times.with_timezone("UTC"))
            }
            DataType::Int32 => {
                let number = |file| known(file, of, &name.name)?.as_i64().and_then(|number| i32::try_from(number).ok());
                Arc::new(self.0.iter().map(number).collect::<Int32Array>())
            }
            DataType::Int64 => {
                Arc::new(self.0.iter().map(|file| known(file, of, &name.name)?.as_i64()).collect::<Int64Array>())
            }
            _ => Arc::new(self.0.iter().map(|file| known(file, of, &name.name)?.as_str()).collect::<StringArray>()),
        })
    }
}

impl PruningStatistics for Statistics<'_> {
    fn min_values(&self, column: &Name) -> Option<ArrayRef> {
        self.values(column, |file| &file.min, 0)
    }

    fn max_values(&self, column: &Name) -> Option<ArrayRef> {
        self.values(column, |file| &file.max, DAY - 1)
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, _: &Name) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Name, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
