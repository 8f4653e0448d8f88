//! Delivery of results: what each receiver gets, and how it gets there.

use std::io;
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowgap::answer::Leftovers;
use flowgap::findings::Analysis;
use flowgap::findings::Suppression;
use flowgap::findings::history::{Changes, Comparison, Epoch, History, PeersAllowed};
use flowgap::job::config::receiver::Receiver;
use flowgap::job::deliver::{Body, DeliveryError, Limits, Message, Outcome, Receipt, Sender, Stage};
use flowgap::report::Clock;
use flowgap::source::{Access, Environment, RetryPolicy};
use flowgap::time::{DAY, Timestamp};
use serde_json::Value;

use crate::sql_cli::python;
use crate::support::binary::root;
use crate::support::http::{Answer, Request, Server, serve};

/// Messages: size, escaping, signature, metrics, tables, reports.
mod messages;
/// The outbox: kept, sent later, once, in order; receivers that are gone.
mod outbox;
/// The tables `[[deliver]]`: occasions, mistakes, secrets.
mod receivers;
/// Requests: every answer of a service, and none.
mod sending;

/// Part of every secret of these tests. Nothing that is printed or stored may hold it.
const SECRET: &str = "S3CR3T";
/// Key of 24 bytes for signatures.
const KEY: &str = "whsec_UzNDUjNULVMzQ1IzVC1TM0NSM1Qta2V5";
const AT: Timestamp = Timestamp(1_777_939_200_000);
const STAGES: [Stage; 2] = [("analyze", Duration::from_millis(1500)), ("save", Duration::from_millis(250))];
const INSTANCE: &str = "apim-weu";
/// Text that breaks a format which does not escape it.
const HOSTILE: &str = "<!channel> <https://evil.example|x> *b* `c` [x](https://evil.example) {0} \\ \"q\" \u{202e}\u{1b}[31m\r\n</b>&amp;";

fn analysis() -> Analysis {
    let golden = std::fs::read(root().join("tests/golden/apim.json")).expect("a golden");
    serde_json::from_slice(&golden).expect("an analysis")
}

/// An analysis with this many findings, all with hostile names.
fn hostile(count: usize) -> Analysis {
    let mut analysis = analysis();
    let first = analysis.findings[0].clone();
    let finding = |at: usize| {
        let mut finding = first.clone();
        finding.identity.fingerprint = format!("{at:016x}");
        finding.identity.id = format!("F-{at:08x}");
        finding.subject.requirement = Some(HOSTILE.to_owned());
        finding.blame.rule_name = Some(format!("{HOSTILE}{at}"));
        finding.blame.acl_name = Some(HOSTILE.repeat(100));
        finding.explanation = HOSTILE.repeat(1000);
        finding
    };
    analysis.findings = (0..count).map(finding).collect();
    analysis
}

/// The changes of a first run.
fn changes(analysis: &Analysis) -> Changes {
    changes_with(&History::new(), analysis)
}

fn changes_with(history: &History, analysis: &Analysis) -> Changes {
    let comparison =
        Comparison { now: AT, epoch: Epoch::of(analysis), peers_allowed: PeersAllowed::new(), fail_on: None };
    history.compare(&mut analysis.clone(), &comparison).0
}

/// The history of a run one day before that found the same.
fn yesterday(analysis: &Analysis) -> History {
    History::of(analysis, Timestamp(AT.0 - DAY))
}

fn outcome<'a>(analysis: &'a Analysis, changes: &'a Changes) -> Outcome<'a> {
    Outcome {
        instance: INSTANCE,
        run: 7,
        at: AT,
        analysis: Some(analysis),
        changes: Some(changes),
        known: &[],
        exit: 1,
        errors: &[],
        stages: &STAGES,
        last_success: Some(AT),
        lag: Some(Duration::from_secs(1800)),
        clock: Clock::UTC,
    }
}

fn receiver(table: &str) -> Receiver {
    toml::from_str(table).unwrap_or_else(|error| panic!("{table}: {error}"))
}

/// A receiver of this kind at a server of this machine, with a secret in its address.
fn hook(kind: &str, port: u16) -> Receiver {
    receiver(&format!("kind = '{kind}'\nurl = 'http://127.0.0.1:{port}/services/{SECRET}/{SECRET}9f3a'"))
}

fn message(receiver: &Receiver, outcome: &Outcome) -> Message {
    receiver.compose(outcome).expect("composed").expect("a message")
}

fn body(message: &Message) -> Vec<u8> {
    message.body.bytes().expect("whole").into_owned()
}

fn json(message: &Message) -> Value {
    serde_json::from_slice(&body(message)).expect("JSON")
}

/// What a service does with a request.
#[derive(Clone)]
enum Step {
    Answer(Answer),
    Reset,
    Stall,
}

fn status(status: u16) -> Step {
    Step::Answer(Answer::new(status, &[], ""))
}

fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Step {
    Step::Answer(Answer::new(status, headers, body))
}

/// A service that keeps what it was sent.
struct Service {
    server: Server,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Service {
    /// Takes one step per request, then the last one again.
    fn start(steps: Vec<Step>) -> Self {
        Self::answering(move |_, at| steps[at.min(steps.len() - 1)].clone())
    }

    fn answering(step: impl Fn(&Request, usize) -> Step + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let server = serve(move |request: &Request, stream: &mut TcpStream| {
            let at = {
                let mut kept = kept.lock().expect("a list");
                kept.push(request.clone());
                kept.len() - 1
            };
            match step(request, at) {
                Step::Answer(answer) => answer.send(request, stream),
                Step::Reset => Err(io::ErrorKind::ConnectionReset.into()),
                Step::Stall => {
                    std::thread::sleep(Duration::from_secs(20));
                    Ok(())
                }
            }
        });
        Self { server, seen }
    }

    fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("a list").clone()
    }
}

/// An identity service that issues one token, and the environment that leads to it.
fn identity() -> (Service, Environment) {
    let token = format!("{{\"access_token\": \"{SECRET}-token\", \"expires_in\": 3600}}");
    let service = Service::start(vec![with(200, &[("content-type", "application/json")], &token)]);
    let authority = format!("http://127.0.0.1:{}", service.server.port);
    let variables = [
        ("AZURE_AUTHORITY_HOST", authority.as_str()),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_CLIENT_SECRET", SECRET),
    ];
    let environment = Environment::of(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    (service, environment)
}

const LIMITS: fn() -> Limits = || Limits {
    longest: Duration::from_secs(4),
    first_wait: Duration::from_millis(4),
    timeout: Duration::from_millis(700),
    ..Limits::default()
};

fn sender() -> Sender {
    sender_in(Environment::default())
}

fn sender_in(environment: Environment) -> Sender {
    let retry = RetryPolicy { retries: 0, ..RetryPolicy::default() };
    let access = Access { retry, environment, ..Access::default() };
    Sender::new(LIMITS(), access, Leftovers::default()).expect("a client")
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(work)
}

fn send(receiver: &Receiver, message: &Message) -> Result<Receipt, DeliveryError> {
    send_in(Environment::default(), receiver, message)
}

fn send_in(environment: Environment, receiver: &Receiver, message: &Message) -> Result<Receipt, DeliveryError> {
    let sent = run(receiver.send(message, &sender_in(environment)));
    assert!(!format!("{sent:?}").contains(SECRET), "{sent:?}");
    sent
}

/// Runs a program of `tests/readers` on a file, and returns what it prints.
fn read_by(program: &str, file: &std::path::Path) -> Value {
    let output = Command::new(python()).arg(root().join("tests/readers").join(program)).arg(file).output();
    let output = output.expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
