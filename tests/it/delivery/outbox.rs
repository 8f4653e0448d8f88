//! The outbox: kept, sent later, once, in order; receivers that are gone.

use std::path::{Path, PathBuf};

use flowgap::job::deliver::{Delivery, Sent};
use flowgap::job::store::{self, Outbox};
use flowgap::time::HOUR;

use super::*;

/// The delivery of a job with its state in `folder`, which it locks.
fn delivery(folder: &Path, receivers: &[Receiver]) -> Delivery {
    let store = run(store::open(folder.to_str().expect("UTF-8"), Access::default())).expect("a store");
    Delivery::new(receivers.to_vec(), Arc::new(Outbox(store)), sender())
}

/// Files of the outbox.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(found) = std::fs::read_dir(folder.join("outbox")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = found.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn name(file: &Path) -> &str {
    file.file_name().and_then(|name| name.to_str()).expect("UTF-8")
}

/// Ids of the messages in the outbox, as a state that names all of them has it.
fn named(folder: &Path) -> Vec<String> {
    let id = |file: &PathBuf| name(file).strip_prefix("message-")?.strip_suffix(".json").map(str::to_owned);
    files(folder).iter().filter_map(id).collect()
}

/// Stores and sends the messages of a run that starts from state `run`.
fn deliver(folder: &Path, receivers: &[Receiver], state: u64) -> Vec<Sent> {
    deliver_at(folder, receivers, state, state as i64)
}

fn deliver_at(folder: &Path, receivers: &[Receiver], state: u64, hour: i64) -> Vec<Sent> {
    let analysis = analysis();
    let changes = changes(&analysis);
    let at = Timestamp(AT.0 + hour * HOUR);
    let outcome = Outcome { run: state, at, ..outcome(&analysis, &changes) };
    let (delivery, before) = (delivery(folder, receivers), named(folder));
    run(async {
        let queued = delivery.queue(&outcome, &before).await.expect("stored");
        assert!(queued.ids.len() >= receivers.len() && queued.failed.is_empty(), "{queued:?}");
        delivery.send(INSTANCE, &queued.ids, at).await.expect("an outbox")
    })
}

fn later(folder: &Path, receivers: &[Receiver]) -> Vec<Sent> {
    run(delivery(folder, receivers).send(INSTANCE, &named(folder), AT)).expect("an outbox")
}

/// Names of the entries, after a check that neither they nor what they hold has a secret.
fn entries(folder: &Path) -> Vec<String> {
    let entry = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).expect("text");
        assert!(!name(&file).contains(SECRET) && !text.contains(SECRET), "{file:?}: {text}");
        name(&file).to_owned()
    };
    files(folder).into_iter().map(entry).collect()
}

#[test]
fn what_fails_is_sent_later_and_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = folder.path().join("state");
    let busy = Service::start((0..5).map(|_| status(503)).chain([status(200)]).collect());
    let receivers = [hook("webhook", busy.server.port)];
    let first = deliver(&outbox, &receivers, 1);
    assert!(matches!(first[0].result, Err(DeliveryError::Transient(_))), "{first:?}");
    assert_eq!(entries(&outbox).len(), 1);
    let second = later(&outbox, &receivers);
    assert!(second[0].result.is_ok(), "{second:?}");
    assert!(entries(&outbox).is_empty() && later(&outbox, &receivers).is_empty());
    // All attempts are of one message.
    let seen = busy.seen();
    let ids: std::collections::BTreeSet<_> = seen.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!((seen.len(), ids.len()), (6, 1));
    assert_eq!(first[0].id, second[0].id);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        deliver(&outbox, &[hook("slack", 1)], 1);
        assert_eq!(std::fs::metadata(&files(&outbox)[0]).expect("a file").permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_run_that_is_repeated_makes_the_same_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let away = [hook("slack", 1)];
    let first = deliver(folder.path(), &away, 1);
    let again = deliver_at(folder.path(), &away, 1, 2);
    assert_eq!((first[0].id.as_str(), again.len()), (again[0].id.as_str(), 1), "from one state");
    assert_eq!(entries(folder.path()).len(), 1);
    let next = deliver_at(folder.path(), &away, 2, 3);
    assert_ne!(next[1].id, first[0].id, "from the next state");
    let analysis = analysis();
    let (new, same) = (changes(&analysis), changes_with(&yesterday(&analysis), &analysis));
    let id = |outcome: &Outcome, receiver: &Receiver| message(receiver, outcome).id;
    let base = outcome(&analysis, &new);
    let other = Outcome { instance: "apim-neu", ..base };
    let named = receiver("kind = 'slack'\nname = 'ops'\nurl = 'https://hooks.example/x'");
    let ids = [id(&base, &away[0]), id(&other, &away[0]), id(&base, &named), id(&outcome(&analysis, &same), &away[0])];
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{ids:?}");
}

