//! Sorts rows by day, decision, direction, interface, rule, state and time, denied flows first. A query for denied flows
//! then needs few pages of a row group, and values that are alike are next to each other, which makes files smaller.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::concat;
use arrow::datatypes::{ArrowPrimitiveType, DataType, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::distinct::{Distinct, Found};
use crate::flow::{Decision, Direction};
use crate::lake::columns::index;
use crate::lake::text::TextColumn;
use crate::schema::Column;
use crate::time::DAY;

/// Rows of several batches in order.
pub struct Sorted {
    batches: Vec<RecordBatch>,
    places: Vec<Place>,
    /// Days, in days since 1970, each with the range of its rows.
    days: Vec<(i32, Range<usize>)>,
}

/// Index of a row's batch, and the row in it.
type Place = (u32, u32);

/// Bits of the milliseconds of a day.
const TIME_BITS: u32 = 27;

impl Sorted {
    /// Sorts rows with the schema [`crate::lake::columns::held`]. Rows that are equal in all of this stay in the order in
    /// which they came.
    pub fn new(batches: Vec<RecordBatch>) -> Result<Self, ArrowError> {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let mut kinds: Vec<Kind> = Vec::with_capacity(rows);
        let mut numbers: [Numbers; 3] = Default::default();
        for batch in &batches {
            let column = |column| TextColumn::named(batch, column);
            let (decisions, directions) = (column(Column::Decision)?, column(Column::Direction)?);
            let allowed = decisions.map(|decision| u64::from(decision != Decision::Deny.name()) << 1);
            let outbound = directions.map(|direction| u64::from(direction == Direction::Outbound.name()));
            let flags = decisions.gather(&allowed).zip(directions.gather(&outbound)).map(|(one, other)| one | other);
            let [interfaces, rules, states] = &mut numbers;
            let interfaces = interfaces.of(&column(Column::Mac)?);
            let (rules, states) = (rules.of(&column(Column::Rule)?), states.of(&column(Column::State)?));
            let rest = interfaces.into_iter().zip(rules).zip(states);
            kinds.extend(flags.zip(rest).map(|(flags, ((interface, rule), state))| {
                let [interface, rule, state] = [interface, rule, state].map(u64::from);
                Kind(flags << 48 | interface << 32 | rule << 16 | state)
            }));
        }
        let times = batches.iter().map(|batch| numbers_of::<TimestampMicrosecondType>(batch, index_of_time()));
        let times = times.map(|times| times.map(|times| &**times.values())).collect::<Result<Vec<_>, _>>()?;
        let (places, days) = ordered(&times, &kinds, numbers.map(|numbers| bits(numbers.0.len() as u64)));
        Ok(Self { batches, places, days })
    }

    /// Returns the days, in days since 1970, each with the range of its rows.
    pub fn days(&self) -> impl Iterator<Item = (i32, Range<usize>)> {
        self.days.iter().cloned()
    }

    /// Returns the distinct texts of a column in a range of rows.
    pub fn texts(&self, column: usize, range: Range<usize>) -> Result<Distinct<'_>, ArrowError> {
        let columns = self.batches.iter().map(|batch| TextColumn::of(batch.column(column)));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let places = self.places[range].iter().map(|&(batch, row)| (batch as usize, row as usize));
        Ok(Found::of(&columns, places).in_order())
    }

    /// Returns the values of a column of numbers in a range of rows, in order and without nulls, and for each row
    /// whether it has one. The latter is empty if the column has no nulls.
    pub fn numbers<T: ArrowPrimitiveType>(
        &self,
        column: usize,
        range: Range<usize>,
    ) -> Result<(Vec<T::Native>, Vec<bool>), ArrowError> {
        let columns = self.batches.iter().map(|batch| numbers_of::<T>(batch, column)).collect::<Result<Vec<_>, _>>()?;
        let rows = &self.places[range];
        let values: Vec<&[T::Native]> = columns.iter().map(|column| column.values().as_ref()).collect();
        let value = |&(batch, row): &Place| values[batch as usize][row as usize];
        if columns.iter().all(|column| column.null_count() == 0) {
            return Ok((rows.iter().map(value).collect(), Vec::new()));
        }
        let is_valid: Vec<bool> =
            rows.iter().map(|&(batch, row)| columns[batch as usize].is_valid(row as usize)).collect();
        let valid = rows.iter().zip(&is_valid).filter(|(_, is_valid)| **is_valid);
        Ok((valid.map(|(place, _)| value(place)).collect(), is_valid))
    }
}

