//! Messages: size, escaping, signature, metrics, tables, reports.

use std::collections::BTreeMap;
use std::io::Read;

use flowgap::findings::{CoverageVerdict, Severity};
use flowgap::report::{Document, Format, Style, report};
use serde_json::json;

use super::*;
use crate::support::azurite::Azurite;
use crate::support::binary::check_golden;

/// Every text of a JSON value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(keys) => keys.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn messages_stay_small_and_count_what_they_leave_out() {
    let errors = vec![HOSTILE.repeat(100); 40];
    for count in [1, 30, 500] {
        let analysis = hostile(count);
        let changes = changes(&analysis);
        let outcome = Outcome { errors: &errors, ..outcome(&analysis, &changes) };
        for kind in ["webhook", "slack", "teams"] {
            let message = message(&hook(kind, 1), &outcome);
            let bytes = body(&message);
            assert!(bytes.len() < 20_000, "{kind} {count}: {} bytes", bytes.len());
            let value = json(&message);
            let shown = match kind {
                "webhook" => {
                    let listed = value["data"]["findings"].as_array().expect("a list").len();
                    assert_eq!(value["data"]["summary"]["transitions"]["new"], count);
                    assert_eq!(value["data"]["omitted"].as_u64().expect("a number") as usize + listed, count);
                    listed
                }
                _ => {
                    let said = texts(&value).join("\n");
                    let listed = said.matches(", subnet ").count();
                    let left = count - listed;
                    assert_eq!(said.contains("more: see the report"), left > 0, "{kind}: {said}");
                    assert!(left == 0 || said.contains(&format!("{left} finding")), "{kind}: {said}");
                    listed
                }
            };
            assert!(shown > 0, "{kind} {count} shows some");
        }
    }
}

#[test]
fn slack_shows_names_as_text() {
    let analysis = hostile(60);
    let changes = changes(&analysis);
    let value = json(&message(&hook("slack", 1), &outcome(&analysis, &changes)));
    let blocks = value["blocks"].as_array().expect("blocks");
    assert!(blocks.len() <= 50, "{}", blocks.len());
    for block in blocks {
        let text = block["text"]["text"].as_str().expect("a text");
        assert!(text.chars().count() <= 3000 && !text.is_empty(), "{text}");
        assert!(block["type"] == "header" && text.chars().count() <= 150 || block["text"]["verbatim"] == true);
        assert!(!text.contains(['<', '>', '`', '\u{202e}', '\u{1b}', '\n']), "{text}");
        let rest = ["&amp;", "&lt;", "&gt;"].iter().fold(text.to_owned(), |text, entity| text.replace(entity, ""));
        assert!(!rest.contains('&'), "{text}");
        assert!(text.matches('*').count() <= 2, "{text}");
    }
    assert!(value["text"].as_str().is_some_and(|text| text.contains("60 new")), "{}", value["text"]);
}

#[test]
fn teams_cards_hold_runs_of_text_only() {
    let analysis = hostile(60);
    let changes = changes(&analysis);
    let errors = [HOSTILE.to_owned()];
    let value = json(&message(&hook("teams", 1), &Outcome { errors: &errors, ..outcome(&analysis, &changes) }));
    assert_eq!((&value["type"], &value["attachments"][0]["contentUrl"]), (&json!("message"), &Value::Null));
    let card = &value["attachments"][0]["content"];
    assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
    for block in card["body"].as_array().expect("a body") {
        assert_eq!(block["type"], "RichTextBlock", "a block of text would be read as Markdown");
        for run in block["inlines"].as_array().expect("runs") {
            assert_eq!(run["type"], "TextRun");
            assert!(run["text"].as_str().is_some_and(|text| !text.contains(['\u{202e}', '\u{1b}', '\n'])), "{run}");
        }
    }
}

