//! HTTP with retries, timeouts and counters. Temporary errors are retried with growing delays, and stalled requests
//! fail. All traffic of a remote store passes through here, including list pages and tokens.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt};
use http::uri::Authority;
use http_body::Frame;
use http_body_util::StreamBody;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::{ClientOptions, HeaderMap};
use reqwest::redirect::Policy;
use tokio::time::timeout;

use crate::source::error::Untaken;
use crate::source::list::odd_names::OddNames;

/// Timeouts and retries of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Timeout without receiving a byte. A whole request may take `AS_A_WHOLE` times as long, and more for the bytes
    /// it asks for.
    pub stall: Duration,
    /// Number of retries after the first attempt. Connection errors, timeouts, truncated responses and the statuses
    /// 408, 429, 500, 502, 503 and 504 are retried.
    pub retries: u32,
}

impl RetryPolicy {
    /// Default of [`Self::stall`], in seconds.
    pub const STALL_SECONDS: u64 = 30;
    /// Default of [`Self::retries`].
    pub const RETRIES: u32 = 5;
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { stall: Duration::from_secs(Self::STALL_SECONDS), retries: Self::RETRIES }
    }
}

const AS_A_WHOLE: u32 = 10;
/// Bytes per second, the slowest rate that the timeout allows.
const SLOW: f64 = 16e3;
/// First delay before a retry. Each further delay is twice as long, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Number of consecutive failed requests after which the service counts as gone. After that, one request per [`PROBE`]
/// checks whether it is back.
const OUTAGE_AFTER: u64 = 32;
const PROBE: Duration = Duration::from_secs(1);
/// Connection timeout, and the one for an identity service on or near this machine.
const CONNECT: Duration = Duration::from_secs(10);
const CONNECT_NEAR: Duration = Duration::from_secs(1);
/// Limits in bytes for a list page or a token, and for the body of an error.
const MOST_BYTES: usize = 16 << 20;
const MOST_OF_ERROR: usize = 64 << 10;
/// Interval at which waiting requests check whether the service is back.
const POLL: Duration = Duration::from_millis(50);

/// Counters of requests and bytes, and the state of an outage. Thread-safe.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: AtomicU64,
    lists: AtomicU64,
    retries: AtomicU64,
    bytes: AtomicU64,
    /// Consecutive requests that failed after all retries.
    given_up: AtomicU64,
    /// Number of responses so far.
    answers: AtomicU64,
    /// Time of the service minus that of this machine, in ms, by the last response with a time.
    ahead: Mutex<Option<i64>>,
    /// Set while the service is gone.
    outage: Mutex<Option<Outage>>,
}

#[derive(Debug, Clone, Copy)]
struct Outage {
    since: Instant,
    probed: Instant,
}

/// Snapshot of the traffic counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrafficSummary {
    /// All requests, including retries.
    pub requests: u64,
    /// Requests for a list page.
    pub lists: u64,
    /// Requests made again after a failure.
    pub retries: u64,
    /// Bytes of the response bodies.
    pub bytes: u64,
    /// Time of the service minus that of this machine, in ms; `None` if no response had one.
    pub clock_ahead: Option<i64>,
}

