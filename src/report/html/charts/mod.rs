//! Draws the charts as SVG, each with a table of the same numbers.

mod axis;
mod bars;
mod heat;
mod map;
mod strip;
mod timeline;

pub use axis::Axis;
pub use bars::{Bar, bars};
pub use timeline::{timeline, timeline_legend};

use super::markup::Page;
use crate::findings::{Analysis, Finding};

/// Returns whether the section of charts has any.
pub fn has_charts(analysis: &Analysis, shown: &[&Finding]) -> bool {
    !shown.is_empty() || map::has_lines(analysis)
}

/// Writes the charts of the whole analysis.
pub fn section(page: &mut Page, analysis: &Analysis, shown: &[&Finding], axis: &Axis) {
    if !has_charts(analysis, shown) {
        return;
    }
    page.raw("<section aria-labelledby=\"charts\">\n<h2 id=\"charts\">Charts</h2>\n");
    strip::strip(page, analysis, shown);
    heat::heat(page, analysis, shown, axis);
    map::map(page, analysis, shown);
    page.raw("</section>\n");
}

/// Writes the patterns that charts fill shapes with.
pub fn patterns(page: &mut Page) {
    page.raw(concat!(
        "<svg width=\"0\" height=\"0\" aria-hidden=\"true\" class=\"patterns\"><defs>",
        "<pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">",
        "<path class=\"hatch\" d=\"M0 6L6 0\" stroke=\"#8a8f98\" stroke-width=\"1\"/></pattern></defs></svg>\n",
    ));
}

/// Begins a figure with its title. A chart with a fixed width scrolls in a box of its own.
fn begin_figure(page: &mut Page, title: &str, is_wide: bool) {
    page.put("<figure>\n<figcaption>{}</figcaption>\n", &[&title]);
    if is_wide {
        page.put("<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"{}\">\n", &[&title]);
    }
}

/// Explains colours after a chart: each class with its words.
fn legend(page: &mut Page, keys: &[(&'static str, &str)]) {
    page.raw("<p class=\"legend\">");
    for (class, words) in keys {
        page.put("<span class=\"key {}\">{}</span> ", &[class, words]);
    }
    page.raw("</p>\n");
}

/// Begins the table of a figure, after its chart.
fn begin_numbers(page: &mut Page, title: &str, columns: &[&str]) {
    page.raw("<details class=\"numbers\"><summary>The same as a table</summary>\n");
    page.put("<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"Numbers\">\n<table><caption>{}</caption>\n<tr>", &[&title]);
    for column in columns {
        page.put("<th scope=\"col\">{}", &[column]);
    }
    page.raw("\n");
}

/// Ends a figure with its table.
fn end_figure(page: &mut Page) {
    page.raw("</table></div></details>\n</figure>\n");
}
