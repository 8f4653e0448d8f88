//! Every key of `flowgap.analysis/1`, whatever was found: keys never disappear.

use serde_json::{Value, json};

use crate::cases::{A, CLIENT, Run, SUBNET, TAG_FILE, TAGGED, check, day, deny_sql, planted, run, text};
use crate::support::archive::{at, hours, inbound, outbound};

/// The keys that each object has; a list holds one example of its elements.
fn skeleton() -> Value {
    let keys = |names: &str| Value::Object(names.split_whitespace().map(|key| (key.to_owned(), Value::Null)).collect());
    let with = |mut object: Value, more: &[(&str, Value)]| {
        more.iter().for_each(|(key, value)| object[*key] = value.clone());
        object
    };
    let fix = with(
        keys("kind direction source destination ports protocol note priority existing_rule undo simulated"),
        &[("commands", keys("az bicep terraform powershell"))],
    );
    let finding = with(
        keys(
            "rank id fingerprint kind severity score impact confidence verdict state reach requirement candidates \
             purpose direction vantage subnet protocol ports acl acl_name rule rule_name rule_origin denied_tuples \
             denied_tuples_24h allowed_24h allowed_since_first_denied sent_tuples unanswered_tuples worked_before hint \
             effect follows_dns first_denied last_denied last_allowed_before first_allowed_after local_address_count \
             remote_address_count remote_address_count_exact outside_loaded_tags explanation",
        ),
        &[
            ("local_addresses", json!([keys("ip name denied_tuples")])),
            ("remote_addresses", json!([keys("ip name service_tag denied_tuples")])),
            ("hours", json!([keys("hour denied_tuples")])),
            ("fix", fix),
        ],
    );
    let cause = keys(
        "number kind acl acl_name rule rule_name rule_origin subnet effect findings max_severity first_denied \
         last_denied denied_tuples",
    );
    let coverage = keys(
        "requirement subnet direction protocol ports source destination necessity verdict denied_tuples \
         allowed_tuples first_flow last_flow silent_since",
    );
    let listed = keys(
        "direction remote name port protocol rule acl denied_tuples first_denied last_denied last_allowed_before hint",
    );
    let input = with(
        keys(
            "blobs bytes records tuples denied_tuples tuples_in_scope denied_in_scope malformed_tuples \
             unreadable_blobs first_flow last_flow problem_count",
        ),
        &[("versions", keys("nsg1 nsg2 vnet4")), ("problems", json!([keys("blob offset record reason")]))],
    );
    let unmatched = with(
        keys("inbound_internet_tuples tuples peers"),
        &[("by_rule", json!([keys("direction rule acl ports tuples peers")])), ("listed", json!([listed]))],
    );
    let scope = with(
        keys("subnets subnets_inferred vnet vnet_mode vnet_mode_origin edition from to"),
        &[("service_tags", keys("cloud change_number tags"))],
    );
    with(
        keys("schema flowgap_version"),
        &[
            ("scope", scope),
            ("input", input),
            ("status", keys("word exit reasons partial fail_on min_coverage")),
            ("needs", keys("required blocked degraded seen never_tried")),
            ("subnets_seen", json!([keys("cidr machines flows looks_like_apim why")])),
            ("archive", keys("blobs_listed first_hour last_hour")),
            ("causes", json!([cause])),
            ("findings", json!([finding])),
            ("coverage", json!([coverage])),
            ("unmatched_denied", unmatched),
            ("notices", json!([keys("code message")])),
        ],
    )
}

/// Collects the paths of keys that `got` lacks, and of lists that have no element to look at.
///
/// Null stands for the commands of a fix before there are any, and for service tags that were not loaded.
fn compare(path: &str, got: &Value, expected: &Value, missing: &mut Vec<String>, empty: &mut Vec<String>) {
    match expected {
        Value::Object(_) if got.is_null() && (path.ends_with("/commands") || path.ends_with("/service_tags")) => {}
        Value::Object(keys) => {
            for (key, value) in keys {
                let path = format!("{path}/{key}");
                match got.get(key) {
                    Some(found) => compare(&path, found, value, missing, empty),
                    None => missing.push(path),
                }
            }
        }
        Value::Array(examples) => match got.as_array() {
            None => missing.push(format!("{path} is no list")),
            Some(elements) if elements.is_empty() => empty.push(path.to_owned()),
            Some(elements) => elements.iter().for_each(|element| compare(path, element, &examples[0], missing, empty)),
        },
        _ => {}
    }
}

