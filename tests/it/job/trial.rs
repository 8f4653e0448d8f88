//! Test messages.

use super::*;

#[test]
fn a_test_message_reaches_every_receiver_and_saves_nothing() {
    let (good, bad) = (Hook::start(200), Hook::start(404));
    let job = Job::over(&days_of_sql(), "");
    let file = |name: &str, kind: &str| {
        format!("[[deliver]]\nkind = '{kind}'\nname = '{kind}-{name}'\npath = '{}'\n", job.path(name).display())
    };
    let tables = [
        file("{instance}.json", "file"),
        file("{instance}.prom", "metrics"),
        good.table("webhook"),
        good.table("slack"),
        good.table("teams"),
    ];
    job.configure(&(job.text("") + &tables.concat()));
    let before = entries(job.folder.path());
    let said = expect(
        &job.run_at(hours(24), &["--test-delivery"]),
        0,
        "flowgap: receiver webhook: 127.0.0.1 (...9f3a) took it",
    );
    assert_eq!(said.lines().count(), 5, "{said}");
    let mut after = entries(job.folder.path());
    after.retain(|name| !before.contains(name));
    assert_eq!(
        after,
        ["apim.json.test", "apim.prom.test"],
        "no state, and nothing that a collector or a reader takes for real"
    );
    let messages = good.take();
    assert_eq!(messages.len(), 3);
    for message in &messages {
        assert!(message.to_string().contains("Test message of flowgap"), "{message}");
    }
    // One receiver that fails does not keep the others from their message.
    job.configure(&(job.text("") + &bad.table("slack") + &good.table("webhook")));
    let said =
        expect(&job.run_at(hours(24), &["--test-delivery"]), 4, "receiver slack: 127.0.0.1 (...9f3a) answered 404");
    assert!(said.contains("receiver webhook") && good.take().len() == 1, "{said}");
    job.configure(&job.text(""));
    expect(&job.run_at(hours(24), &["--test-delivery"]), 0, "there is no receiver");
}
