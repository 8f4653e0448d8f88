//! Conditions on rows in the files of a lake, exactly as the decoder applies them to tuples.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::dictionary::OfDictionary;
use crate::decode::{Options, Predicate};
use crate::lake::TextColumn;
use crate::net::{IpSet, PortBits, PortSet, number, parse_ip};
use crate::schema::Column;
use crate::source::BlobPath;
use crate::time::TimeRange;

/// Conjunction of the conditions of a scan.
#[derive(Debug, Default)]
pub struct RowFilter {
    tests: Vec<Test>,
}

#[derive(Debug)]
enum Test {
    /// The text of the column passes.
    Text(TextTest),
    /// The text of at least one of the columns passes.
    Either([TextTest; 2]),
    Ports(Column, PortBits),
    Times(TimeRange),
}

/// Test of the text of a column.
struct TextTest {
    column: Column,
    passes: Box<dyn Fn(&str) -> bool + Send + Sync>,
    flags: OfDictionary<Vec<bool>>,
}

impl fmt::Debug for TextTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.column.name())
    }
}

impl RowFilter {
    /// Creates the filter of `options`: window, interfaces and predicate. With `by_path`, the path of a row's blob must
    /// allow the times too, because a scan of blobs does not read others. With `only`, rows must be of
    /// one of these blobs.
    pub fn new(options: &Options, by_path: bool, only: Option<&Arc<HashSet<String>>>) -> Self {
        let Predicate { decision, direction, states, protocols, src_ports, dst_ports, src_ips, dst_ips, .. } =
            options.predicate.clone();
        let Predicate { either_ips, times, .. } = options.predicate.clone();
        let times = times.intersection(&options.window);
        let mut tests = Vec::new();
        let mut text = |column, passes: Box<dyn Fn(&str) -> bool + Send + Sync>| {
            tests.push(Test::Text(TextTest::new(column, passes)));
        };
        if let Some(decision) = decision {
            text(Column::Decision, Box::new(move |text| text == decision.name()));
        }
        if let Some(direction) = direction {
            text(Column::Direction, Box::new(move |text| text == direction.name()));
        }
        if let Some(states) = states {
            text(Column::State, Box::new(move |text| states.iter().any(|state| text == state.name())));
        }
        if let Some(protocols) = protocols {
            text(Column::Protocol, Box::new(move |text| protocols.iter().any(|protocol| text == protocol.name())));
        }
        for (column, ips) in [(Column::SrcIp, src_ips), (Column::DstIp, dst_ips)] {
            if let Some(ips) = ips {
                text(column, contains(ips));
            }
        }
        if by_path && times != TimeRange::default() {
            text(Column::Blob, Box::new(move |blob| may_hold(blob, times)));
        }
        if let Some(only) = only.map(Arc::clone) {
            text(Column::Blob, Box::new(move |blob| only.contains(blob)));
        }
        if !options.macs.is_empty() {
            let macs = options.macs.clone();
            text(Column::Blob, Box::new(move |blob| is_of_interface(blob, &macs)));
        }
        for ips in either_ips {
            let test = |column, ips| TextTest::new(column, contains(ips));
            tests.push(Test::Either([test(Column::SrcIp, ips.clone()), test(Column::DstIp, ips)]));
        }
        for (column, ports) in [(Column::SrcPort, src_ports), (Column::DstPort, dst_ports)] {
            tests.extend(ports.map(|ports: PortSet| Test::Ports(column, PortBits::from(&ports))));
        }
        if times != TimeRange::default() {
            tests.push(Test::Times(times));
        }
        Self { tests }
    }

    /// Returns the columns that it reads, some of them twice.
    pub fn columns(&self) -> impl Iterator<Item = Column> {
        self.tests.iter().flat_map(|test| match test {
            Test::Text(test) => vec![test.column],
            Test::Either(tests) => tests.iter().map(|test| test.column).collect(),
            Test::Ports(column, _) => vec![*column],
            Test::Times(_) => vec![Column::Time],
        })
    }

