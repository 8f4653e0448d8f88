//! Fragments in one process: bytes and back give equal rows and counts, hold no secret, and no lost, doubled or changed
//! message ever makes an answer smaller.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use flowgap::catalog::Catalog;
use flowgap::engine::{
    Explorer, Faults, Frame, FrameKind, InputSummary, Job, ParamValues, Session, SessionOptions, TaskRunner, Workers,
};
use flowgap::findings::{self, Gate};
use flowgap::source::{Access, Source};
use futures::TryStreamExt;
use futures::stream::{self, BoxStream, StreamExt};

use crate::sql::scope;
use crate::support::azurite::{Azurite, CONTAINER, sas};
use crate::support::binary::root;

/// Workers of this process. They may lose or change frames.
#[derive(Debug)]
struct Here {
    runner: Arc<TaskRunner>,
    runtime: Arc<RuntimeEnv>,
    sent: Mutex<Vec<u8>>,
    jobs: AtomicUsize,
    notes: Mutex<Vec<String>>,
    harm: Harm,
}

/// What happens to frames.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Harm {
    None,
    /// The nth frame of the first job is lost.
    Lost(usize),
    /// The nth frame of the first job comes twice.
    Doubled(usize),
    /// The first job ends with an error after so many frames.
    Ended(usize),
    /// Every job loses its first frame of this kind.
    Always(FrameKind),
}

impl Here {
    fn new(harm: Harm, faults: Faults) -> Arc<Self> {
        let runner = TaskRunner::new("here".to_owned(), Access::default(), Duration::from_secs(60), faults);
        let stores = runner.stores();
        let runtime = RuntimeEnvBuilder::new().with_object_store_registry(stores).build_arc().expect("a runtime");
        Arc::new(Self {
            runner: Arc::new(runner),
            runtime,
            sent: Mutex::default(),
            jobs: AtomicUsize::new(0),
            notes: Mutex::default(),
            harm,
        })
    }

    fn jobs(&self) -> usize {
        self.jobs.load(Ordering::Relaxed)
    }
}

impl Workers for Here {
    fn run(&self, job: Job) -> BoxStream<'static, Result<Frame, String>> {
        let is_first = self.jobs.fetch_add(1, Ordering::Relaxed) == 0;
        let mut sent = self.sent.lock().expect("not poisoned");
        sent.extend_from_slice(&job.fragment);
        job.tasks.iter().for_each(|(_, load)| sent.extend_from_slice(load));
        let (runner, runtime, harm) = (Arc::clone(&self.runner), Arc::clone(&self.runtime), self.harm);
        let fragment = job.fragment;
        let run = move |(task, load)| runner.run(task, fragment.clone(), load, Arc::clone(&runtime));
        let mut is_lost = false;
        let frames = stream::iter(job.tasks).map(run).flatten_unordered(3).enumerate();
        frames
            .flat_map(move |(nr, frame)| {
                let frames = match harm {
                    Harm::Lost(at) if is_first && nr == at => vec![],
                    Harm::Doubled(at) if is_first && nr == at => vec![Ok(frame.clone()), Ok(frame)],
                    Harm::Ended(at) if is_first && nr == at => vec![Err("a lost connection".to_owned())],
                    Harm::Always(kind) if frame.kind == kind && !is_lost => {
                        is_lost = true;
                        vec![]
                    }
                    _ => vec![Ok(frame)],
                };
                stream::iter(frames)
            })
            .boxed()
    }

    fn note(&self, sentence: &str) {
        self.notes.lock().expect("not poisoned").push(sentence.to_owned());
    }
}

async fn session(sources: &[Source], workers: Option<Arc<Here>>) -> Session {
    let workers = workers.map(|workers| workers as Arc<dyn Workers>);
    let options = SessionOptions { workers, partitions: 3, ..SessionOptions::default() };
    Session::open(sources, scope(Catalog::NEWEST, true), options).await.expect("opens")
}

fn sources(paths: &[&str]) -> Vec<Source> {
    paths.iter().map(|path| root().join(path).to_str().expect("UTF-8").parse().expect("a source")).collect()
}