/// Lists of the run that have no element.
fn check_keys(run: &Run) -> Vec<String> {
    let (mut missing, mut empty) = (Vec::new(), Vec::new());
    compare("", &run.analysis, &skeleton(), &mut missing, &mut empty);
    missing.sort();
    missing.dedup();
    assert!(missing.is_empty(), "missing:\n{}", missing.join("\n"));
    assert_eq!(run.analysis["schema"], "flowgap.analysis/1");
    assert_eq!(run.analysis["status"]["exit"], json!(run.status));
    empty
}

#[test]
fn a_red_run_has_every_key() {
    let mut log = day(&["APIM-OUT-SQL", "APIM-OUT-KEYVAULT"]);
    deny_sql(&mut log, 8..24);
    (0..8).for_each(|hour| log.allowed(outbound(planted(hour), A, "10.30.6.5", 443)));
    (8..24).for_each(|hour| log.denied(outbound(planted(hour), A, "10.30.6.5", 443), "UserRule_deny-vnet-out"));
    log.begun(inbound(hours(24) * 365 * 500, CLIENT, A, 443).in_record_of(hours(9)));
    let run = run(&log, TAGGED);
    run.expect(1, 2);
    // Every list has something in it, so every key was seen; the subnets may be asked for only where none was found.
    let empty = check_keys(&run);
    assert!(empty.iter().all(|path| path == "/subnets_seen"), "{empty:?}");
    check(
        run.find("APIM-OUT-SQL"),
        json!({
            "rule": "UserRule_deny-all-outbound", "rule_name": "deny-all-outbound", "acl_name": "nsg-apim-example",
            "sent_tuples": 0, "unanswered_tuples": 0, "worked_before": false, "hint": null,
            "allowed_since_first_denied": 0, "local_address_count": 1, "remote_address_count_exact": true,
            "fix": {"priority": null, "simulated": null, "existing_rule": null},
        }),
    );
    assert!(run.find("APIM-OUT-SQL")["effect"].as_str().is_some_and(|effect| !effect.is_empty()));
    let first = &run.analysis["causes"][0];
    check(
        first,
        json!({"number": 1, "kind": "rule", "rule_name": "deny-all-outbound", "acl_name": "nsg-apim-example"}),
    );
    check(&run.analysis["status"], json!({"word": "BLOCKED", "exit": 1, "partial": false}));
}

#[test]
fn a_clean_run_has_every_key() {
    let run = run(&day(&[]), TAGGED);
    run.expect(0, 0);
    let empty = check_keys(&run);
    for list in ["/findings", "/causes", "/unmatched_denied/listed", "/unmatched_denied/by_rule", "/input/problems"] {
        assert!(empty.iter().any(|path| path == list), "{list} is not empty");
    }
    check(&run.analysis["unmatched_denied"], json!({"inbound_internet_tuples": 0, "tuples": 0, "peers": 0}));
    check(&run.analysis["scope"], json!({"vnet_mode": null, "vnet_mode_origin": null}));
    assert!(
        run.analysis["coverage"].as_array().is_some_and(|rows| rows.iter().all(|row| row["silent_since"].is_null()))
    );
}

#[test]
fn an_empty_run_says_what_is_there_instead() {
    let arguments = ["--subnet", "10.99.0.0/24", "--service-tags", TAG_FILE];
    let report = text(&day(&[]), &arguments);
    let there = format!("The logs have flows of {SUBNET} (the load balancer of Azure probes 10.30.1.4 on port 6390).");
    assert!(report.contains(&there), "{report}");
    let run = run(&day(&[]), &arguments);
    run.expect(3, 0);
    check_keys(&run);
    check(&run.analysis["status"], json!({"word": "COULD NOT TELL", "exit": 3}));
    assert_ne!(run.analysis["status"]["reasons"], json!([]));
    check(&run.analysis["subnets_seen"][0], json!({"cidr": SUBNET, "machines": 1, "looks_like_apim": true}));
    assert!(run.analysis["subnets_seen"][0]["flows"].as_u64().is_some_and(|flows| flows > 0));
    check(&run.analysis["archive"], json!({"blobs_listed": 24, "first_hour": at(0), "last_hour": at(hours(23))}));
}
