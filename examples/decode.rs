//! Decodes one blob, chunk by chunk, and counts its denied flows per rule.
//!
//! `cargo run --release --example decode`

use std::collections::BTreeMap;
use std::error::Error;

use arrow::array::AsArray;
use flowgap::decode::{Decoder, Options, Part, Projection};
use flowgap::schema::{Column, Text};

fn main() -> Result<(), Box<dyn Error>> {
    let blob = "testdata/vnet-v4/plain.json";
    let projection = Projection(vec![Column::Decision, Column::Rule]);
    let mut decoder = Decoder::new(blob, Part::Whole, Options { projection, text: Text::Plain, ..Options::default() });
    let mut denied: BTreeMap<String, u64> = BTreeMap::new();
    let bytes = std::fs::read(blob)?;
    // Chunks may be cut at any byte.
    let mut chunks = bytes.chunks(1000);
    loop {
        while let Some(batch) = decoder.flush() {
            let (decisions, rules) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
            for (decision, rule) in decisions.iter().zip(rules) {
                if decision == Some("deny") {
                    *denied.entry(rule.unwrap_or("no rule").to_owned()).or_default() += 1;
                }
            }
        }
        match chunks.next() {
            Some(chunk) => decoder.push(chunk),
            None if decoder.is_done() => break,
            None => decoder.finish(),
        }
    }
    for (rule, flows) in denied {
        println!("{flows} denied by {rule}");
    }
    for problem in decoder.take_problems() {
        println!("{blob}, byte {}: {}", problem.offset, problem.reason);
    }
    Ok(())
}
