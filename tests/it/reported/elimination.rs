//! What a refused private address may be: the required rows on its port that were not seen working.

use serde_json::{Value, json};

use super::{fingerprint, of_kind};
use crate::cases::{A, Run, SUBNET, TAGGED, UNTAGGED, check, day, planted, run};
use crate::support::archive::{ACL, Log, at, outbound};

const ENDPOINT: &str = "10.30.6.5";
const DENY_VNET: &str = "UserRule_deny-vnet-out";

/// Lets `peer` be reached in the first eight hours, and refuses it afterwards.
fn worked_until_eight(log: &mut Log, peer: &str, port: u16) {
    (0..8).for_each(|hour| log.allowed(outbound(planted(hour), A, peer, port).rule("DefaultRule_AllowVnetOutBound")));
    (8..24).for_each(|hour| log.denied(outbound(planted(hour), A, peer, port), DENY_VNET));
}

fn hint(finding: &Value) -> &str {
    finding["hint"].as_str().unwrap_or_else(|| panic!("no hint in {finding:#}"))
}

fn only(run: &Run) -> &Value {
    let found = of_kind(run, "unlisted-blocked");
    assert_eq!(found.len(), 1, "{}", run.summary());
    found[0]
}

#[test]
fn the_private_endpoint_of_key_vault_is_named() {
    let mut log = day(&["APIM-OUT-KEYVAULT"]);
    worked_until_eight(&mut log, ENDPOINT, 443);
    let run = run(&log, TAGGED);
    run.expect(1, 1);
    let finding = only(&run);
    // 100 x 0.9 x 0.6 x 1 x 1: Storage and Monitor were seen working, so Key Vault alone is left.
    check(
        finding,
        json!({
            "kind": "unlisted-blocked", "requirement": "APIM-OUT-KEYVAULT", "severity": "high", "score": 54.0,
            "impact": 0.9, "confidence": "possible", "verdict": "blocked", "state": "ongoing", "reach": 1.0,
            "direction": "outbound", "vantage": "near", "subnet": SUBNET, "protocol": "TCP", "ports": [443],
            "acl": ACL, "rule": DENY_VNET, "rule_origin": "user", "worked_before": true,
        }),
    );
    check(
        finding,
        json!({
            "denied_tuples": 16, "denied_tuples_24h": 16, "allowed_24h": 8, "allowed_since_first_denied": 0,
            "first_denied": at(planted(8)), "last_denied": at(planted(23)), "last_allowed_before": at(planted(7)),
            "first_allowed_after": null, "local_addresses": [{"ip": A, "name": null, "denied_tuples": 16}],
            "remote_addresses": [{"ip": ENDPOINT, "name": null, "service_tag": null, "denied_tuples": 16}],
            "remote_address_count": 1, "remote_address_count_exact": true, "outside_loaded_tags": 0,
            "fingerprint": fingerprint([
                "unlisted:TCP/443", "outbound", "near", SUBNET, &ACL.to_lowercase(), DENY_VNET,
            ]),
            "fix": {"kind": "allow-rule", "direction": "outbound", "protocol": "TCP"},
        }),
    );
    assert!(hint(finding).contains("private endpoint of") && hint(finding).contains("Key Vault"), "{finding:#}");
    check(&run.analysis["causes"][0], json!({"rule": DENY_VNET, "max_severity": "high", "findings": [finding["id"]]}));
    check(&run.analysis["status"], json!({"word": "BLOCKED", "exit": 1}));
    check(
        &run.unmatched()[0],
        json!({
            "direction": "outbound", "remote": ENDPOINT, "port": 443, "protocol": "TCP", "rule": DENY_VNET, "acl": ACL,
            "denied_tuples": 16, "first_denied": at(planted(8)), "last_denied": at(planted(23)),
            "last_allowed_before": at(planted(7)),
        }),
    );
    assert!(hint(&run.unmatched()[0]).contains("Key Vault"), "{}", run.unmatched()[0]);
    assert_ne!(run.coverage("APIM-OUT-KEYVAULT", SUBNET), "allowed");
}

