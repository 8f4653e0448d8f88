//! Counts of the server, as Prometheus reads them.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the histogram of run times, in seconds.
const BOUNDS: [f64; 9] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0];

/// How a statement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With its answer.
    Answered,
    /// With an error.
    Failed,
    /// By its client's request.
    Cancelled,
    /// By the timeout.
    TimedOut,
    /// Because its client went away.
    Abandoned,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections now, known or not.
    pub open: AtomicI64,
    /// Connections whose client is known now.
    pub known: AtomicI64,
    /// Connections so far.
    pub accepted: AtomicU64,
    /// Connections that ended before their client was known.
    pub rejected: AtomicU64,
    /// Wrong passwords and unknown users.
    pub wrong_passwords: AtomicU64,
    /// Rows sent.
    pub rows: AtomicU64,
    /// Bytes sent.
    pub bytes: AtomicU64,
    /// Statements, by how they ended.
    ended: [AtomicU64; 5],
    /// Statements per bound of [`BOUNDS`].
    buckets: [AtomicU64; BOUNDS.len()],
    /// Run time of all statements, in µs.
    micros: AtomicU64,
    /// Lists of the sources so far.
    pub listed: AtomicU64,
    /// Lists and analyses that failed.
    pub failed_refreshes: AtomicU64,
    /// Time of the last list, in ms since 1970.
    pub listed_at: AtomicI64,
    /// Time of the last analysis, in ms since 1970.
    pub analyzed_at: AtomicI64,
    /// Time of the last flow, in ms since 1970.
    pub last_flow: AtomicI64,
}

/// One of a number of things now, until it is dropped. So a panic leaves the number right.
pub struct Held<'a>(&'a AtomicI64);

impl<'a> Held<'a> {
    /// Adds one.
    pub fn one(number: &'a AtomicI64) -> Self {
        number.fetch_add(1, Ordering::Relaxed);
        Self(number)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts a statement.
    pub fn count(&self, ended: Ended, time: Duration) {
        self.ended[ended as usize].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            if time.as_secs_f64() <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Returns the text of all metrics. `reserved` is what running queries hold of the memory.
    pub fn text(&self, reserved: usize) -> String {
        let mut text = String::new();
        let mut put = |name: &str, kind: &str, help: &str, lines: &[(&str, String)]| {
            _ = writeln!(text, "# HELP flowgap_serve_{name} {help}\n# TYPE flowgap_serve_{name} {kind}");
            lines.iter().for_each(|(labels, value)| _ = writeln!(text, "flowgap_serve_{name}{labels} {value}"));
        };
        let one = |value: String| [("", value)];
        let count = |value: &AtomicU64| one(value.load(Ordering::Relaxed).to_string());
        let gauge = |value: &AtomicI64| one(value.load(Ordering::Relaxed).to_string());
        let seconds = |value: &AtomicI64| one(format!("{:.3}", value.load(Ordering::Relaxed) as f64 / 1000.0));
        put("connections", "gauge", "Connections that are open.", &gauge(&self.open));
        put("sessions", "gauge", "Connections whose client is authenticated.", &gauge(&self.known));
        put("connections_total", "counter", "Connections accepted.", &count(&self.accepted));
        put("rejected_total", "counter", "Connections that ended before authentication.", &count(&self.rejected));
        put("wrong_passwords_total", "counter", "Failed authentications.", &count(&self.wrong_passwords));
        let ended = ["answered", "failed", "cancelled", "timed_out", "abandoned"];
        let labels = ended.map(|result| format!("{{result=\"{result}\"}}"));
        let counts = || self.ended.iter().map(|count| count.load(Ordering::Relaxed));
        let lines: Vec<(&str, String)> =
            labels.iter().map(String::as_str).zip(counts().map(|c| c.to_string())).collect();
        put("statements_total", "counter", "Statements, by how they ended.", &lines);
        let bounds = BOUNDS.map(|bound| format!("_bucket{{le=\"{bound}\"}}"));
        let buckets = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed).to_string());
        let mut lines: Vec<(&str, String)> = bounds.iter().map(String::as_str).zip(buckets).collect();
        let total = counts().sum::<u64>().to_string();
        lines.push(("_bucket{le=\"+Inf\"}", total.clone()));
        lines.push(("_sum", format!("{:.6}", self.micros.load(Ordering::Relaxed) as f64 / 1e6)));
        lines.push(("_count", total));
        put("statement_seconds", "histogram", "Run time of statements.", &lines);
        put("rows_total", "counter", "Rows sent.", &count(&self.rows));
        put("sent_bytes_total", "counter", "Bytes sent.", &count(&self.bytes));
        put("reserved_bytes", "gauge", "Memory that running queries have reserved.", &one(reserved.to_string()));
        put("listings_total", "counter", "Lists of the sources.", &count(&self.listed));
        put("failed_refreshes_total", "counter", "Lists and analyses that failed.", &count(&self.failed_refreshes));
        put("listed_timestamp_seconds", "gauge", "Time of the last list.", &seconds(&self.listed_at));
        put(
            "analysis_timestamp_seconds",
            "gauge",
            "Time of the last analysis; 0 before it.",
            &seconds(&self.analyzed_at),
        );
        put("last_flow_timestamp_seconds", "gauge", "Time of the last flow; 0 if unknown.", &seconds(&self.last_flow));
        text
    }
}
