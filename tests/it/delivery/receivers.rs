//! The tables `[[deliver]]`: occasions, mistakes, secrets.

use flowgap::findings::history::Transition;
use flowgap::job::config::receiver::Occasion;
use serde::Deserialize;

use super::*;

fn wants(on: &str, outcome: &Outcome) -> bool {
    receiver(&format!("kind = 'slack'\nurl = 'https://hooks.example/x'\non = ['{on}']")).wants(outcome)
}

/// The occasions on which a message is sent.
fn occasions(outcome: &Outcome) -> Vec<&'static str> {
    Occasion::NAMES.into_iter().filter(|on| wants(on, outcome)).collect()
}

/// The outcome of a run without a reason to fail.
fn passed<'a>(analysis: &'a Analysis, changes: &'a Changes) -> Outcome<'a> {
    Outcome { exit: 0, ..outcome(analysis, changes) }
}

#[test]
fn each_occasion_is_its_own() {
    let analysis = analysis();
    let (first, known) = (changes(&analysis), yesterday(&analysis));
    let same = changes_with(&known, &analysis);
    assert_eq!(occasions(&passed(&analysis, &first)), ["always", "change", "new"]);
    assert_eq!(occasions(&outcome(&analysis, &first)), ["always", "change", "fail", "new"]);
    assert_eq!(occasions(&passed(&analysis, &same)), ["always"]);
    let errors = ["no new logs for 3 hours".to_owned()];
    assert_eq!(occasions(&Outcome { errors: &errors, ..passed(&analysis, &same) }), ["always", "error"]);
    // A failure that lasts is named once, by the run that first has it.
    assert_eq!(
        occasions(&Outcome { analysis: None, changes: None, exit: 4, ..passed(&analysis, &same) }),
        ["always", "fail"]
    );
    for (transition, expected) in [
        (Transition::Worsened, &["always", "change", "worsened"][..]),
        (Transition::Reopened, &["always", "change", "new"]),
        (Transition::SuppressionExpired, &["always", "change", "new"]),
        (Transition::Resolved, &["always", "change", "resolved"]),
        (Transition::Improved, &["always", "change"]),
        (Transition::LostSight, &["always", "change"]),
        (Transition::Continuing, &["always"]),
    ] {
        let mut changes = same.clone();
        changes.list[0].transition = transition;
        assert_eq!(occasions(&passed(&analysis, &changes)), expected, "{transition}");
    }
}

#[test]
fn accepted_findings_are_no_occasion() {
    let mut analysis = analysis();
    for found in &mut analysis.findings {
        found.suppressed = Some(Suppression {
            by: "s.toml, entry 1".to_owned(),
            reason: "known".to_owned(),
            owner: "team".to_owned(),
            expires: None,
        });
    }
    let accepted = changes_with(&History::new(), &analysis);
    assert!(!accepted.list.is_empty());
    let outcome = Outcome { exit: 0, ..outcome(&analysis, &accepted) };
    assert_eq!(occasions(&outcome), ["always"]);
    let text = json(&message(&hook("webhook", 1), &outcome));
    assert_eq!((&text["data"]["findings"], &text["type"]), (&serde_json::json!([]), &"flowgap.run.finished".into()));
}

#[test]
fn a_receiver_may_be_for_some_instances() {
    let analysis = analysis();
    let changes = changes(&analysis);
    let wants = |instances: &str| {
        let table = format!("kind = 'slack'\nurl = 'https://hooks.example/x'\ninstances = [{instances}]");
        receiver(&table).wants(&outcome(&analysis, &changes))
    };
    let file = |table: &str| receiver(&format!("kind = 'metrics'\n{table}")).overwrites(["a", "b"]);
    assert!(
        file("path = 'x.prom'") && !file("path = '{instance}.prom'") && !file("path = 'x.prom'\ninstances = ['a']")
    );
    assert!(wants("") && wants("'a', 'apim-weu'") && !wants("'a'") && !wants("'apim'"));
}

