//! Cards for a workflow of Teams.

use bytes::Bytes;
use serde_json::{Value, json};

use super::digest::{MOST_BYTES, clip, errors, fit, is_fine, length, lines, more, summary, title};
use super::error::{DeliveryError, Receipt};
use super::outcome::Outcome;
use super::post::{Poster, json_header};
use crate::findings::Severity;
use crate::job::config::secret::SecretUrl;

/// Most findings of a card, so that it stays legible.
const MOST_FINDINGS: usize = 30;
/// Longest text in characters.
const LONGEST_TEXT: usize = 600;
/// A count as long as any, to measure what the last lines need.
const COUNTED: usize = 1_000_000;
/// Status with which a workflow takes a card that it posts later.
const ACCEPTED: u16 = 202;

/// Returns the message. All text is in runs, which are shown literally, because blocks of text are read as Markdown.
pub fn compose(outcome: &Outcome, link: Option<&str>) -> Value {
    let color = if is_fine(outcome) { "Good" } else { "Attention" };
    let mut first = vec![
        runs(&[
            json!({ "type": "TextRun", "text": title(outcome), "weight": "Bolder", "size": "Large", "color": color }),
        ]),
        runs(&[run(&summary(outcome))]),
    ];
    first.extend(errors(outcome).iter().map(|error| runs(&[bold("error ", "Attention"), run(error)])));
    let last = |left: usize| {
        let hidden = (left > 0).then(|| runs(&[run(&more(left))]));
        hidden.into_iter().chain(link.map(|link| runs(&[run(&format!("Report: {link}"))])))
    };
    let whole: Vec<Value> = first.iter().cloned().chain(last(COUNTED)).collect();
    let mut room = MOST_BYTES.saturating_sub(length(&message(whole)));
    let findings = lines(outcome).map(|line| {
        let color = match line.severity {
            _ if line.is_over => "Good",
            Severity::Critical | Severity::High => "Attention",
            Severity::Medium => "Warning",
            _ => "Default",
        };
        runs(&[bold(&format!("{} ", line.head), color), run(&line.text)])
    });
    let (findings, left) = fit(&mut room, MOST_FINDINGS, findings);
    first.extend(findings);
    first.extend(last(left));
    message(first)
}

/// Returns a test message.
pub fn compose_test(text: &str) -> Value {
    message(vec![runs(&[run(text)])])
}

fn message(body: Vec<Value>) -> Value {
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": { "width": "Full" },
                "body": body,
            },
        }],
    })
}

fn runs(inlines: &[Value]) -> Value {
    json!({ "type": "RichTextBlock", "inlines": inlines })
}

fn run(text: &str) -> Value {
    json!({ "type": "TextRun", "text": clip(text, LONGEST_TEXT) })
}

fn bold(text: &str, color: &str) -> Value {
    json!({ "type": "TextRun", "text": text, "weight": "Bolder", "color": color })
}

/// Sends the card. A workflow posts it later, so its answer proves only that the card was queued.
pub async fn send(url: &SecretUrl, body: Bytes, poster: &Poster) -> Result<Receipt, DeliveryError> {
    let answer = poster.post(url.expose(), &url.shown(), body, &|_| json_header()).await?;
    let words = if answer.status == ACCEPTED { "queued it; the workflow posts it later" } else { "took it" };
    answer.receipt(words)
}