#[test]
fn a_webhook_says_what_changed() {
    let mut analysis = analysis();
    let mut history = yesterday(&analysis);
    let gone = history.findings[0].clone();
    history.findings.remove(0);
    history.findings[0].severity = Severity::Info;
    let worse = history.findings[0].fingerprint.clone();
    analysis.status.exit = 1;
    let changes = changes_with(&history, &analysis);
    let mut table = hook("webhook", 1);
    table.link = Some("https://reports.example/{instance}/{date}.html".to_owned());
    let value = json(&message(&table, &outcome(&analysis, &changes)));
    assert_eq!((&value["type"], &value["timestamp"]), (&json!("flowgap.findings.changed"), &json!(AT)));
    let run = json!({ "instance": INSTANCE, "run": 7, "exit": 1, "report": "https://reports.example/apim-weu/2026-05-05.html" });
    assert_eq!(value["data"]["run"], run);
    let findings = value["data"]["findings"].as_array().expect("a list");
    let of = |fingerprint: &str| findings.iter().find(|found| found["fingerprint"] == fingerprint);
    assert_eq!(of(&gone.fingerprint).expect("new")["transition"], "new");
    let worse = of(&worse).expect("worsened");
    assert_eq!((&worse["transition"], &worse["severity_before"]), (&json!("worsened"), &json!("info")));
    assert!(findings.iter().all(|found| found["explanation"].as_str().is_some_and(|text| !text.is_empty())));
    let resolved = {
        let mut changes = changes.clone();
        changes.list[0].transition = flowgap::findings::history::Transition::Resolved;
        json(&message(&table, &outcome(&analysis, &changes)))
    };
    assert_eq!(resolved["data"]["resolved"].as_array().map(Vec::len), Some(1));
    let failed = Outcome { analysis: None, changes: None, exit: 4, ..outcome(&analysis, &changes) };
    let said = json(&message(&hook("slack", 1), &failed))["text"].clone();
    assert_eq!(said, "flowgap apim-weu: FAILED. The run has no analysis.");
    let failed = json(&message(&table, &failed));
    assert_eq!((&failed["type"], &failed["data"]["findings"]), (&json!("flowgap.run.failed"), &json!([])));
}

/// The package `standardwebhooks` verifies what was sent, with the old and the new key.
#[test]
fn signatures_are_those_of_standard_webhooks() {
    const NEW: &str = "whsec_bmV3LWtleS1uZXcta2V5LW5ldy1rZXktb2YtMzItYnk=";
    let service = Service::start(vec![status(500), status(200)]);
    let port = service.server.port;
    let table = format!("kind = 'webhook'\nurl = 'http://127.0.0.1:{port}/'\nsecrets = ['{KEY}', '{NEW}']");
    let analysis = hostile(3);
    let changes = changes(&analysis);
    let hook = receiver(&table);
    let message = message(&hook, &outcome(&analysis, &changes));
    send(&hook, &message).expect("sent");
    for request in service.seen() {
        let headers: BTreeMap<_, _> = request.headers.iter().cloned().collect();
        assert_eq!(headers["webhook-id"], message.id);
        assert_eq!(headers["content-type"], "application/json");
        let text = String::from_utf8(request.body.clone()).expect("UTF-8");
        let file = tempfile::NamedTempFile::new().expect("a file");
        let keys = json!({ "good": [KEY, NEW], "bad": "whsec_d3Jvbmcta2V5LXdyb25nLWtleS13cm9uZw==" });
        let sent = json!({ "headers": headers, "body": text, "keys": keys });
        std::fs::write(file.path(), sent.to_string()).expect("written");
        assert_eq!(read_by("webhook.py", file.path()), json!({ "good": 2, "bad": 0, "changed": 0 }));
    }
    let ids = service.seen().iter().map(|request| request.header("webhook-id").map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(ids[0], ids[1], "the id stays over attempts");
}

/// The package `prometheus_client` reads the file.
#[test]
fn metrics_are_read_by_prometheus() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("textfile/flowgap-{instance}.prom");
    let metrics = receiver(&format!("kind = 'metrics'\npath = '{}'", path.display()));
    let written = folder.path().join("textfile/flowgap-apim-weu.prom");
    let read = |outcome: &Outcome| {
        send(&metrics, &message(&metrics, outcome)).expect("written");
        let samples = read_by("metrics.py", &written);
        let samples = samples.as_array().expect("samples").clone();
        assert!(samples.iter().all(|sample| sample["labels"]["apim"] == INSTANCE && sample["type"] == "gauge"));
        samples
    };
    let of = |samples: &[Value], name: &str| -> Vec<Value> {
        samples.iter().filter(|sample| sample["name"] == name).cloned().collect()
    };
    let only = |samples: &[Value], name: &str| of(samples, name)[0]["value"].as_f64();
    let real = analysis();
    let changes = changes(&real);
    let samples = read(&outcome(&real, &changes));
    let findings = of(&samples, "flowgap_findings");
    assert_eq!(findings.len(), 5 * 4, "every combination");
    let sum: f64 = findings.iter().map(|sample| sample["value"].as_f64().expect("a number")).sum();
    assert_eq!(sum as usize, real.findings.len());
    assert_eq!(of(&samples, "flowgap_coverage").len(), CoverageVerdict::ALL.len());
    assert_eq!(only(&samples, "flowgap_last_run_exit_code"), Some(1.0));
    assert_eq!(only(&samples, "flowgap_log_lag_seconds"), Some(1800.0));
    assert_eq!(only(&samples, "flowgap_last_success_timestamp_seconds"), Some(AT.0 as f64 / 1000.0));
    assert_eq!(of(&samples, "flowgap_run_duration_seconds").len(), 2);
    let text = std::fs::read_to_string(&written).expect("text");
    let addresses = real.findings.iter().flat_map(|found| &found.addresses.remote_addresses).map(|peer| &peer.ip);
    assert!(addresses.chain(&real.scope.subnets).all(|address| !text.contains(address.as_str())), "{text}");

    // A run without an analysis keeps what is known, so that no alert resolves.
    let known = yesterday(&real).findings;
    let failed = Outcome { analysis: None, changes: None, known: &known, exit: 4, ..outcome(&real, &changes) };
    let samples = read(&failed);
    let kept: f64 = of(&samples, "flowgap_findings").iter().filter_map(|sample| sample["value"].as_f64()).sum();
    assert!(kept > 0.0 && of(&samples, "flowgap_coverage").is_empty());

    let odd = hostile(500);
    let changes = self::changes(&odd);
    let denied = of(&read(&outcome(&odd, &changes)), "flowgap_finding_denied");
    assert_eq!(denied.len(), 50);
    assert!(
        denied.iter().all(|sample| sample["labels"]["rule"].as_str().is_some_and(|rule| rule.contains("\\ \"q\"")))
    );

    let names: Vec<_> = std::fs::read_dir(folder.path().join("textfile")).expect("a folder").collect();
    assert_eq!(names.len(), 1, "nothing is left beside the file");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &std::path::Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode(&written), 0o644);
    }
}