/// What rows next to each other have in common, most important first: allowed or denied, outbound or inbound, and the
/// numbers of interface, rule and state, of 16 bits each.
#[derive(Clone, Copy)]
struct Kind(u64);

impl Kind {
    /// Returns the same in `bits` bits for each number.
    fn packed(self, bits: [u32; 3]) -> u64 {
        let [interfaces, rules, states] = bits;
        let number = |shift: u32| self.0 >> shift & 0xffff;
        ((self.0 >> 48 << interfaces | number(32)) << rules | number(16)) << states | number(0)
    }
}

/// Returns the number of bits that `count` different numbers need.
fn bits(count: u64) -> u32 {
    u64::BITS - count.saturating_sub(1).leading_zeros()
}

/// Orders rows, of which `times` has those of each batch, and `kinds` those of all. Returns their places, and the days.
fn ordered(times: &[&[i64]], kinds: &[Kind], bits_of: [u32; 3]) -> (Vec<Place>, Vec<(i32, Range<usize>)>) {
    const DAY_US: i64 = DAY * 1000;
    let all = || times.iter().flat_map(|times| times.iter().copied());
    let first = all().min().unwrap_or_default().div_euclid(DAY_US);
    let last = all().max().unwrap_or_default().div_euclid(DAY_US);
    let row_bits = bits(times.iter().map(|times| times.len()).max().unwrap_or_default() as u64);
    let place_bits = row_bits + bits(times.len() as u64);
    let kind_bits = 2 + bits_of.iter().sum::<u32>();
    // Everything but the place: 28, 50 and 27 bits at most, and far fewer as a rule.
    let key_bits = bits((last - first) as u64 + 1) + kind_bits + TIME_BITS;
    let rows = times
        .iter()
        .zip(0_u64..)
        .flat_map(|(times, batch)| times.iter().zip(0_u64..).map(move |(time, row)| (time, batch << row_bits | row)));
    let rows = rows.zip(kinds).map(|((time, place), kind)| {
        let day = time.div_euclid(DAY_US);
        let of_day = (time - day * DAY_US) / 1000;
        ((day - first) as u128, kind.packed(bits_of), of_day as u64, place)
    });
    let mut days: Vec<(i32, Range<usize>)> = Vec::new();
    let mut places = Vec::with_capacity(kinds.len());
    let mut add = |day: u64, place: u64| {
        let day = (first + day as i64) as i32;
        match days.last_mut() {
            Some((known, range)) if *known == day => range.end += 1,
            _ => days.push((day, places.len()..places.len() + 1)),
        }
        places.push(((place >> row_bits) as u32, (place & ((1 << row_bits) - 1)) as u32));
    };
    if key_bits + place_bits <= u64::BITS {
        let packed = rows.map(|(day, kind, time, place)| {
            ((day as u64) << kind_bits | kind) << (TIME_BITS + place_bits) | time << place_bits | place
        });
        let mut packed: Vec<u64> = packed.collect();
        packed.sort_unstable();
        let shift = kind_bits + TIME_BITS + place_bits;
        packed.into_iter().for_each(|row| add(row.checked_shr(shift).unwrap_or(0), row & ((1 << place_bits) - 1)));
    } else {
        let packed = rows.map(|(day, kind, time, place)| {
            (day << (kind_bits + TIME_BITS) | u128::from(kind) << TIME_BITS | u128::from(time), place)
        });
        let mut packed: Vec<(u128, u64)> = packed.collect();
        packed.sort_unstable();
        packed.into_iter().for_each(|(key, place)| add((key >> (kind_bits + TIME_BITS)) as u64, place));
    }
    (places, days)
}

