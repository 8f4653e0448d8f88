//! What must never change the result: the order of blobs and sources, threads, and how an archive is split.

use std::path::Path;

use flowgap::catalog::Catalog;
use flowgap::engine::{Scope, Session, SessionOptions};
use flowgap::findings::{self, Gate};
use flowgap::schema::Text;
use flowgap::source::Source;
use proptest::prelude::*;
use serde_json::Value;

use crate::sql::scope;
use crate::support::archive::{Log, Tuple, inbound, minutes, outbound};

const LOCALS: [&str; 3] = ["10.20.1.4", "10.20.1.5", "10.20.2.9"];
/// Of several example tags, of none, of the platform, of the network, and of the scope itself.
const PEERS: [&str; 12] = [
    "192.0.2.2",
    "192.0.2.34",
    "192.0.2.82",
    "192.0.2.150",
    "203.0.113.9",
    "168.63.129.16",
    "10.30.5.9",
    "10.20.1.5",
    "2001:db8:ffff::7",
    // Strangers, and what may be a private endpoint.
    "198.51.100.7",
    "198.51.100.8",
    "10.30.6.5",
];
const PORTS: [u16; 12] = [443, 80, 1433, 3443, 6390, 6381, 53, 4290, 445, 8443, 1886, 22];
/// Ports on which API Management does not show itself: the other end, which may be public, is not taken for it.
const SILENT: [u16; 8] = [443, 80, 1433, 6381, 53, 4290, 445, 8443];
const RULES: [&str; 4] = ["UserRule_deny", "DefaultRule_DenyAllInBound", "BlockLateral", "unspecified"];

#[derive(Debug, Clone, Copy)]
enum Fate {
    Allowed,
    Unanswered,
    Denied(usize),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Allowed), Just(Fate::Unanswered), (0..RULES.len()).prop_map(Fate::Denied)]
}

/// A flow again and again: one address refused hour after hour, a port that no row waits for, or a row that works and
/// falls silent. Its first half may have another fate than its second.
fn series() -> impl Strategy<Value = Vec<(Tuple, Fate)>> {
    let times = (0..40 * 60_i64, prop::sample::select(vec![1, 7, 15, 60]), 2..45_i64);
    (times, 0..LOCALS.len(), 0..PEERS.len(), 0..PORTS.len(), any::<bool>(), fate(), fate()).prop_map(
        |((start, step, count), local, peer, port, is_outbound, before, after)| {
            let (local, peer, port) = (LOCALS[local], PEERS[peer], PORTS[port]);
            let flow = |nr: i64| {
                let time = minutes(start + nr * step);
                let fate = if 2 * nr < count { before } else { after };
                let flow =
                    if is_outbound { outbound(time, local, peer, port) } else { inbound(time, peer, local, port) };
                (if port == 53 || port == 4290 { flow.udp() } else { flow }, fate)
            };
            (0..count).map(flow).collect()
        },
    )
}

/// Some flows on ports of `far` are logged by the other end.
fn flow(far: &'static [u16]) -> impl Strategy<Value = (Tuple, Fate)> {
    let (local, peer, port) = (0..LOCALS.len(), 0..PEERS.len(), 0..PORTS.len());
    (0..60 * 60_i64, local, peer, port, any::<bool>(), 0..6_u8, fate()).prop_map(
        |(minute, local, peer, port, is_outbound, shape, fate)| {
            let (local, peer, port) = (LOCALS[local], PEERS[peer], PORTS[port]);
            let time = minutes(minute);
            let flow = if is_outbound { outbound(time, local, peer, port) } else { inbound(time, peer, local, port) };
            let flow = if shape == 0 && far.contains(&port) { flow.far() } else { flow };
            (if shape == 1 || port == 4290 { flow.udp() } else { flow }, fate)
        },
    )
}