/// A service of logs that takes at most this many bytes a call, unpacked.
fn ingestion(most: usize) -> (Service, Arc<Mutex<Vec<Value>>>) {
    let rows = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&rows);
    let service = Service::answering(move |request, _| {
        let mut text = String::new();
        flate2::read::GzDecoder::new(request.body.as_slice()).read_to_string(&mut text).expect("gzip");
        if text.len() > most {
            return status(413);
        }
        assert!(text.len() < 1_000_000, "{}", text.len());
        kept.lock().expect("rows").extend(serde_json::from_str::<Vec<Value>>(&text).expect("a list"));
        status(204)
    });
    (service, rows)
}

fn log_analytics(port: u16) -> Receiver {
    let endpoint = format!("http://127.0.0.1:{port}");
    receiver(&format!("kind = 'log-analytics'\nendpoint = '{endpoint}'\ndcr = 'dcr-1f'\nstream = 'Custom-Flowgap'"))
}

#[test]
fn rows_go_to_log_analytics_in_calls_that_fit() {
    let analysis = hostile(500);
    let changes = changes(&analysis);
    let expected = analysis.findings.len() + analysis.coverage.len();
    for most in [usize::MAX, 100_000] {
        let (service, rows) = ingestion(most);
        let receiver = log_analytics(service.server.port);
        let message = message(&receiver, &outcome(&analysis, &changes));
        let (_identity, environment) = identity();
        let receipt = send_in(environment, &receiver, &message).expect("sent");
        assert!(receipt.words.contains(&format!("took {expected} rows in")), "{receipt:?}");
        let rows = rows.lock().expect("rows");
        assert_eq!(Value::Array(rows.clone()), json(&message), "every row once, in order");
        let seen = service.seen();
        assert!(seen.len() > 1, "{}", seen.len());
        for request in seen {
            assert_eq!(request.target, "/dataCollectionRules/dcr-1f/streams/Custom-Flowgap?api-version=2023-01-01");
            assert_eq!(request.header("authorization"), Some("Bearer S3CR3T-token"));
            assert_eq!(request.header("content-type"), Some("application/json"));
        }
        let columns = rows.iter().flat_map(|row| row.as_object().expect("an object").keys());
        for column in columns {
            let reserved = ["id", "Title", "Type", "TenantId", "UniqueId", "_ResourceId", "_SubscriptionId"];
            let is_good = column.starts_with(|first: char| first.is_ascii_alphabetic()) && column.len() <= 45;
            assert!(is_good && !reserved.contains(&column.as_str()), "{column}");
        }
        assert!(rows.iter().all(|row| row["TimeGenerated"] == json!(AT) && row["MessageId"] == message.id));
    }
}