/// Numbers of texts. All texts after the first 65,535 share one number.
#[derive(Default)]
struct Numbers(HashMap<Option<String>, u16>);

impl Numbers {
    /// Returns the number of each row's text.
    fn of(&mut self, column: &TextColumn) -> Vec<u16> {
        let mut number = |text: Option<&str>| {
            let next = u16::try_from(self.0.len()).unwrap_or(u16::MAX);
            *self.0.entry(text.map(str::to_owned)).or_insert(next)
        };
        // The dictionary may have texts of other columns too. The last number is that of rows without text.
        let without = column.texts().len();
        let mut known: Vec<Option<u16>> = vec![None; without + 1];
        let rows = column.keys().iter().map(|key| {
            let key = key.map_or(without, |key| key as usize);
            *known[key].get_or_insert_with(|| number((key < without).then(|| column.texts().value(key))))
        });
        rows.collect()
    }
}

fn numbers_of<T: ArrowPrimitiveType>(batch: &RecordBatch, column: usize) -> Result<&PrimitiveArray<T>, ArrowError> {
    let found = batch.columns().get(column).and_then(|column| column.as_primitive_opt::<T>());
    found.ok_or_else(|| ArrowError::SchemaError(format!("column {column} is not of type {}", T::DATA_TYPE)))
}

fn index_of_time() -> usize {
    index(Column::Time).unwrap_or_default()
}

/// Joins batches with the schema [`crate::lake::columns::held`] into one that holds no memory but that of its rows.
pub fn joined(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let columns = (0..schema.fields().len()).map(|nr| {
        let columns: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(nr)).collect();
        if !matches!(schema.field(nr).data_type(), DataType::Dictionary(..)) {
            return concat(&columns.into_iter().map(|column| &**column).collect::<Vec<_>>());
        }
        let columns = columns.into_iter().map(TextColumn::of).collect::<Result<Vec<_>, _>>()?;
        let rows = |(nr, column): (usize, &TextColumn)| (0..column.keys().len()).map(move |row| (nr, row));
        Ok(Found::of(&columns, columns.iter().enumerate().flat_map(rows)).column())
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_a_stable_sort() {
        let mut random = fastrand::Rng::with_seed(31);
        for round in 0..200 {
            // From one day and a few kinds, which fit into 64 bits with the place, to years and all kinds.
            let (days, numbers) = ([1, 2, 40, 20_000][round % 4], [1, 3, 40, 65_535][round / 4 % 4]);
            let batches: Vec<Vec<i64>> = (0..random.usize(0..5))
                .map(|_| (0..random.usize(0..300)).map(|_| random.i64(0..days * DAY) * 1000 - DAY * 1000).collect())
                .collect();
            let mut number = || random.u64(0..=numbers);
            let rows: usize = batches.iter().map(Vec::len).sum();
            let kinds: Vec<Kind> = (0..rows)
                .map(|_| Kind((number() & 3) << 48 | number() << 32 | number() << 16 | number().min(4)))
                .collect();
            let times: Vec<&[i64]> = batches.iter().map(Vec::as_slice).collect();
            let (places, days) = ordered(&times, &kinds, [numbers + 1, numbers + 1, 5].map(bits));

            let mut expected: Vec<(i64, u64, i64, Place)> = Vec::new();
            for (batch, times) in batches.iter().enumerate() {
                for (row, time) in times.iter().enumerate() {
                    let kind = kinds[expected.len()].0;
                    expected.push((time.div_euclid(DAY * 1000), kind, *time, (batch as u32, row as u32)));
                }
            }
            expected.sort_unstable();
            assert_eq!(places, expected.iter().map(|row| row.3).collect::<Vec<_>>(), "round {round}");
            let by_day = days.iter().flat_map(|(day, range)| range.clone().map(move |_| i64::from(*day)));
            assert!(by_day.eq(expected.iter().map(|row| row.0)), "round {round}");
        }
    }
}