#[test]
fn messages_keep_their_order_and_one_failure_holds_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start((0..15).map(|_| status(503)).chain([status(200)]).collect());
    let receivers = [hook("webhook", service.server.port)];
    (1..4).for_each(|state| {
        deliver(folder.path(), &receivers, state);
    });
    // Each of the three runs tried the oldest message only.
    assert_eq!(service.seen().len(), 15);
    assert_eq!(entries(folder.path()).len(), 3);
    let sent = later(folder.path(), &receivers);
    assert!(sent.len() == 3 && sent.iter().all(|delivery| delivery.result.is_ok()), "{sent:?}");
    let runs: Vec<i64> = service.seen()[15..]
        .iter()
        .map(|request| {
            serde_json::from_slice::<Value>(&request.body).expect("JSON")["data"]["run"]["run"].as_i64().expect("a run")
        })
        .collect();
    assert_eq!(runs, [1, 2, 3]);
}

#[test]
fn a_receiver_that_is_gone_gets_nothing_until_its_address_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = Service::start(vec![status(410)]);
    let receivers = [hook("slack", old.server.port)];
    for state in 1..4 {
        let sent = deliver(folder.path(), &receivers, state);
        assert!(
            sent.len() == 1 && matches!(&sent[0].result, Err(DeliveryError::Gone(why)) if why.contains("410")),
            "{sent:?}"
        );
    }
    assert_eq!(old.seen().len(), 1, "it is asked once");
    assert!(entries(folder.path()).iter().all(|name| name.starts_with("gone-")));
    let new = Service::start(vec![status(200)]);
    let sent = deliver(folder.path(), &[hook("slack", new.server.port)], 4);
    assert!(sent.len() == 1 && sent[0].result.is_ok(), "{sent:?}");
    assert_eq!(new.seen().len(), 1);
}

#[test]
fn one_receiver_does_not_hold_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let (good, bad) = (Service::start(vec![status(200)]), Service::start(vec![status(500)]));
    let receivers = [hook("slack", bad.server.port), hook("teams", good.server.port)];
    let sent = deliver(folder.path(), &receivers, 1);
    let ok: Vec<_> =
        sent.iter().filter(|delivery| delivery.result.is_ok()).map(|delivery| &*delivery.receiver).collect();
    assert_eq!((ok.as_slice(), sent.len()), (&["teams"][..], 2));
    assert_eq!(entries(folder.path()).len(), 1);
}

#[test]
fn leftovers_are_reported_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("outbox")).expect("a folder");
    std::fs::write(folder.path().join("outbox/message-x.json"), "{\"id\": ").expect("written");
    deliver(folder.path(), &[hook("slack", 1)], 1);
    let sent = later(folder.path(), &[]);
    assert!(sent[0].result.as_ref().is_err_and(|why| why.to_string().contains("no receiver of this name")), "{sent:?}");
    assert!(entries(folder.path()).is_empty());
    // Of a receiver that is away for days, the newest messages are kept.
    let away = [hook("slack", 1)];
    let mut dropped = 0;
    for state in 1..=50 {
        dropped += deliver(folder.path(), &away, state)
            .iter()
            .filter(
                |delivery| matches!(&delivery.result, Err(DeliveryError::Refused(why)) if why.contains("more than 48")),
            )
            .count();
    }
    assert_eq!((dropped, entries(folder.path()).len()), (2, 48));
    assert!(later(folder.path(), &away).iter().all(|delivery| delivery.result.is_err()));
    let other = run(delivery(folder.path(), &away).send("another", &named(folder.path()), AT)).expect("an outbox");
    assert!(other.is_empty(), "each instance sends its own");
}

#[test]
fn only_what_the_state_names_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(vec![status(200)]);
    let (analysis, receivers) = (analysis(), [hook("slack", service.server.port)]);
    let changes = changes(&analysis);
    let delivery = delivery(folder.path(), &receivers);
    let queued = run(delivery.queue(&outcome(&analysis, &changes), &[])).expect("stored");
    // The run ends before it saves its state.
    let send = |named: &[String], hours: i64| run(delivery.send(INSTANCE, named, Timestamp(AT.0 + hours * HOUR)));
    assert!(send(&[], 1).expect("an outbox").is_empty());
    assert_eq!((entries(folder.path()).len(), service.seen().len()), (1, 0));
    // The next one finds the same, and its state names the message.
    let again = run(delivery.queue(&outcome(&analysis, &changes), &[])).expect("stored");
    assert_eq!(again, queued);
    assert!(send(&again.ids, 1).expect("an outbox")[0].result.is_ok());
    assert!(entries(folder.path()).is_empty());
    run(delivery.queue(&outcome(&analysis, &changes), &[])).expect("stored");
    assert!(send(&[], 25).expect("an outbox").is_empty());
    assert_eq!((entries(folder.path()).len(), service.seen().len()), (0, 1), "nothing named it for a day");
}

/// What waits stays named when the next run finds nothing new.
#[test]
fn waiting_messages_stay_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let analysis = analysis();
    let (first, same) = (changes(&analysis), changes_with(&yesterday(&analysis), &analysis));
    let delivery = delivery(folder.path(), &[hook("slack", 1)]);
    let queued = run(delivery.queue(&outcome(&analysis, &first), &[])).expect("stored");
    let next = Outcome { run: 8, ..outcome(&analysis, &same) };
    assert_eq!(run(delivery.queue(&next, &queued.ids)).expect("stored").ids, queued.ids);
    assert!(run(delivery.queue(&next, &[])).expect("stored").ids.is_empty());
}