impl Traffic {
    /// Returns whether a request may be sent. While the service is gone, requests wait for the one that probes it.
    /// After `longest` they fail at once, and only probes are sent.
    async fn wait_until_up(&self, longest: Duration) -> bool {
        while self.given_up.load(Ordering::Relaxed) >= OUTAGE_AFTER {
            if self.may_probe() {
                return true;
            }
            if self.outage().is_some_and(|outage| outage.since.elapsed() > longest) {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }

    fn may_probe(&self) -> bool {
        let (mut outage, now) = (self.outage(), Instant::now());
        let outage = outage.get_or_insert(Outage { since: now, probed: now });
        let is_due = outage.probed.elapsed() >= PROBE;
        if is_due {
            outage.probed = now;
        }
        is_due
    }

    fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        if self.given_up.swap(0, Ordering::Relaxed) >= OUTAGE_AFTER {
            *self.outage() = None;
        }
    }

    fn outage(&self) -> MutexGuard<'_, Option<Outage>> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn summary(&self) -> TrafficSummary {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TrafficSummary {
            requests: load(&self.requests),
            lists: load(&self.lists),
            retries: load(&self.retries),
            bytes: load(&self.bytes),
            clock_ahead: *self.ahead.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// Creates HTTP clients with retries and timeouts.
#[derive(Debug, Clone)]
pub(in crate::source) struct Connector {
    pub(in crate::source) retry: RetryPolicy,
    pub(in crate::source) traffic: Arc<Traffic>,
    /// Collects names in list pages that cannot be requested.
    pub(in crate::source) odd_names: Arc<OddNames>,
    /// Maximum number of idle connections per host.
    pub(in crate::source) connections: usize,
}

impl HttpConnector for Connector {
    /// Creates a client that neither follows redirects nor sends a referrer. Blob Storage has no redirects, and a
    /// request's address may hold a signature.
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut client = reqwest::Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .user_agent(concat!("flowgap/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(self.connections);
        // The connect timeout differs only for managed identities, whose service is on or near this machine.
        let is_near = options.get_config_value(&ClientConfigKey::ConnectTimeout)
            != ClientOptions::default().get_config_value(&ClientConfigKey::ConnectTimeout);
        client = match is_near {
            true => client.connect_timeout(CONNECT_NEAR).no_proxy(),
            false => client.connect_timeout(self.retry.stall.min(CONNECT)),
        };
        let failed =
            |error: reqwest::Error| object_store::Error::Generic { store: "HTTP client", source: error.into() };
        Ok(HttpClient::new(RetryingClient {
            client: HttpClient::new(client.build().map_err(failed)?),
            retry: self.retry,
            traffic: Arc::clone(&self.traffic),
            odd_names: Arc::clone(&self.odd_names),
        }))
    }
}

#[derive(Debug)]
struct RetryingClient {
    client: HttpClient,
    retry: RetryPolicy,
    traffic: Arc<Traffic>,
    odd_names: Arc<OddNames>,
}

#[async_trait]
impl HttpService for RetryingClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_list = request.uri().query().is_some_and(|query| query.contains("comp=list"));
        let traffic = &*self.traffic;
        let mut tries = 0;
        loop {
            if !traffic.wait_until_up(self.retry.stall).await {
                return Err(trouble(HttpErrorKind::Unknown, "the service stopped answering".to_owned()));
            }
            traffic.requests.fetch_add(1, Ordering::Relaxed);
            traffic.lists.fetch_add(u64::from(is_list), Ordering::Relaxed);
            traffic.retries.fetch_add(u64::from(tries > 0), Ordering::Relaxed);
            let whole =
                self.retry.stall * AS_A_WHOLE + Duration::from_secs_f64(asked_for(&request).unwrap_or(0) as f64 / SLOW);
            let answer = timeout(whole, self.once(request.clone(), is_list)).await.unwrap_or_else(|_| {
                Err(trouble(HttpErrorKind::Timeout, format!("no complete response within {} s", whole.as_secs())))
            });
            let is_final = match &answer {
                Ok(answer) => !is_transient(answer.status().as_u16()),
                Err(error) => error.source().is_some_and(|cause| cause.is::<Untaken>()),
            };
            if is_final {
                traffic.answered();
                return answer;
            }
            let asked = answer.as_ref().ok().and_then(|answer| asked_to_wait(answer.headers()));
            // A host that never answered is more likely misspelled than busy, so it gets one retry.
            let is_stranger = traffic.answers.load(Ordering::Relaxed) == 0
                && answer.as_ref().is_err_and(|error| error.kind() == HttpErrorKind::Connect);
            if tries >= self.retry.retries.min(if is_stranger { 1 } else { u32::MAX }) {
                traffic.given_up.fetch_add(1, Ordering::Relaxed);
                return answer;
            }
            tokio::time::sleep(wait(tries).max(asked.unwrap_or_default())).await;
            tries += 1;
        }
    }
}

impl RetryingClient {
    /// Sends a request once and receives the whole body, so that a truncated response is an error. At most the
    /// requested bytes are read, and only the start of an error.
    async fn once(&self, request: HttpRequest, is_list: bool) -> Result<HttpResponse, HttpError> {
        let stall = self.retry.stall;
        let stalled = |_| trouble(HttpErrorKind::Timeout, format!("no data for {} s", stall.as_secs_f32()));
        let untaken = |why: Untaken| HttpError::new(HttpErrorKind::Unknown, why);
        let has_body = request.method() != "HEAD";
        let (most, uri) = (asked_for(&request).unwrap_or(MOST_BYTES), request.uri().clone());
        let answer = timeout(stall, self.client.execute(request)).await.map_err(stalled)??;
        let (parts, body) = answer.into_parts();
        if let Some(time) = time_of(&parts.headers) {
            let ahead = time - Utc::now().timestamp_millis();
            *self.traffic.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
        let (is_good, status) = (parts.status.is_success(), parts.status.as_u16());
        if parts.status.is_redirection() && status != NOT_MODIFIED {
            let by = format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", host_of));
            return Err(untaken(Untaken::Redirect { by, status }));
        }
        let expected = length(&parts.headers).filter(|_| has_body && is_good);
        if expected.is_some_and(|expected| expected > most) {
            return Err(untaken(Untaken::TooLong { most }));
        }
        // The chunks are kept as received, because joining them would copy everything.
        let (mut taken, mut count) = (Vec::new(), 0);
        let mut body = body.bytes_stream();
        while let Some(bytes) = timeout(stall, body.next()).await.map_err(stalled)? {
            let bytes = bytes?;
            count += bytes.len();
            taken.push(bytes);
            if count > if is_good { most } else { MOST_OF_ERROR } {
                if is_good {
                    return Err(untaken(Untaken::TooLong { most }));
                }
                break;
            }
        }
        self.traffic.bytes.fetch_add(count as u64, Ordering::Relaxed);
        if is_list && is_good {
            taken = vec![self.odd_names.sift(Bytes::from(taken.concat()))];
        }
        match expected {
            Some(expected) if expected != count => {
                let words = format!("the response ended after {count} of {expected} bytes");
                Err(trouble(HttpErrorKind::Interrupted, words))
            }
            _ => {
                let frames = stream::iter(taken.into_iter().map(|bytes| Ok(Frame::data(bytes))));
                Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(StreamBody::new(frames))))
            }
        }
    }
}