#[test]
fn mistakes_are_named_and_secrets_are_not() {
    for (table, says) in [
        ("kind = 'pigeon'", "'pigeon' is not one of file, webhook, slack, teams, metrics, log-analytics"),
        ("kind = 'slack'", "a receiver of kind 'slack' needs the key 'url'"),
        (
            "kind = 'slack'\nurl = 'https://h.example/x'\npath = 'a.json'",
            "a receiver of kind 'slack' has no key 'path'",
        ),
        ("kind = 'slack'\nurl = 'https://h.example/x'\nchannel = 'a'", "unknown field `channel`"),
        ("kind = 'slack'\nurl = 'http://h.example/S3CR3T'", "plain http would show the secret to others"),
        ("kind = 'slack'\nurl = 'S3CR3T'", "this is no address"),
        ("kind = 'slack'\nurl = 'ftp://h.example/S3CR3T'", "this is no address"),
        ("kind = 'slack'\nurl = 'https://a:S3CR3T@h.example/'", "an address with a user is not supported"),
        ("kind = 'slack'\nurl = 'https://h.example/x'\non = ['sometimes']", "'sometimes' is not one of always, change"),
        ("kind = 'slack'\nurl = 'https://h.example/x'\non = []", "'on' is empty"),
        ("kind = 'slack'\nurl = 'https://h.example/x'\nname = ' '", "the name of a receiver has 1 to 64 characters"),
        ("kind = 'webhook'\nurl = 'https://h.example/x'\nsecrets = ['S3CR3T']", "this is no signing key"),
        ("kind = 'webhook'\nurl = 'https://h.example/x'\nsecrets = ['whsec_UzNDUjNU']", "base64 of 24 to 64 bytes"),
        ("kind = 'file'\npath = 'report.dat'", "the ending of 'path' names no format"),
        ("kind = 'file'\npath = '{name}.json'", "'path' may have {instance}, {date} and {time} only"),
        ("kind = 'metrics'\npath = 'a.txt'", "a local file that ends in .prom"),
        ("kind = 'metrics'\npath = 'https://a.blob.core.windows.net/c/a.prom'", "a local file that ends in .prom"),
        (
            "kind = 'log-analytics'\nendpoint = 'https://h.example'\ndcr = 'a/b'\nstream = 'Custom-A'",
            "'dcr' has letters",
        ),
        (
            "kind = 'log-analytics'\nendpoint = 'http://h.example'\ndcr = 'a'\nstream = 'Custom-A'",
            "'endpoint' is the address",
        ),
        ("kind = 'log-analytics'\nendpoint = 'https://h.example'\nstream = 'Custom-A'", "needs the key 'dcr'"),
    ] {
        let error = toml::from_str::<Receiver>(table).expect_err(table);
        assert!(error.message().contains(says), "{table}: {}", error.message());
        assert!(!error.message().contains(SECRET), "{table}: {}", error.message());
    }
}

#[derive(Deserialize, serde::Serialize, Debug)]
struct File {
    deliver: Vec<Receiver>,
}

#[test]
fn a_configuration_prints_without_its_secrets() {
    let text = format!(
        "[[deliver]]\nkind = 'slack'\nname = 'ops'\nurl = 'https://hooks.example/{SECRET}'\n\
         [[deliver]]\nkind = 'webhook'\nurl = 'https://hooks.example/{SECRET}'\nsecrets = ['{KEY}']\n\
         [[deliver]]\nkind = 'file'\npath = 'https://a.blob.core.windows.net/c/{{date}}.md?sig={SECRET}'\n\
         [[deliver]]\nkind = 'metrics'\npath = '/var/lib/x/{{instance}}.prom'\n\
         [[deliver]]\nkind = 'log-analytics'\nendpoint = 'https://x.ingest.monitor.azure.com'\ndcr = 'dcr-1'\nstream = 'Custom-A'\n"
    );
    let file: File = toml::from_str(&text).expect("a configuration");
    let printed = toml::to_string(&file).expect("TOML");
    for printed in [&printed, &format!("{file:?}")] {
        assert!(!printed.contains(SECRET) && !printed.contains(&KEY[6..]), "{printed}");
    }
    for kept in ["url = \"***\"", "secrets = [\"***\"]", "{date}.md?***", "name = \"ops\"", "dcr = \"dcr-1\""] {
        assert!(printed.contains(kept), "{kept}: {printed}");
    }
}

/// Every table of the page is one that the job takes, and every kind and occasion is explained.
#[test]
fn the_page_shows_real_tables() {
    let page = std::fs::read_to_string(root().join("docs/delivery.md")).expect("the page");
    let blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().expect("an end"));
    let shown: Vec<Receiver> = blocks
        .flat_map(|block| toml::from_str::<File>(block).unwrap_or_else(|error| panic!("{block}: {error}")).deliver)
        .collect();
    for kind in flowgap::job::config::receiver::ReceiverKind::ALL {
        assert!(shown.iter().any(|receiver| receiver.target.kind() == kind), "{kind}");
    }
    for word in Occasion::NAMES {
        assert!(page.contains(&format!("| `{word}` |")), "{word}");
    }
}
