//! POST requests with retries, within a limit of tries and time. No error holds an address or a part of an answer,
//! except single words that services are known to answer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response};
use url::Url;

use super::error::{DeliveryError, Receipt};
use crate::findings::counted;
use crate::job::config::secret::is_loopback;
use crate::time::Timestamp;

/// Limits of one delivery.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Number of attempts.
    pub tries: u32,
    /// Time for all attempts and the waits between them.
    pub longest: Duration,
    /// Wait before the second attempt. Each further wait is twice as long, with a random part.
    pub first_wait: Duration,
    /// Time for one attempt.
    pub timeout: Duration,
    /// Clock that signatures are dated by.
    pub clock: fn() -> Timestamp,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tries: 5,
            longest: Duration::from_secs(120),
            first_wait: Duration::from_secs(1),
            timeout: Duration::from_secs(30),
            clock: || Timestamp(Utc::now().timestamp_millis()),
        }
    }
}

/// Bytes of an answer that are read.
const MOST_OF_ANSWER: usize = 64 << 10;
/// Longest word of an answer that is shown.
const LONGEST_WORD: usize = 40;
/// Redirects that are followed.
const MOST_REDIRECTS: usize = 3;

/// Sends requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Poster {
    client: Client,
    /// Client for services of this machine, which no proxy may see.
    near: Client,
    /// Limits of each delivery.
    pub limits: Limits,
}

/// Final answer of a service.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Number of requests.
    pub tries: u32,
    /// Host, as shown.
    pub shown: String,
    /// Word in the body that names the reason, such as `invalid_payload`.
    word: Option<String>,
}

/// Headers of JSON.
pub fn json_header() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))])
}

impl Poster {
    /// Creates a client. Fails if the system's certificates cannot be used.
    pub fn new(limits: Limits) -> Result<Self, reqwest::Error> {
        let builder = || {
            let agent = concat!("flowgap/", env!("CARGO_PKG_VERSION"));
            Client::builder().redirect(Policy::custom(follow)).referer(false).user_agent(agent)
        };
        Ok(Self { client: builder().build()?, near: builder().no_proxy().build()?, limits })
    }

    /// Sends a body until it is answered for good. `headers` are made anew for each attempt, given its time. `shown` is
    /// the name of the address in errors.
    pub async fn post(
        &self,
        url: &Url,
        shown: &str,
        body: Bytes,
        headers: &(dyn Fn(Timestamp) -> HeaderMap + Sync),
    ) -> Result<Answer, DeliveryError> {
        let client = if is_loopback(url) { &self.near } else { &self.client };
        let begun = Instant::now();
        let left = || self.limits.longest.saturating_sub(begun.elapsed());
        let mut tries = 0;
        loop {
            tries += 1;
            let request = client.post(url.clone()).headers(headers((self.limits.clock)())).body(body.clone());
            let limit = self.limits.timeout.min(left());
            let answered = tokio::time::timeout(limit, async { read(request.send().await?).await }).await;
            let (asked, why) = match answered {
                Ok(Ok(read)) if !is_transient(read.status) => {
                    return Ok(Answer { status: read.status, tries, shown: shown.to_owned(), word: read.word });
                }
                Ok(Ok(read)) => (read.wait, format!("answered {}", read.status)),
                Ok(Err(error)) => (None, trouble(&error).to_owned()),
                Err(_) => (None, "did not answer in time".to_owned()),
            };
            let wait = asked.unwrap_or_default().max(self.wait(tries));
            if tries >= self.limits.tries || wait >= left() {
                let asked = asked.map(|asked| format!(" and asks to wait {} s", asked.as_secs())).unwrap_or_default();
                let tries = counted(tries.into(), "attempt");
                return Err(DeliveryError::Transient(format!("{shown} {why}{asked} ({tries})")));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Returns the wait after `tries` attempts. Half of it is random, so that jobs do not retry at the same time.
    fn wait(&self, tries: u32) -> Duration {
        let wait = self.limits.first_wait.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
        wait.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

impl Answer {
    /// Returns the receipt of a good answer, with what the service did in words. Any other answer is an error.
    pub fn receipt(self, words: &str) -> Result<Receipt, DeliveryError> {
        let Self { status, tries, shown, word } = self;
        let word = word.map(|word| format!(" {word}")).unwrap_or_default();
        match status {
            200..=299 => Ok(Receipt { tries, words: format!("{shown} {words}") }),
            300..=399 => Err(DeliveryError::Refused(format!(
                "{shown} answered {status}: it redirects to another place, which is not followed: set its new address"
            ))),
            410 => Err(DeliveryError::Gone(format!("{shown} answered 410: it no longer exists: set a new address"))),
            401 | 403 | 404 => Err(DeliveryError::Refused(format!(
                "{shown} answered {status}{word}: check the address and its secret"
            ))),
            _ => Err(DeliveryError::Refused(format!("{shown} answered {status}{word}: it does not take this message"))),
        }
    }
}

/// What is kept of an answer.
struct Read {
    status: u16,
    wait: Option<Duration>,
    word: Option<String>,
}

async fn read(mut answer: Response) -> Result<Read, reqwest::Error> {
    let status = answer.status().as_u16();
    let wait = asked_to_wait(answer.headers());
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await? {
        bytes.extend_from_slice(&part);
        if bytes.len() > MOST_OF_ANSWER {
            break;
        }
    }
    Ok(Read { status, wait, word: word(&bytes) })
}

/// Returns the reason in an answer: a body that is one word, as Slack has it, or the code of an error, as Azure has it.
/// Anything else may hold what was sent, so it is not shown.
fn word(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let code = serde_json::from_str::<serde_json::Value>(text).ok();
    let code = code.as_ref().and_then(|json| json.pointer("/error/code")?.as_str());
    let word = code.unwrap_or(text);
    let is_word = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    (!word.is_empty() && word.len() <= LONGEST_WORD && word.chars().all(is_word)).then(|| word.to_owned())
}

/// Follows a redirect only within a host, and only if the request stays a POST.
fn follow(attempt: Attempt) -> reqwest::redirect::Action {
    let place = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
    let is_same = attempt.previous().first().is_some_and(|first| place(first) == place(attempt.url()));
    let stays = matches!(attempt.status().as_u16(), 307 | 308);
    match is_same && stays && attempt.previous().len() <= MOST_REDIRECTS {
        true => attempt.follow(),
        false => attempt.stop(),
    }
}

/// Returns whether a later attempt may be answered otherwise.
fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// Returns the delay that a service asks for, in seconds or as a date.
fn asked_to_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let until = || (DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc) - Utc::now()).to_std().ok();
    text.parse().ok().map(Duration::from_secs).or_else(until)
}

/// Describes a failed request. The words of the error itself hold the address.
fn trouble(error: &reqwest::Error) -> &'static str {
    match error {
        error if error.is_timeout() => "did not answer in time",
        error if error.is_connect() => "cannot be reached, or its certificate is not trusted",
        error if error.is_redirect() => "redirects in a circle",
        _ => "broke the connection",
    }
}