const NOT_MODIFIED: u16 = 304;

/// Returns host and port, without the user.
fn host_of(authority: &Authority) -> &str {
    authority.as_str().rsplit('@').next().unwrap_or_default()
}

/// Returns the number of bytes in the range that a request asks for.
fn asked_for(request: &HttpRequest) -> Option<usize> {
    let (start, end) = request.headers().get("range")?.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    end.parse::<usize>().ok()?.checked_sub(start.parse().ok()?)?.checked_add(1)
}

fn length(headers: &HeaderMap) -> Option<usize> {
    length_of_range(headers).or_else(|| headers.get("content-length")?.to_str().ok()?.parse().ok())
}

/// Returns the length in `Content-Range: bytes 0-99/200`. Unlike `Content-Length`, it is right even if a proxy changed
/// the body.
fn length_of_range(headers: &HeaderMap) -> Option<usize> {
    let range = headers.get("content-range")?.to_str().ok()?.strip_prefix("bytes ")?;
    let (start, end) = range.split('/').next()?.split_once('-')?;
    end.parse::<usize>().ok()?.checked_sub(start.parse().ok()?)?.checked_add(1)
}

/// Returns the time of the service, in ms since 1970.
fn time_of(headers: &HeaderMap) -> Option<i64> {
    Some(DateTime::parse_from_rfc2822(headers.get("date")?.to_str().ok()?).ok()?.timestamp_millis())
}

/// Returns whether a status is temporary.
fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Returns the delay that the service asks for, at most [`LONGEST_WAIT`].
fn asked_to_wait(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let asked = number("x-ms-retry-after-ms").or_else(|| number("retry-after-ms")).map(Duration::from_millis);
    asked.or_else(|| number("retry-after").map(Duration::from_secs)).map(|asked| asked.min(LONGEST_WAIT))
}

/// Returns the delay after `tries` attempts. A random part of up to half of it is added, so that clients do not retry
/// at the same time.
fn wait(tries: u32) -> Duration {
    (FIRST_WAIT * 2u32.saturating_pow(tries)).min(LONGEST_WAIT).mul_f64(1.0 + fastrand::f64() / 2.0)
}

#[derive(Debug)]
struct Trouble(String);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Trouble {}

fn trouble(kind: HttpErrorKind, words: String) -> HttpError {
    HttpError::new(kind, Trouble(words))
}
