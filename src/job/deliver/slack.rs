//! Messages to an incoming webhook of Slack.

use bytes::Bytes;
use serde_json::{Value, json};

use super::digest::{MOST_BYTES, clip, errors, fit, length, lines, more, summary, title};
use super::error::{DeliveryError, Receipt};
use super::outcome::Outcome;
use super::post::{Poster, json_header};
use crate::job::config::secret::SecretUrl;

/// Most findings of a message, so that it has fewer than the 50 blocks that Slack takes.
const MOST_FINDINGS: usize = 30;
/// Longest text of a block in characters. Slack takes 3000 after escaping, and a letter may become five.
const LONGEST_TEXT: usize = 590;
/// A count as long as any, to measure what the last lines need.
const COUNTED: usize = 1_000_000;
/// Longest header in characters, as Slack has it.
const LONGEST_HEADER: usize = 140;

/// Returns the message.
pub fn compose(outcome: &Outcome, link: Option<&str>) -> Value {
    let (title, summary) = (title(outcome), summary(outcome));
    let mut first = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": clip(&title, LONGEST_HEADER), "emoji": false } }),
        section(&escaped(&clip(&summary, LONGEST_TEXT))),
    ];
    first.extend(errors(outcome).iter().map(|error| section(&format!("*error* {}", escaped(error)))));
    let last = |left: usize| {
        let hidden = (left > 0).then(|| section(&more(left)));
        let link = link.map(|link| section(&format!("Report: {}", escaped(&clip(link, LONGEST_TEXT)))));
        hidden.into_iter().chain(link)
    };
    let message = |blocks: Vec<Value>| json!({ "text": escaped(&format!("{title}. {summary}")), "blocks": blocks });
    let whole: Vec<Value> = first.iter().cloned().chain(last(COUNTED)).collect();
    let mut room = MOST_BYTES.saturating_sub(length(&message(whole)));
    let findings = lines(outcome)
        .map(|line| section(&format!("*{}* {}", escaped(&line.head), escaped(&clip(&line.text, LONGEST_TEXT)))));
    let (findings, left) = fit(&mut room, MOST_FINDINGS, findings);
    first.extend(findings);
    first.extend(last(left));
    message(first)
}

/// Returns a test message.
pub fn compose_test(text: &str) -> Value {
    json!({ "text": text, "blocks": [section(text)] })
}

/// Returns a block. Slack makes no links and mentions of bare text in it.
fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } })
}

/// Escapes what Slack takes for a link or a mention, and what ends a stretch of bold text or code.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(['`', '*', '~'], "'")
}

/// Sends the message.
pub async fn send(url: &SecretUrl, body: Bytes, poster: &Poster) -> Result<Receipt, DeliveryError> {
    poster.post(url.expose(), &url.shown(), body, &|_| json_header()).await?.receipt("took it")
}
