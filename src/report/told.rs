//! A report whose sentences have their times in another zone. The analysis has them in UTC.

use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::Value;

use super::clock::Clock;
use super::rewritten::Rewritten;
use super::{Document, Report};

pub struct Told {
    /// The report, which shows all other times by the same clock.
    pub report: Box<dyn Report>,
    pub clock: Clock,
}

impl Report for Told {
    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        let told = Rewritten::of(document, |value| tell(self.clock, value))?;
        self.report.write(&told.document(), out)
    }
}

fn tell(clock: Clock, value: &mut Value) {
    match value {
        Value::String(text) => {
            let told = match clock.prose(text) {
                Cow::Owned(told) => told,
                Cow::Borrowed(_) => return,
            };
            *text = told;
        }
        Value::Array(items) => items.iter_mut().for_each(|item| tell(clock, item)),
        Value::Object(keys) => keys.values_mut().for_each(|value| tell(clock, value)),
        _ => {}
    }
}
