//! Reads a table of prefixes and names: separated by commas, semicolons or tabs, with or without a header.

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{AddressNamesError, Entry, entry, push};

/// Columns of a header that hold the prefix, in lower case.
const PREFIXES: [&str; 7] = ["prefix", "cidr", "ip", "address", "ip_address", "address_prefix", "addressprefix"];
/// Columns of a header that hold the name, in lower case.
const NAMES: [&str; 3] = ["name", "host", "hostname"];

const EMPTY: AddressNamesError =
    AddressNamesError::Form("the file has no names: write rows such as 10.20.1.0/24,snet-apim");

pub fn read(text: &str, entries: &mut Vec<Entry>) -> Result<(), AddressNamesError> {
    let mut rows = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(Trim::All)
        .delimiter(delimiter(text))
        .from_reader(text.as_bytes());
    let (mut prefix, mut name) = (0, 1);
    let (before, mut is_first, mut row) = (entries.len(), true, StringRecord::new());
    loop {
        let is_read = rows.read_record(&mut row);
        let end = usize::try_from(rows.position().byte()).unwrap_or(usize::MAX);
        let place = || format!("line {}", line(text, end));
        match is_read {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => return Err(AddressNamesError::Damaged { place: place(), what: "the row is not CSV".to_owned() }),
        }
        let header = columns(&row).filter(|_| is_first);
        is_first = false;
        if let Some(columns) = header {
            (prefix, name) = columns;
        } else if !row.iter().all(str::is_empty) {
            let cell = |column: usize| row.get(column).unwrap_or_default();
            push(entries, entry(cell(prefix), cell(name), &place)?)?;
        }
    }
    if entries.len() == before { Err(EMPTY) } else { Ok(()) }
}

/// Returns the columns of the prefix and the name if the row is a header.
fn columns(row: &StringRecord) -> Option<(usize, usize)> {
    let place = |known: &[&str]| row.iter().position(|cell| known.contains(&cell.to_ascii_lowercase().as_str()));
    Some((place(&PREFIXES)?, place(&NAMES)?))
}

/// Returns the first separator in the first line that is not a comment. A prefix contains none.
fn delimiter(text: &str) -> u8 {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let separator = first.and_then(|line| line.bytes().find(|letter| b",;\t".contains(letter)));
    separator.unwrap_or(b',')
}

/// Returns the number of the last line of a row, which ends before the byte `end`. The reader itself counts from the end of
/// the row before, so it is wrong after empty lines.
fn line(text: &str, end: usize) -> usize {
    let row = text.get(..end).unwrap_or(text).trim_end_matches(['\r', '\n']);
    row.matches('\n').count() + 1
}
