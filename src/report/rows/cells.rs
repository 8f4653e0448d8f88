//! Formats values as text. Timestamps are RFC 3339 with milliseconds, in the zone of the settings.

use std::fmt::Write;
use std::io;
use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};

use super::io_error;
use crate::display::Display;

/// The cells of a row, concatenated in one string.
pub struct Cells<'a> {
    text: &'a str,
    /// Range per cell in the text; `None` is null.
    places: &'a [Option<Range<usize>>],
}

impl<'a> Cells<'a> {
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a str>> {
        let text = self.text;
        self.places.iter().map(move |place| place.as_ref().map(|place| &text[place.clone()]))
    }
}

/// Calls `row` once per row with its cells.
pub fn for_each_row(
    batch: &RecordBatch,
    display: &Display,
    mut row: impl FnMut(Cells) -> io::Result<()>,
) -> io::Result<()> {
    let columns: Vec<ArrayRef> =
        batch.columns().iter().map(|column| in_zone(column, &display.time_zone)).collect::<io::Result<_>>()?;
    let formats: Vec<Formats> = columns.iter().map(|column| Formats::of(column.data_type(), display)).collect();
    let formatters: Vec<ArrayFormatter> = columns
        .iter()
        .zip(&formats)
        .map(|(column, formats)| ArrayFormatter::try_new(column, &formats.options()))
        .collect::<Result<_, _>>()
        .map_err(io_error)?;
    let nulls: Vec<Option<NullBuffer>> = columns.iter().map(|column| column.logical_nulls()).collect();
    let (mut text, mut places) = (String::new(), Vec::new());
    for nr in 0..batch.num_rows() {
        text.clear();
        places.clear();
        for (formatter, nulls) in formatters.iter().zip(&nulls) {
            let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(nr));
            let start = text.len();
            if !is_null {
                write!(text, "{}", formatter.value(nr)).map_err(io::Error::other)?;
            }
            places.push((!is_null).then_some(start..text.len()));
        }
        row(Cells { text: &text, places: &places })?;
    }
    Ok(())
}

pub fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

fn in_zone(column: &ArrayRef, zone: &str) -> io::Result<ArrayRef> {
    match column.data_type() {
        DataType::Timestamp(unit, Some(own)) if **own != *zone => {
            cast(column, &DataType::Timestamp(*unit, Some(zone.into()))).map_err(io_error)
        }
        _ => Ok(ArrayRef::clone(column)),
    }
}

struct Formats {
    date: Option<String>,
    time: Option<String>,
    /// Formats of timestamps without and with a zone.
    timestamp: String,
    timestamp_tz: String,
}

impl Formats {
    fn of(data_type: &DataType, display: &Display) -> Self {
        let fraction = match data_type {
            DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _) => "%.f",
            _ => "%.3f",
        };
        let zone = if display.time_zone == "UTC" { "Z" } else { "%:z" };
        let own = |default: String| display.timestamp_format.clone().unwrap_or(default);
        Self {
            date: display.date_format.clone(),
            time: display.time_format.clone(),
            timestamp: own(format!("%Y-%m-%dT%H:%M:%S{fraction}")),
            timestamp_tz: own(format!("%Y-%m-%dT%H:%M:%S{fraction}{zone}")),
        }
    }

    fn options(&self) -> FormatOptions<'_> {
        FormatOptions::default()
            .with_display_error(true)
            .with_duration_format(DurationFormat::Pretty)
            .with_date_format(self.date.as_deref())
            .with_time_format(self.time.as_deref())
            .with_timestamp_format(Some(&self.timestamp))
            .with_timestamp_tz_format(Some(&self.timestamp_tz))
    }
}
