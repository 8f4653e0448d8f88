//! Decodes one blob, chunk by chunk, and counts its denied flows per rule.
//!
//! `cargo run --release --example decode`

use std::collections::BTreeMap;
use std::error::Error;

use arrow::array::AsArray;
use arrow::record_batch::RecordBatch;
use flowgap::decode::{Decoder, Options, Part, Projection};
use flowgap::schema::{Column, Text};

/// Reads an example blob of this repository.
pub fn main() -> Result<(), Box<dyn Error>> {
    let blob = "testdata/vnet-v4/plain.json";
    let projection = Projection(vec![Column::Decision, Column::Rule]);
    let mut decoder = Decoder::new(blob, Part::Whole, Options { projection, text: Text::Plain, ..Options::default() });
    let mut denied: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = |batch: RecordBatch| {
        let (decisions, rules) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
        for (_, rule) in decisions.iter().zip(rules).filter(|(decision, _)| *decision == Some("deny")) {
            *denied.entry(rule.unwrap_or("no rule").to_owned()).or_default() += 1;
        }
    };
    // Chunks may be cut at any byte.
    for chunk in std::fs::read(blob)?.chunks(1000) {
        decoder.push(chunk);
        while let Some(batch) = decoder.flush() {
            count(batch);
        }
    }
    decoder.finish();
    while let Some(batch) = decoder.flush() {
        count(batch);
    }
    for (rule, flows) in denied {
        println!("{flows} denied by {rule}");
    }
    for problem in decoder.take_problems() {
        println!("{blob}, byte {}: {}", problem.offset, problem.reason);
    }
    Ok(())
}