#[test]
fn a_private_database_is_the_only_one_on_its_port() {
    for (without, severity, score, requirement) in [
        // 100 x 0.9 x 0.6, because nothing else answers on 1433.
        (vec!["APIM-OUT-SQL"], "high", 54.0, json!("APIM-OUT-SQL")),
        // 100 x 0.5 x 0.6, because the database of API Management was seen working elsewhere.
        (vec![], "medium", 30.0, json!(null)),
    ] {
        let mut log = day(&without);
        worked_until_eight(&mut log, "10.30.6.6", 1433);
        let run = run(&log, TAGGED);
        run.expect(i32::from(severity == "high"), 1);
        check(only(&run), json!({"severity": severity, "score": score, "requirement": requirement}));
    }
}

#[test]
fn several_rows_left_are_named() {
    let mut log = day(&["APIM-OUT-STORAGE", "APIM-OUT-KEYVAULT"]);
    worked_until_eight(&mut log, ENDPOINT, 443);
    let run = run(&log, TAGGED);
    run.expect(0, 1);
    let finding = only(&run);
    // 100 x 0.5 x 0.6
    check(finding, json!({"requirement": null, "severity": "medium", "score": 30.0, "worked_before": true}));
    assert!(hint(finding).contains("Azure Storage") && hint(finding).contains("Azure Key Vault"), "{finding:#}");
    assert!(!hint(finding).contains("Monitor") && !hint(finding).contains("Entra"), "{finding:#}");
}

#[test]
fn an_endpoint_that_never_worked_says_what_it_may_be() {
    let mut log = day(&["APIM-OUT-KEYVAULT"]);
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, ENDPOINT, 443), DENY_VNET));
    let run = run(&log, TAGGED);
    run.expect(0, 1);
    let finding = only(&run);
    check(
        finding,
        json!({"severity": "info", "requirement": null, "worked_before": false, "last_allowed_before": null}),
    );
    assert!(hint(finding).contains("Key Vault"), "{finding:#}");
    assert_eq!(run.analysis["status"]["word"], "OK SO FAR");
}

#[test]
fn without_a_row_left_the_next_hint_applies() {
    let mut log = day(&[]);
    let cases: [(&str, u16, &[&str]); 4] = [
        // Every required row on 443 works, so the optional ones are left.
        (ENDPOINT, 443, &["Entra ID", "Event Hubs", "credential manager"]),
        // The external cache of earlier editions.
        ("10.30.6.7", 6380, &["edition"]),
        // A note of this edition, and no row of any.
        ("198.51.100.50", 1688, &["Windows activation"]),
        ("10.30.6.8", 8443, &["backend"]),
    ];
    for (peer, port, _) in cases {
        (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, peer, port), DENY_VNET));
    }
    let run = run(&log, TAGGED);
    run.expect(0, 4);
    for (_, port, words) in cases {
        let found: Vec<&Value> = run.findings().iter().filter(|finding| finding["ports"] == json!([port])).collect();
        assert_eq!(found.len(), 1, "{port}: {}", run.summary());
        check(found[0], json!({"kind": "unlisted-blocked", "severity": "info", "verdict": "blocked"}));
        words.iter().for_each(|word| assert!(hint(found[0]).contains(word), "{port}: {}", hint(found[0])));
    }
}

/// A fresh file says that a public address on 443 is no listed service. That it worked before still counts.
#[test]
fn a_file_does_not_hide_what_worked_before() {
    let mut log = day(&[]);
    worked_until_eight(&mut log, "198.51.100.60", 443);
    let tagged = run(&log, TAGGED);
    tagged.expect(0, 1);
    // 100 x 0.5 x 0.6
    check(only(&tagged), json!({"severity": "medium", "score": 30.0, "worked_before": true, "requirement": null}));
    let untagged = run(&log, UNTAGGED);
    untagged.expect(0, 1);
    check(&untagged.findings()[0], json!({"kind": "ambiguous-dependency", "severity": "medium"}));
}