#[test]
fn log_analytics_names_what_it_needs() {
    let analysis = analysis();
    let changes = changes(&analysis);
    let outcome = outcome(&analysis, &changes);
    for (steps, says) in [
        (vec![status(403)], "the role Monitoring Metrics Publisher"),
        (vec![status(404)], "check the endpoint, the immutable id and the stream"),
        (vec![status(413)], "it takes not even one row"),
        (vec![with(400, &[], "{\"error\":{\"code\":\"InvalidStream\"}}")], "answered 400 InvalidStream"),
        (vec![status(429)], "answered 429 (5 attempts)"),
    ] {
        let service = Service::start(steps);
        let receiver = log_analytics(service.server.port);
        let (_identity, environment) = identity();
        let error = send_in(environment, &receiver, &message(&receiver, &outcome)).expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
    }
    let failed = Outcome { analysis: None, ..outcome };
    assert!(log_analytics(1).compose(&failed).expect("composed").is_none(), "there are no rows");
}

#[test]
fn log_analytics_signs_in_with_the_credentials_of_storage() {
    let analysis = analysis();
    let changes = changes(&analysis);
    let (logs, _rows) = ingestion(usize::MAX);
    let receiver = log_analytics(logs.server.port);
    let message = message(&receiver, &outcome(&analysis, &changes));
    let (service, environment) = identity();
    send_in(environment, &receiver, &message).expect("sent");
    let asked = &service.seen()[0];
    assert_eq!(asked.target, "/tenant/oauth2/v2.0/token");
    let form = String::from_utf8(asked.body.clone()).expect("UTF-8");
    assert!(form.contains("scope=https%3A%2F%2Fmonitor.azure.com%2F.default"), "{form}");
    let error = send(&receiver, &message).expect_err("no credential");
    assert!(matches!(&error, DeliveryError::Transient(why) if why.contains("AZURE_CLIENT_SECRET")), "{error:?}");
    assert_eq!(logs.seen().len(), 1, "nothing is sent without a token");
}

fn written(analysis: &Analysis, changes: &Changes, format: Format) -> Vec<u8> {
    let style = Style::PLAIN;
    let mut out = Vec::new();
    report(format, style).write(&Document { analysis, changes: Some(changes) }, &mut out).expect("written");
    out
}

#[test]
fn reports_are_those_of_the_command_line() {
    let (analysis, folder) = (analysis(), tempfile::tempdir().expect("a folder"));
    let changes = changes(&analysis);
    let outcome = outcome(&analysis, &changes);
    for (name, format) in
        [("{date}.json", Format::Json), ("{time}.md", Format::Markdown), ("x.parquet", Format::Parquet)]
    {
        let path = folder.path().join("reports/{instance}").join(name);
        let file = receiver(&format!("kind = 'file'\npath = '{}'", path.display()));
        let message = message(&file, &outcome);
        let stored = serde_json::to_vec(&message).expect("JSON");
        assert_eq!(serde_json::from_slice::<Message>(&stored).expect("a message"), message);
        assert_eq!(matches!(message.body, Body::Base64(_)), format == Format::Parquet);
        send(&file, &message).expect("written");
        let name = name.replace("{date}", "2026-05-05").replace("{time}", "000000");
        let bytes = std::fs::read(folder.path().join("reports/apim-weu").join(name)).expect("a report");
        assert!(bytes == written(&analysis, &changes, format), "{format}");
    }
    let failed = Outcome { analysis: None, ..outcome };
    let file = receiver("kind = 'file'\npath = 'x.json'");
    assert!(file.compose(&failed).expect("composed").is_none(), "there is no report");
    // Names cannot leave the folder.
    let odd = Outcome { instance: "../../etc/x y", ..outcome };
    let file = receiver(&format!("kind = 'file'\npath = '{}/{{instance}}.json'", folder.path().display()));
    let receipt = send(&file, &message(&file, &odd)).expect("written");
    assert!(receipt.words.contains("/-..-etc-x-y.json was written"), "{receipt:?}");
    let blocked =
        receiver(&format!("kind = 'file'\npath = '{}/reports/apim-weu/x.parquet/a.json'", folder.path().display()));
    let error = send(&blocked, &message(&blocked, &outcome)).expect_err("no folder");
    assert!(matches!(&error, DeliveryError::Refused(why) if why.starts_with("cannot write")), "{error:?}");
}

