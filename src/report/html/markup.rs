//! Writes HTML. Markup comes only from templates in the code; everything else is escaped.

use std::fmt::Display;

use crate::report::Clock;
use crate::report::escape::escaped;
use crate::time::Timestamp;

/// A page that grows at its end.
pub struct Page {
    text: String,
    /// Zone of the times that readers see.
    pub clock: Clock,
}

impl Page {
    /// Returns an empty page with times by `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { text: String::new(), clock }
    }

    /// Writes a template. Each `{}` becomes the next value, escaped for text and for attributes in double quotes.
    pub fn put(&mut self, template: &'static str, values: &[&dyn Display]) {
        let mut parts = template.split("{}");
        self.text.push_str(parts.next().unwrap_or_default());
        for (value, part) in values.iter().zip(parts) {
            self.text.push_str(&escaped(&value.to_string()));
            self.text.push_str(part);
        }
    }

    /// Writes markup of ours as it is.
    pub fn raw(&mut self, markup: &'static str) {
        self.text.push_str(markup);
    }

    /// Writes a time for readers and for programs, or a dash without one.
    pub fn time(&mut self, time: Option<Timestamp>) {
        match time {
            Some(time) => self.put("<time datetime=\"{}\">{}</time>", &[&time, &self.clock.minute(time)]),
            None => self.raw("–"),
        }
    }

    /// Begins a table that sorts and scrolls in a box of its own.
    pub fn begin_table(&mut self, caption: &str, columns: &[&str]) {
        self.put(
            "<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"{}\">\n<table class=\"sortable\"><caption>{}</caption>\n<thead><tr>",
            &[&caption, &caption],
        );
        for column in columns {
            self.put("<th scope=\"col\">{}</th>", &[column]);
        }
        self.raw("</tr></thead>\n<tbody>\n");
    }

    /// Ends a table.
    pub fn end_table(&mut self) {
        self.raw("</tbody></table></div>\n");
    }

    /// Writes a block of text to copy. `id` is unique in the page.
    pub fn copyable(&mut self, id: &str, label: &str, text: &str) {
        self.put(
            "<div class=\"copyable\"><button type=\"button\" class=\"copy\" data-copy=\"{}\" aria-label=\"Copy {}\" hidden>Copy</button>\n<pre id=\"{}\" role=\"group\" tabindex=\"0\" aria-label=\"{}\"><code>{}</code></pre></div>\n",
            &[&id, &label, &id, &label, &text],
        );
    }

    /// Returns the whole page.
    pub fn finish(self) -> String {
        self.text
    }
}

/// Returns a count with commas between thousands.
pub fn number(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let mut text = if count < 0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a count with commas and its noun, in the plural unless it is 1.
pub fn count(count: i64, noun: &str) -> String {
    let words = crate::findings::counted(count, noun);
    words.replacen(&count.to_string(), &number(count), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_templates_are_not() {
        let mut page = Page::new(Clock::UTC);
        page.put("<a title=\"{}\">{}</a>", &[&"\"'><b>", &"&{}\u{202e}"]);
        assert_eq!(page.finish(), "<a title=\"&quot;&apos;&gt;&lt;b&gt;\">&amp;{}\u{fffd}</a>");
    }

    #[test]
    fn thousands_are_separated() {
        for (given, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(number(given), shown);
        }
        assert_eq!((count(1, "flow").as_str(), count(2500, "flow").as_str()), ("1 flow", "2,500 flows"));
    }
}
