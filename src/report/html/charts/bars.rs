//! Draws values as horizontal bars. Coordinates are shares of the width, so that text keeps its size on any screen.

use super::{begin_figure, begin_numbers, end_figure};
use crate::report::html::markup::{Page, number};
use crate::report::sink::shortened;

/// Height of a label with its bar.
const ROW: usize = 38;

/// One labelled value.
pub struct Bar {
    /// Name of the value.
    pub label: String,
    /// The value; the longest bar is the largest one.
    pub value: i64,
    /// Class that colours the bar.
    pub class: &'static str,
}

/// Writes the bars, and the same values as a table.
pub fn bars(page: &mut Page, title: &str, bars: &[Bar]) {
    let most = bars.iter().map(|bar| bar.value).max().unwrap_or_default().max(1);
    begin_figure(page, title, false);
    page.put(
        "<svg role=\"img\" class=\"bars\" width=\"100%\" height=\"{}\"><title>{}</title><desc>",
        &[&(bars.len() * ROW), &title],
    );
    let words = bars.iter().map(|bar| format!("{}: {}", bar.label, number(bar.value))).collect::<Vec<_>>();
    page.put("{}.</desc>\n", &[&words.join("; ")]);
    for (nr, bar) in bars.iter().enumerate() {
        let (top, width) = (nr * ROW, 80.0 * bar.value.max(0) as f64 / most as f64);
        page.put("<text x=\"0\" y=\"{}\" font-size=\"13\">{}</text>", &[&(top + 13), &shortened(&bar.label, 44)]);
        page.put(
            "<rect class=\"{}\" x=\"0\" y=\"{}\" width=\"{}%\" height=\"12\" fill=\"{}\"/>",
            &[&bar.class, &(top + 19), &format!("{width:.1}"), &color(bar.class)],
        );
        page.put(
            "<text x=\"{}%\" dx=\"6\" y=\"{}\" font-size=\"13\">{}</text>\n",
            &[&format!("{width:.1}"), &(top + 30), &number(bar.value)],
        );
    }
    page.raw("</svg>\n");
    begin_numbers(page, title, &["what", "count"]);
    for bar in bars {
        page.put("<tr><th scope=\"row\">{}<td>{}\n", &[&bar.label, &number(bar.value)]);
    }
    end_figure(page);
}

/// Returns the colour of a class without the style sheet.
fn color(class: &str) -> &'static str {
    match class {
        "denied" => "#b3261e",
        "allowed" => "#1a6fb0",
        _ => "#8a8f98",
    }
}