#[test]
fn reports_go_to_blob_storage() {
    let azurite = Azurite::start();
    azurite.create_container("reports", &[]);
    let analysis = analysis();
    let changes = changes(&analysis);
    let outcome = outcome(&analysis, &changes);
    let blob = receiver(&format!("kind = 'file'\npath = '{}/reports/{{instance}}/{{date}}.md'", azurite.account()));
    for _ in 0..2 {
        send(&blob, &message(&blob, &outcome)).expect("uploaded");
    }
    let answer = azurite.signed("GET", "reports/apim-weu/2026-05-05.md", &[], &[]);
    assert!(answer.body == written(&analysis, &changes, Format::Markdown));
    assert_eq!(answer.header("content-type"), Some("text/markdown; charset=utf-8"));
    let absent = receiver(&format!("kind = 'file'\npath = '{}/absent/a.json?sp=rlcw&sig={SECRET}'", azurite.account()));
    let error = send(&absent, &message(&absent, &outcome)).expect_err("no container");
    assert!(matches!(&error, DeliveryError::Refused(_)), "{error:?}");
}

/// The page shows a message as it is sent; FLOWGAP_BLESS=1 rewrites it.
#[test]
fn the_page_shows_a_real_message() {
    let mut analysis = analysis();
    analysis.findings.truncate(1);
    let changes = changes(&analysis);
    let mut hook = hook("webhook", 1);
    hook.link = Some("https://reports.example/{instance}/{date}.html".to_owned());
    let value = json(&message(&hook, &outcome(&analysis, &changes)));
    let text = serde_json::to_string_pretty(&value).expect("JSON") + "\n";
    let path = root().join("docs/delivery.md");
    let mut page = std::fs::read_to_string(&path).expect("the page");
    let marker = "<!-- example webhook -->\n```json\n";
    let start = page.find(marker).expect("an example") + marker.len();
    let end = start + page[start..].find("```").expect("an end");
    if std::env::var_os("FLOWGAP_BLESS").is_some() {
        page.replace_range(start..end, &text);
        std::fs::write(&path, &page).expect("written");
    } else {
        assert!(page[start..end] == text, "FLOWGAP_BLESS=1 rewrites it. Now:\n{text}");
    }
}

#[test]
fn the_page_names_every_metric_and_column() {
    let page = std::fs::read_to_string(root().join("docs/delivery.md")).expect("the page");
    let analysis = analysis();
    let changes = changes(&analysis);
    let metrics = receiver("kind = 'metrics'\npath = 'x.prom'");
    let text = String::from_utf8(body(&message(&metrics, &outcome(&analysis, &changes)))).expect("UTF-8");
    let names = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
    for name in names {
        assert!(page.contains(&format!("`{name}")), "{name}");
    }
    for row in json(&message(&log_analytics(1), &outcome(&analysis, &changes))).as_array().expect("rows") {
        for column in row.as_object().expect("an object").keys() {
            assert!(page.contains(&format!("`{column}`")), "{column}");
        }
    }
}

#[test]
fn messages_are_the_golden_ones() {
    let analysis = analysis();
    let known = yesterday(&analysis);
    let mut changes = changes_with(&known, &analysis);
    use flowgap::findings::history::Transition::{New, Resolved, Worsened};
    for (change, transition) in changes.list.iter_mut().zip([Worsened, New, New, Resolved]) {
        change.transition = transition;
    }
    changes.list[0].severity_before = Some(Severity::Medium);
    let errors = ["no new logs for 3 hours from 000D3A1B2C3D".to_owned()];
    let outcome = Outcome { errors: &errors, ..outcome(&analysis, &changes) };
    for kind in ["slack", "teams"] {
        let text = serde_json::to_string_pretty(&json(&message(&hook(kind, 1), &outcome))).expect("JSON") + "\n";
        check_golden(&format!("delivery-{kind}.json"), &text);
    }
    let metrics = receiver("kind = 'metrics'\npath = 'x.prom'");
    let text = String::from_utf8(body(&message(&metrics, &outcome))).expect("UTF-8");
    check_golden("delivery-metrics.prom", &text);
}