/// Rows of a user query as text, with what was read for them.
async fn answer(session: &Session, text: &str) -> (Result<String, String>, InputSummary) {
    let explorer = Explorer::open(Arc::clone(session.archive()), Arc::clone(session.scope()), 1 << 30).await;
    let explorer = explorer.expect("opens");
    let planned = explorer.plan_all(&[text], &ParamValues::new()).await.expect("plans").remove(0);
    let rows = match planned.run() {
        Ok(stream) => stream.rows.try_collect::<Vec<_>>().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    // Rows that are equal in the order may come in any order.
    let rows = rows.map(|rows| {
        let text = arrow::util::pretty::pretty_format_batches(&rows).expect("prints").to_string();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    });
    (rows, session.input())
}

const QUERIES: [&str; 16] = [
    "SELECT count(*) FROM flows",
    "SELECT * FROM flows ORDER BY time, src_ip, dst_ip, src_port, dst_port, direction, state, blob, rule, packets_sent",
    "SELECT direction, decision, count(*), sum(bytes_sent), min(time) FROM flows GROUP BY ALL ORDER BY 1, 2",
    "SELECT count(DISTINCT src_ip), count(DISTINCT dst_ip), approx_distinct(dst_port) > 0 FROM flows",
    "SELECT dst_ip, count(*) AS n FROM flows GROUP BY 1 ORDER BY n DESC, 1 LIMIT 5",
    "SELECT src_ip, dst_port FROM flows WHERE decision = 'deny' AND ip_in(src_ip, '10.0.0.0/8') ORDER BY 1, 2 LIMIT 7",
    "SELECT repeat(rule, 2) AS r, rule || '-' || acl AS a, is_private(dst_ip), count(*) FROM flows GROUP BY ALL ORDER BY 1, 2, 3",
    "SELECT service_tag(dst_ip), name(src_ip), count(*) FROM flows GROUP BY ALL ORDER BY 1, 2, 3",
    "SELECT mode(protocol), median(dst_port), arg_max(dst_ip, time), histogram(protocol) FROM flows",
    "SELECT count(*) FROM flows f JOIN (SELECT DISTINCT dst_port FROM flows WHERE decision = 'deny') d ON f.dst_port = d.dst_port",
    "SELECT count(*) FROM flows WHERE dst_port = (SELECT max(dst_port) FROM flows)",
    "SELECT src_ip, rank() OVER (PARTITION BY src_ip ORDER BY time) AS r FROM flows ORDER BY 1, 2 LIMIT 20",
    "SELECT time::date, to_char(time, '%H'), count(*) FROM flows GROUP BY ALL ORDER BY 1, 2",
    "SELECT protocol, decision, count(*) FROM flows GROUP BY ROLLUP (protocol, decision) ORDER BY 1, 2, 3",
    "SELECT count(*) FROM flows WHERE time < '2026-05-04T06:00:00Z'",
    "SELECT count(*) FROM problems",
];

#[tokio::test(flavor = "multi_thread")]
async fn fragments_give_the_rows_and_counts_of_one_process() {
    let apim = "testdata/apim";
    for paths in [&[apim][..], &["testdata/nsg-v2", "testdata/vnet-v4", "testdata/nsg-v1"], &["testdata/broken"]] {
        let sources = sources(paths);
        for text in QUERIES {
            let expected = answer(&session(&sources, None).await, text).await;
            let workers = Here::new(Harm::None, Faults::default());
            let found = answer(&session(&sources, Some(Arc::clone(&workers))).await, text).await;
            assert!(found == expected, "{paths:?} {text}:\n{found:?}\nis not\n{expected:?}");
            assert!(workers.jobs() > 0, "{text} ran here");
            assert_eq!(*workers.notes.lock().expect("not poisoned"), Vec::<String>::new(), "{text}");
        }
        let gate = Gate { fail_on: None, min_coverage: 0.5, is_strict: true };
        let json = async |workers| {
            let mut session = session(&sources, workers).await;
            serde_json::to_string(&findings::analyze(&mut session, &gate).await.expect("an analysis")).expect("JSON")
        };
        let workers = Here::new(Harm::None, Faults::default());
        assert_eq!(json(Some(Arc::clone(&workers))).await, json(None).await, "{paths:?}");
        assert!(workers.jobs() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gets_lost_is_run_again_or_there_is_no_answer() {
    let sources = sources(&["testdata/apim", "testdata/broken"]);
    for text in [QUERIES[1], QUERIES[2]] {
        let expected = answer(&session(&sources, None).await, text).await;
        let mut repeated = 0;
        for at in 0..8 {
            for harm in [Harm::Lost(at), Harm::Doubled(at), Harm::Ended(at)] {
                let workers = Here::new(harm, Faults::default());
                let found = answer(&session(&sources, Some(Arc::clone(&workers))).await, text).await;
                assert!(found == expected, "{harm:?} {text}: {found:?}");
                repeated += workers.notes.lock().expect("not poisoned").len();
            }
        }
        assert!(repeated >= 6, "{repeated} of the harmed jobs were run again");
        for kind in [FrameKind::Rows, FrameKind::Receipts, FrameKind::End] {
            let workers = Here::new(Harm::Always(kind), Faults::default());
            let (found, _) = answer(&session(&sources, Some(Arc::clone(&workers))).await, text).await;
            let error = found.expect_err("no answer");
            assert!(error.contains("so there is no answer"), "{kind:?}: {error}");
            // Of each source once, three times.
            assert!(workers.jobs() >= 3, "{} jobs", workers.jobs());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn panics_and_other_versions_are_told() {
    let sources = sources(&["testdata/apim"]);
    let expected = answer(&session(&sources, None).await, QUERIES[2]).await;
    let workers = Here::new(Harm::None, Faults { panic_in: Some(1), ..Faults::default() });
    let found = answer(&session(&sources, Some(Arc::clone(&workers))).await, QUERIES[2]).await;
    assert!(found == expected, "{found:?}");
    assert!(workers.notes.lock().expect("not poisoned").concat().contains("executor here failed on a task"));

    let workers = Here::new(Harm::None, Faults { version: Some("9.9.9".to_owned()), ..Faults::default() });
    let (found, _) = answer(&session(&sources, Some(workers)).await, QUERIES[2]).await;
    let error = found.expect_err("no answer");
    assert!(error.contains("this executor is flowgap 9.9.9") && error.contains("run the same version"), "{error}");
}

#[test]
fn no_credential_travels() {
    let azurite = Azurite::start();
    azurite.create_container(CONTAINER, &[]);
    azurite.upload(CONTAINER, &root().join("testdata/apim").join(CONTAINER));
    let signature = sas(CONTAINER, "rl", "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z");
    let secret = signature.split("sig=").nth(1).expect("a signature").to_owned();
    let source: Source = format!("{}?{signature}", azurite.address()).parse().expect("a source");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (rows, workers) = runtime.block_on(async {
        let workers = Here::new(Harm::None, Faults::default());
        let session = session(&[source], Some(Arc::clone(&workers))).await;
        (answer(&session, QUERIES[0]).await.0, workers)
    });
    assert!(rows.is_ok() && workers.jobs() > 0, "{rows:?}");
    let sent = workers.sent.lock().expect("not poisoned").clone();
    // Everything that is compressed, too.
    let mut bytes = sent.clone();
    let frames = sent.windows(4).enumerate().filter(|(_, four)| *four == [0x28, 0xb5, 0x2f, 0xfd]).map(|(at, _)| at);
    let mut opened = 0;
    for at in frames {
        let mut text = Vec::new();
        let mut decoder = zstd::stream::read::Decoder::new(&sent[at..]).expect("a decoder").single_frame();
        if std::io::Read::read_to_end(&mut decoder, &mut text).is_ok() {
            opened += 1;
            bytes.extend(text);
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    assert!(opened >= 2 && text.contains(&azurite.address()[7..]), "the bytes name the store");
    for word in ["sig=", &secret, "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1"] {
        assert!(!text.contains(word), "the bytes have {word}");
    }
}
