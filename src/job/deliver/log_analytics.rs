//! Rows for a table of Log Analytics, by the Logs Ingestion API: findings and coverage, never flows.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use url::Url;

use super::digest::{clip, length};
use super::error::{DeliveryError, Receipt};
use super::outcome::Outcome;
use super::post::{Poster, json_header};
use crate::findings::history::Change;
use crate::findings::{Coverage, Finding, counted};
use crate::job::config::secret::Secret;
use crate::report::{fix_in_words, name_of};
use crate::source::{Access, Cloud, sign_in};
use crate::time::Timestamp;

/// Bytes of one call, below the limit of 1 MB that holds with and without compression.
const MOST_BYTES: usize = 950_000;
/// Longest text in characters. The service cuts at 64 kB.
const LONGEST_TEXT: usize = 8_000;
const LONGEST_NAME: usize = 1_000;
/// Version of the API.
const API: &str = "2023-01-01";
/// Status of a call that is too large.
const TOO_LARGE: u16 = 413;

/// Returns the rows as a JSON array, or `None` without an analysis.
pub fn compose(outcome: &Outcome, id: &str) -> Option<Value> {
    let analysis = outcome.analysis?;
    let change = |found: &Finding| {
        let mut changes = outcome.changes.into_iter().flat_map(|changes| &changes.list);
        changes.find(|change| change.finding.fingerprint == found.identity.fingerprint)
    };
    let findings = analysis.findings.iter().map(|found| finding(found, change(found)));
    let rows = findings.chain(analysis.coverage.iter().map(coverage)).map(|mut row| {
        if let Some(columns) = row.as_object_mut() {
            columns.insert("TimeGenerated".to_owned(), json!(outcome.at));
            columns.insert("Instance".to_owned(), json!(clip(outcome.instance, LONGEST_NAME)));
            columns.insert("Run".to_owned(), json!(outcome.run));
            columns.insert("MessageId".to_owned(), json!(id));
            columns.retain(|_, value| !value.is_null());
        }
        row
    });
    Some(Value::Array(rows.collect()))
}

/// Returns the row of a test message.
pub fn compose_test(text: &str, instance: &str, at: Timestamp, id: &str) -> Value {
    json!([{ "TimeGenerated": at, "Instance": instance, "MessageId": id, "Record": "test", "Explanation": text }])
}

fn finding(found: &Finding, change: Option<&Change>) -> Value {
    let name = |text: &Option<String>| text.as_deref().map(|text| clip(text, LONGEST_NAME));
    json!({
        "Record": "finding",
        "FindingId": found.identity.id,
        "Fingerprint": found.identity.fingerprint,
        "FindingKind": found.identity.kind,
        "Transition": change.map(|change| change.transition),
        "Severity": found.grade.severity,
        "Score": found.grade.score,
        "Verdict": found.grade.verdict,
        "State": found.grade.state,
        "Suppressed": found.suppressed.is_some(),
        "Name": clip(&name_of(found.identity.kind, &found.subject), LONGEST_NAME),
        "Requirement": name(&found.subject.requirement),
        "Subnet": clip(&found.subject.subnet, LONGEST_NAME),
        "Direction": found.subject.direction,
        "Protocol": clip(&found.subject.protocol, LONGEST_NAME),
        "Ports": found.subject.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        "Acl": name(&found.blame.acl),
        "Rule": name(&found.blame.rule),
        "DeniedTuples": found.denials.denied_tuples,
        "FirstDenied": found.times.first_denied,
        "LastDenied": found.times.last_denied,
        "LastAllowedBefore": found.times.last_allowed_before,
        "Explanation": clip(&found.explanation, LONGEST_TEXT),
        "Fix": clip(&fix_in_words(&found.fix), LONGEST_TEXT),
    })
}

fn coverage(row: &Coverage) -> Value {
    json!({
        "Record": "coverage",
        "Requirement": clip(&row.requirement, LONGEST_NAME),
        "Subnet": row.subnet,
        "Direction": row.direction,
        "Protocol": clip(&row.protocol, LONGEST_NAME),
        "Ports": clip(&row.ports.join(","), LONGEST_NAME),
        "Necessity": row.necessity,
        "Verdict": row.verdict,
        "DeniedTuples": row.denied_tuples,
        "AllowedTuples": row.allowed_tuples,
        "LastFlow": row.last_flow,
        "SilentSince": row.silent_since,
    })
}

/// Fetches a token for the cloud that an endpoint is in. Without one the rows wait, as an identity service may be away.
pub async fn token(endpoint: &Url, access: &Access) -> Result<Secret, DeliveryError> {
    let host = endpoint.host_str().unwrap_or_default();
    let (cloud, scope) = cloud(host);
    let token = sign_in(access, cloud, scope, host).await;
    token.map(Secret::new).map_err(|error| DeliveryError::Transient(error.to_string()))
}

