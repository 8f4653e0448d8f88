//! Requests: every answer of a service, and none.

use std::time::{Duration, Instant};

use flowgap::job::deliver::DeliveryError;

use super::*;

/// Sends one message to a service that takes these steps. Returns the result as text, and the requests.
fn sent(kind: &str, steps: Vec<Step>) -> (String, Vec<Request>) {
    let service = Service::start(steps);
    let (analysis, receiver) = (analysis(), hook(kind, service.server.port));
    let changes = changes(&analysis);
    let result = send(&receiver, &message(&receiver, &outcome(&analysis, &changes)));
    let text = match result {
        Ok(receipt) => format!("arrived after {}: {}", receipt.tries, receipt.words),
        Err(DeliveryError::Transient(why)) => format!("transient: {why}"),
        Err(DeliveryError::Gone(why)) => format!("gone: {why}"),
        Err(DeliveryError::Refused(why)) => format!("refused: {why}"),
    };
    (text, service.seen())
}

fn check(steps: Vec<Step>, says: &str, requests: usize) {
    for kind in ["webhook", "slack", "teams"] {
        let (text, seen) = sent(kind, steps.clone());
        assert!(text.contains(says), "{kind} says: {text}");
        assert_eq!(seen.len(), requests, "{kind}: {text}");
        assert!(seen.iter().all(|request| request.method == "POST"), "{kind}");
        assert!(seen.windows(2).all(|pair| pair[0].body == pair[1].body), "{kind}: the same bytes each time");
        // Host and last characters name the address.
        assert!(text.contains("127.0.0.1 (...9f3a)"), "{kind} says: {text}");
    }
}

#[test]
fn good_answers_are_receipts() {
    check(vec![status(200)], "arrived after 1", 1);
    check(vec![status(204)], "arrived after 1", 1);
    check(vec![status(202)], "arrived after 1", 1);
    assert!(sent("teams", vec![status(202)]).0.contains("queued it; the workflow posts it later"));
}

#[test]
fn temporary_answers_are_tried_again() {
    for first in [408, 429, 500, 502, 503, 504] {
        check(vec![status(first), status(first), status(200)], "arrived after 3", 3);
    }
    check(vec![Step::Reset, status(200)], "arrived after 2", 2);
    check(vec![Step::Stall, status(200)], "arrived after 2", 2);
    check(vec![status(500)], "transient: 127.0.0.1 (...9f3a) answered 500 (5 attempts)", 5);
    check(vec![Step::Reset], "transient: 127.0.0.1 (...9f3a) broke the connection", 5);
}

#[test]
fn a_wait_that_is_asked_for_is_kept() {
    let begun = Instant::now();
    let (text, seen) = sent("slack", vec![with(429, &[("retry-after", "1")], ""), status(200)]);
    assert!(text.starts_with("arrived after 2"), "{text}");
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(seen.len(), 2);
    // One that does not fit into the run leaves the message for the next run.
    let (text, seen) = sent("slack", vec![with(429, &[("retry-after", "600")], "")]);
    assert!(text.contains("answered 429 and asks to wait 600 s (1 attempt)"), "{text}");
    assert_eq!(seen.len(), 1);
    let (text, seen) = sent("slack", vec![with(503, &[("retry-after", "Tue, 31 Dec 2199 23:59:59 GMT")], "")]);
    assert!(text.starts_with("transient") && text.contains("asks to wait"), "{text}");
    assert_eq!(seen.len(), 1);
}

#[test]
fn a_service_that_stalls_ends_with_the_limit() {
    let begun = Instant::now();
    check(vec![Step::Stall], "transient: 127.0.0.1 (...9f3a) did not answer in time", 5);
    assert!(begun.elapsed() < Duration::from_secs(3 * 6), "{:?}", begun.elapsed());
}

#[test]
fn other_answers_are_final() {
    check(vec![status(410)], "gone: 127.0.0.1 (...9f3a) answered 410", 1);
    check(vec![with(400, &[], "invalid_payload")], "answered 400 invalid_payload: it does not take", 1);
    check(vec![with(403, &[], "invalid_token")], "answered 403 invalid_token: check the address", 1);
    check(vec![with(404, &[], &format!("<p>no hook {SECRET}</p>"))], "answered 404: check the address", 1);
    check(vec![with(413, &[], "too large")], "refused", 1);
}

#[test]
fn redirects_stay_on_the_host_and_stay_a_post() {
    let other = Service::start(vec![status(200)]);
    let to = format!("http://127.0.0.1:{}/stolen", other.server.port);
    for redirect in [301, 302, 303, 307, 308] {
        check(vec![with(redirect, &[("location", &to)], "")], "redirects to another place, which is not followed", 1);
    }
    assert!(other.seen().is_empty(), "nothing reaches another host");
    check(vec![with(302, &[("location", "/elsewhere")], ""), status(200)], "refused", 1);
    check(vec![with(307, &[("location", "/elsewhere")], ""), status(200)], "arrived after 1", 2);
    check(vec![with(308, &[("location", "/round")], "")], "refused", 4);
}

#[test]
fn a_host_that_is_not_there_is_tried_again_later() {
    let port = {
        let service = Service::start(vec![status(200)]);
        service.server.port
    };
    std::thread::sleep(Duration::from_millis(50));
    let (analysis, receiver) = (analysis(), hook("slack", port));
    let changes = changes(&analysis);
    let outcome = outcome(&analysis, &changes);
    let error = send(&receiver, &message(&receiver, &outcome)).expect_err("nobody listens");
    assert!(matches!(&error, DeliveryError::Transient(why) if why.contains("cannot be reached")), "{error:?}");
    // A service without TLS cannot be called by https.
    let plain = Service::start(vec![status(200)]);
    let address = format!("https://127.0.0.1:{}/{SECRET}", plain.server.port);
    let safe = self::receiver(&format!("kind = 'slack'\nurl = '{address}'"));
    let error = send(&safe, &message(&safe, &outcome)).expect_err("no TLS");
    assert!(matches!(&error, DeliveryError::Transient(why) if why.contains("certificate")), "{error:?}");
}
