use std::io;
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::support::azurite::{ACCOUNT, Azurite};
use crate::support::http::{Answer, Request, Server, ask, serve};

/// A proxy before Azurite that loses answers, refuses requests and breaks connections.
fn faulty(azurite: &Azurite, seed: u64) -> Server {
    let (port, chance) = (azurite.port, Mutex::new(Chance(seed)));
    serve(move |request: &Request, stream: &mut TcpStream| {
        let reset = || Err(io::ErrorKind::ConnectionReset.into());
        let often = if request.method == "PUT" { 24 } else { 120 };
        match chance.lock().expect("a generator").below(often) {
            0 => reset(),
            // The service did it, and the answer is lost.
            1 => ask(port, request).and_then(|_| reset()),
            2 => Answer::new(500, &[], "").send(request, stream),
            3 => Answer::new(503, &[], "<Error><Code>ServerBusy</Code></Error>").send(request, stream),
            // A conflict or a condition that is not there.
            4 if request.target.contains("_delta_log") && request.method == "PUT" => {
                Answer::new(409, &[], "<Error><Code>BlobAlreadyExists</Code></Error>").send(request, stream)
            }
            5 if request.target.contains("_delta_log") && request.method == "PUT" => {
                Answer::new(412, &[], "<Error><Code>ConditionNotMet</Code></Error>").send(request, stream)
            }
            _ => ask(port, request)?.send(request, stream),
        }
    })
}

fn start(world: &World, place: &str) -> std::process::Child {
    let mut run = world.command(&["ingest", "LOGS", "--to", place, "--commit-every", "1MB", "--quiet"]);
    run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("flowgap starts")
}

#[test]
fn a_lake_in_blob_storage_is_exact_through_faults_and_kills() {
    let azurite = Azurite::start();
    azurite.create_container("lake", &[]);
    let seed = number("FLOWGAP_SEED", 0);
    let proxy = faulty(&azurite, 7 + seed);
    let through = format!("http://127.0.0.1:{}/{ACCOUNT}/lake/flows", proxy.port);
    let direct = format!("{}/lake/flows", azurite.account());
    let mut world = World::new(51 + seed);
    world.add(1, 0, 10);
    let (mut killed, mut failed) = (0, 0);
    for round in 0..kills() * 6 / 50 {
        for _ in 0..3 {
            (0..1 + world.chance.below(4)).for_each(|_| world.change());
            let mut runs: Vec<_> = (0..2).map(|_| start(&world, &through)).collect();
            for run in &mut runs {
                if world.chance.below(2) == 0 {
                    std::thread::sleep(Duration::from_millis(world.chance.below(400)));
                    killed += usize::from(run.try_wait().expect("a run").is_none());
                    run.kill().expect("killed");
                }
                let status = run.wait().expect("ended").code();
                assert!(matches!(status, None | Some(0 | 4)), "{status:?}");
                failed += usize::from(status == Some(4));
            }
        }
        world.done(&["ingest", "LOGS", "--to", &direct]);
        world.check_at(&direct, &format!("round {round}"));
        if round == 3 {
            world.done(&["lake", "compact", &direct]);
            world.check_at(&direct, "compacted");
        }
    }
    world.done(&["lake", "verify", &direct, "LOGS"]);
    let status = world.done(&["lake", "status", &direct]);
    assert!(status.starts_with(&format!("lake      {direct}, version ")), "{status}");
    let output = world.run(&["ingest", &direct, "--to", "LAKE"]);
    assert!(stderr(&output).contains("is a lake, and flow logs are expected"), "{}", stderr(&output));
    println!("{killed} runs killed, {failed} runs failed");
}

#[test]
fn blobs_of_storage_grow_into_a_lake() {
    let azurite = Azurite::start();
    azurite.create_container("insights-logs-flowlogflowevent", &[]);
    let mut world = World::new(52);
    let names: Vec<String> = (0..3).map(|hour| world.add(1, hour, 400)).collect();
    let upload = |world: &World, name: &str| {
        let (container, path) = name.split_once('/').expect("a container");
        azurite.put(container, path, std::fs::read(world.path("logs").join(name)).expect("a file"));
    };
    names.iter().for_each(|name| upload(&world, name));
    let ingest = |world: &World| world.done(&["ingest", &azurite.address(), "--to", "LAKE"]);
    assert!(ingest(&world).contains("3 new, 0 grown, 0 rewritten, 0 unchanged"));
    world.grow(&names[0], 5);
    world.rewrite(&names[1]);
    names[..2].iter().for_each(|name| upload(&world, name));
    let said = ingest(&world);
    assert!(said.contains("0 new, 1 grown, 1 rewritten, 1 unchanged"), "{said}");
    let count = |rows: &Rows| rows.values().sum::<u64>();
    assert_eq!(count(&rows(&world.lake())), count(&world.expected()));
    assert!(entries(&world.lake()).keys().all(|blob| blob.starts_with(&azurite.address())));
    world.done(&["lake", "verify", "LAKE", &azurite.address()]);
    let inside = format!("{}/lake", azurite.address());
    let output = world.run(&["ingest", &azurite.address(), "--to", &inside]);
    assert_eq!(output.status.code(), Some(4), "{}", stdout(&output));
    assert!(stderr(&output).contains("which is never written"), "{}", stderr(&output));
}
