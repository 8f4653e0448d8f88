//! Writes an analysis as one web page that needs nothing else: no script, no style and no network. The style sheet is for
//! looks, and the script sorts, filters and copies.

mod answer;
mod causes;
mod charts;
mod check;
mod closing;
mod coverage;
mod findings;
mod index;
mod markup;
mod words;

pub use check::page as check_page;

use std::io::{self, Write};
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use self::charts::Axis;
use self::index::Index;
use self::markup::Page;
use super::sentences::needed;
use super::{Clock, Document, Report};

pub struct HtmlReport {
    pub clock: Clock,
}

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Maximum number of findings with an entry of their own.
const MOST_FINDINGS: usize = 100;

/// Allows only the style sheet and the script of the page, by their hashes, and no request.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

impl Report for HtmlReport {
    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(page(document, self.clock).as_bytes())
    }
}

fn page(&Document { analysis, changes }: &Document, clock: Clock) -> String {
    let mut page = Page::new(clock);
    let needed = needed(analysis);
    let shown = &needed[..needed.len().min(MOST_FINDINGS)];
    let (axis, index) = (Axis::of(analysis), Index::of(analysis, shown));
    head(&mut page, &words::title(analysis));
    page.raw("<body>\n");
    charts::patterns(&mut page);
    answer::header(&mut page, analysis, changes, &needed);
    page.raw("<main id=\"main\">\n");
    answer::first_step(&mut page, analysis, &index);
    causes::section(&mut page, analysis, &index);
    charts::section(&mut page, analysis, shown, &axis);
    findings::section(&mut page, analysis, shown, needed.len() - shown.len(), &axis);
    coverage::section(&mut page, analysis);
    closing::sections(&mut page, analysis);
    foot(&mut page);
    page.finish()
}

fn foot(page: &mut Page) {
    page.raw("</main>\n<script>");
    page.raw(SCRIPT);
    page.raw("</script>\n</body>\n</html>\n");
}

fn head(page: &mut Page, title: &str) {
    page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.put("<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n", &[&*POLICY]);
    page.raw(concat!(
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
        "<meta name=\"color-scheme\" content=\"light dark\">\n",
        "<meta name=\"referrer\" content=\"no-referrer\">\n",
        "<meta name=\"robots\" content=\"noindex\">\n",
        // Without an icon of its own, a browser would ask the server for one.
        "<link rel=\"icon\" href=\"data:,\">\n",
    ));
    page.put("<title>{}</title>\n<style>", &[&title]);
    page.raw(STYLE);
    page.raw("</style>\n</head>\n");
}