/// Returns the cloud of a host, and the scope of the tokens for its logs.
fn cloud(host: &str) -> (Cloud, &'static str) {
    match host {
        _ if host.ends_with(".monitor.azure.us") => (Cloud::Government, "https://monitor.azure.us/.default"),
        _ if host.ends_with(".monitor.azure.cn") => (Cloud::China, "https://monitor.azure.cn/.default"),
        _ => (Cloud::Public, "https://monitor.azure.com/.default"),
    }
}

/// Place of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'a> {
    /// Address of the data collection rule or endpoint.
    pub endpoint: &'a Url,
    /// Immutable id of the rule.
    pub dcr: &'a str,
    /// Name of the stream.
    pub stream: &'a str,
}

/// Sends the rows, in as many calls as their size needs. After a failure all of them are sent again, because the
/// service has no transactions; `MessageId` and `Fingerprint` tell the copies of a row.
pub async fn send(stream: Stream<'_>, token: &Secret, body: &[u8], poster: &Poster) -> Result<Receipt, DeliveryError> {
    let host = stream.endpoint.host_str().unwrap_or_default();
    let refused = |why: &str| DeliveryError::Refused(format!("{host}: {why}"));
    let rows: Vec<Value> = serde_json::from_slice(body).map_err(|_| refused("the message is no list of rows"))?;
    let mut url = stream.endpoint.clone();
    url.path_segments_mut().map_err(|()| refused("it is no address of a service"))?.pop_if_empty().extend([
        "dataCollectionRules",
        stream.dcr,
        "streams",
        stream.stream,
    ]);
    url.set_query(Some(&format!("api-version={API}")));
    let headers = headers(token).map_err(|_| refused("the token has letters that no header may have"))?;
    let (mut waiting, mut tries, mut calls) = (chunks(&rows), 0, 0_usize);
    waiting.reverse();
    while let Some(chunk) = waiting.pop() {
        let packed = packed(chunk).map_err(|error| refused(&error.to_string()))?;
        let answer = poster.post(&url, host, packed, &|_| headers.clone()).await?;
        tries += answer.tries;
        match (answer.status, chunk.split_at(chunk.len() / 2)) {
            (TOO_LARGE, (first, second)) if !first.is_empty() => waiting.extend([second, first]),
            (TOO_LARGE, _) => return Err(refused("answered 413: it takes not even one row")),
            (401 | 403, _) => {
                return Err(refused(&format!(
                    "answered {}: the identity needs the role Monitoring Metrics Publisher on the data collection \
                     rule, which takes some minutes to act",
                    answer.status
                )));
            }
            (404, _) => return Err(refused("answered 404: check the endpoint, the immutable id and the stream")),
            _ => {
                answer.receipt("took the rows")?;
                calls += 1;
            }
        }
    }
    let (rows, calls) = (counted(rows.len() as i64, "row"), counted(calls as i64, "call"));
    Ok(Receipt { tries, words: format!("{host} took {rows} in {calls}") })
}

fn headers(token: &Secret) -> Result<HeaderMap, http::header::InvalidHeaderValue> {
    let mut headers = json_header();
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()))?;
    bearer.set_sensitive(true);
    headers.insert(AUTHORIZATION, bearer);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Ok(headers)
}

/// Splits rows into lists of at most [`MOST_BYTES`] as JSON.
fn chunks(rows: &[Value]) -> Vec<&[Value]> {
    let (mut chunks, mut start, mut bytes) = (Vec::new(), 0, 2);
    for (at, row) in rows.iter().enumerate() {
        let needed = length(row) + 1;
        if bytes + needed > MOST_BYTES && at > start {
            chunks.extend(rows.get(start..at));
            (start, bytes) = (at, 2);
        }
        bytes += needed;
    }
    chunks.extend(rows.get(start..).filter(|rest| !rest.is_empty()));
    chunks
}

fn packed(rows: &[Value]) -> io::Result<Bytes> {
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(&serde_json::to_vec(rows)?)?;
    Ok(out.finish()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_for_the_cloud_of_the_endpoint() {
        for (host, expected, end) in [
            ("x.westeurope-1.ingest.monitor.azure.com", Cloud::Public, ".com/.default"),
            ("x.usgovvirginia-1.ingest.monitor.azure.us", Cloud::Government, ".us/.default"),
            ("x.chinanorth3-1.ingest.monitor.azure.cn", Cloud::China, ".cn/.default"),
        ] {
            let (found, scope) = cloud(host);
            assert!(found == expected && scope.ends_with(end), "{host}: {found} {scope}");
        }
    }
}