/// What an analysis says besides how it came by its scope, and the scope.
async fn analysis_in(folder: &Path, scope: Scope) -> (Value, Scope) {
    let source = folder.to_str().expect("UTF-8").parse().expect("a folder");
    let mut session = Session::open(&[source], scope, SessionOptions::default()).await.expect("opens");
    let analysis = findings::analyze(&mut session, &Gate::default()).await.expect("analyzes");
    let mut analysis = serde_json::to_value(&analysis).expect("prints");
    analysis["scope"]["subnets_inferred"] = Value::Null;
    analysis["subnets_seen"] = Value::Null;
    analysis["notices"].as_array_mut().expect("a list").retain(|notice| notice["code"] != "subnet-inferred");
    (analysis, (**session.scope()).clone())
}

async fn analysis(folders: &[&Path], edition: &str, has_tags: bool, subnet: Option<&str>, partitions: usize) -> String {
    let source = |folder: &&Path| folder.to_str().expect("UTF-8").parse::<Source>().expect("a folder");
    let sources: Vec<Source> = folders.iter().map(source).collect();
    let subnets = subnet.iter().map(|s| s.parse().expect("valid")).collect();
    let scope = scope(edition, has_tags).with_subnets(subnets);
    let options = SessionOptions { partitions, text: Text::View, ..SessionOptions::default() };
    let mut session = Session::open(&sources, scope, options).await.expect("opens");
    serde_json::to_string(&findings::analyze(&mut session, &Gate::default()).await.expect("analyzes")).expect("prints")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_inferred_scope_is_as_good_as_a_given_one(
        flows in prop::collection::vec(flow(&SILENT), 1..300),
        is_nsg: bool,
        has_tags: bool,
        edition in prop::sample::select(vec!["2016-12", "2023-11-stv2", Catalog::NEWEST]),
    ) {
        let mut log = if is_nsg { Log::nsg() } else { Log::vnet() };
        for (flow, fate) in flows {
            match fate {
                Fate::Allowed => log.allowed(flow),
                Fate::Unanswered => log.unanswered(flow),
                Fate::Denied(rule) => log.denied(flow, RULES[rule]),
            }
        }
        log.allowed(inbound(minutes(1), "168.63.129.16", LOCALS[0], 6390));
        let folder = log.write();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let open = scope(edition, has_tags).with_subnets(Vec::new());
            let (inferred, found) = analysis_in(folder.path(), open).await;
            prop_assert!(!found.members().is_empty());
            let (given, _) = analysis_in(folder.path(), found).await;
            prop_assert_eq!(inferred, given);
            Ok(())
        })?;
    }

    #[test]
    fn order_threads_and_splits_never_show(
        flows in prop::collection::vec(flow(&PORTS), 1..200),
        series in prop::collection::vec(series(), 0..8),
        is_nsg: bool,
        has_tags: bool,
        edition in prop::sample::select(vec!["2016-12", "2023-11-stv2", Catalog::NEWEST]),
        subnet in prop::sample::select(vec![None, Some("10.20.1.0/24"), Some("10.20.0.0/16")]),
    ) {
        let mut log = if is_nsg { Log::nsg() } else { Log::vnet() };
        for (flow, fate) in flows.into_iter().chain(series.into_iter().flatten()) {
            match fate {
                Fate::Allowed => log.allowed(flow),
                Fate::Unanswered => log.unanswered(flow),
                Fate::Denied(rule) => log.denied(flow, RULES[rule]),
            }
        }
        let (whole, [one, other]) = (log.write(), log.write_in_two());
        let (whole, one, other) = (whole.path(), one.path(), other.path());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let expected = analysis(&[whole], edition, has_tags, subnet, 1).await;
            prop_assert_eq!(&analysis(&[whole], edition, has_tags, subnet, 3).await, &expected, "threads");
            // A log of one blob leaves one folder empty, which is an error and no split.
            if other.read_dir().expect("a folder").next().is_some() {
                prop_assert_eq!(&analysis(&[one, other], edition, has_tags, subnet, 2).await, &expected, "split");
                prop_assert_eq!(&analysis(&[other, one], edition, has_tags, subnet, 1).await, &expected, "order");
            }
            Ok(())
        })?;
    }
}