    /// Returns the rows of a batch with the columns `stored` that pass.
    pub fn apply(&mut self, batch: RecordBatch, stored: &[Column]) -> Result<RecordBatch, ArrowError> {
        let array = |column: Column| {
            let at = stored.iter().position(|stored| *stored == column);
            at.map(|at| batch.column(at)).ok_or_else(|| ArrowError::SchemaError(format!("no {}", column.name())))
        };
        let mut passed: Option<BooleanBuffer> = None;
        for test in &mut self.tests {
            let flags = match test {
                Test::Text(test) => test.flags(array(test.column)?)?,
                Test::Either([one, other]) => either(one, other, array(one.column)?, array(other.column)?)?,
                Test::Ports(column, ports) => {
                    let numbers = array(*column)?.as_primitive_opt::<Int32Type>();
                    let numbers = numbers.ok_or_else(|| ArrowError::SchemaError("ports are no integers".to_owned()))?;
                    numbers.values().iter().map(|port| u16::try_from(*port).is_ok_and(|p| ports.contains(p))).collect()
                }
                Test::Times(times) => {
                    let stamps = array(Column::Time)?.as_primitive_opt::<TimestampMicrosecondType>();
                    let stamps = stamps.ok_or_else(|| ArrowError::SchemaError("times are not in µs".to_owned()))?;
                    stamps.values().iter().map(|time| times.contains(time.div_euclid(1000))).collect()
                }
            };
            passed = Some(match passed {
                Some(passed) => &passed & &flags,
                None => flags,
            });
        }
        match passed {
            Some(passed) if passed.count_set_bits() < batch.num_rows() => {
                filter_record_batch(&batch, &BooleanArray::new(passed, None))
            }
            _ => Ok(batch),
        }
    }
}

impl TextTest {
    fn new(column: Column, passes: Box<dyn Fn(&str) -> bool + Send + Sync>) -> Self {
        Self { column, passes, flags: OfDictionary::default() }
    }

    /// Returns for each row whether it has a text that passes.
    fn flags(&mut self, column: &ArrayRef) -> Result<BooleanBuffer, ArrowError> {
        let column = TextColumn::of(column)?;
        let (keys, of_texts) = (column.keys().values(), self.of_texts(&column));
        let passed = BooleanBuffer::collect_bool(keys.len(), |row| passes(of_texts, keys[row]));
        Ok(match column.nulls() {
            Some(nulls) => &passed & nulls.inner(),
            None => passed,
        })
    }

    /// Returns for each text of the dictionary whether it passes.
    fn of_texts(&mut self, column: &TextColumn) -> &[bool] {
        let passes = &self.passes;
        self.flags.get(column, |texts| texts.iter().map(|text| text.is_some_and(passes)).collect())
    }
}

/// Returns for each row whether one of its two texts passes.
fn either(
    one: &mut TextTest,
    other: &mut TextTest,
    ones: &ArrayRef,
    others: &ArrayRef,
) -> Result<BooleanBuffer, ArrowError> {
    let (first, second) = (TextColumn::of(ones)?, TextColumn::of(others)?);
    if first.nulls().is_some() || second.nulls().is_some() {
        return Ok(&one.flags(ones)? | &other.flags(others)?);
    }
    let (flags, keys) = ([one.of_texts(&first), other.of_texts(&second)], [first.keys(), second.keys()]);
    let keys = keys.map(|keys| keys.values());
    Ok(BooleanBuffer::collect_bool(ones.len(), |row| passes(flags[0], keys[0][row]) | passes(flags[1], keys[1][row])))
}

/// Returns whether the text with this key passes.
fn passes(of_texts: &[bool], key: u32) -> bool {
    of_texts.get(key as usize).copied().unwrap_or_default()
}

fn contains(ips: IpSet) -> Box<dyn Fn(&str) -> bool + Send + Sync> {
    Box::new(move |text| parse_ip(text).is_some_and(|ip| ips.contains(number(ip))))
}

/// Returns whether a scan of blobs for flows of `times` reads this blob.
pub fn may_hold(blob: &str, times: TimeRange) -> bool {
    BlobPath::parse(blob).is_none_or(|path| path.may_hold(times.from, times.to))
}

/// Returns whether a blob is of one of the interfaces, by its path. An empty list means all.
pub fn is_of_interface(blob: &str, macs: &[String]) -> bool {
    let mac = BlobPath::parse(blob).and_then(|path| path.mac);
    macs.is_empty() || macs.iter().any(|chosen| mac.is_some_and(|mac| mac.eq_ignore_ascii_case(chosen)))
}
