//! One run of the job: every instance from its logs to the saved state.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::info;

use super::config::{Config, InstanceConfig};
use super::deliver::{Delivery, DeliveryError, Limits, Outcome, Sender, Sent, Stage};
use super::lag::{self, NewestHours};
use super::scans::{ScanError, Scanned, Scans};
use super::state::{self, State, StateError};
use super::store::{self, Outbox, Store, StoreError, Version};
use crate::answer::Interrupt;
use crate::engine::{Session, SessionError};
use crate::findings::history::{Changes, Comparison, Epoch, PeersAllowed, REMEMBERED, Transition};
use crate::findings::suppress::Suppressions;
use crate::findings::{self, Analysis};
use crate::options::{ExportFault, ExportsError};
use crate::report::{Clock, fix};
use crate::source::{Access, Environment};
use crate::time::Timestamp;

/// How often a run compares again because another one saved its state first.
const TRIES: usize = 5;
/// Key of the error of a whole run, among those of interfaces.
const RUN: &str = "run";

/// What a run does.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Name of the only instance to run; `None` for all.
    pub instance: Option<String>,
    /// Whether nothing is delivered and no state is saved.
    pub is_dry: bool,
    /// Time of the run.
    pub now: Timestamp,
    /// Zone of the times in reports for readers.
    pub clock: Clock,
}

/// A run that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration has no such instance.
    #[error("there is no instance '{0}': the configuration has {1}")]
    NoInstance(String, String),
    /// The state cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificates of the system cannot be used.
    #[error("cannot set up the delivery: {0}")]
    Client(#[from] reqwest::Error),
}

/// Result of one instance, for the summary of the run.
#[derive(Debug)]
pub struct Ended {
    /// Name of the instance.
    pub instance: String,
    /// Exit status.
    pub exit: u8,
    /// What happened, in a sentence.
    pub sentence: String,
}

/// Why an instance has no result. The message holds no secret.
#[derive(Debug, thiserror::Error)]
enum InstanceError {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("{}: {error}", .path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Exports(#[from] ExportsError),
    #[error("interrupted; nothing is saved")]
    Interrupted,
    #[error(transparent)]
    Suppressions(#[from] findings::suppress::SuppressionsError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("other runs saved the state of this instance {TRIES} times in between")]
    Crowded,
    #[error("the outbox in the state: {0}")]
    Outbox(#[from] std::io::Error),
}

/// Runs the instances one after the other, and calls `tell` with the result of each. An instance that fails does not
/// keep the others from running. Returns the exit status of the run: the worst of its instances and deliveries.
pub async fn run(
    config: &Config,
    options: &RunOptions,
    environment: &Environment,
    interrupt: &Interrupt,
    tell: &dyn Fn(&Ended),
) -> Result<u8, RunError> {
    let chosen = chosen(config, options.instance.as_deref())?;
    let access = Access { environment: environment.clone(), ..Access::default() };
    let store = match options.is_dry {
        true => store::open_to_read(config.state.expose(), access.clone())?,
        false => store::open(config.state.expose(), access.clone()).await?,
    };
    let sender = Sender::new(Limits::default(), access, interrupt.leftovers().clone())?;
    let outbox = Arc::new(Outbox(Arc::clone(&store)));
    let delivery = Delivery::new(config.deliver.clone(), outbox, sender);
    let job = Job { options, store: &*store, delivery: &delivery };
    let proven = state::proven_modes(&*store, &chosen).await;
    let mut scans = Scans::new(config, &chosen, environment, interrupt, options.now, options.is_dry, proven);
    let mut exits = Vec::new();
    if !options.is_dry {
        // Messages that an earlier run could not deliver.
        for instance in &chosen {
            if let Some(ended) = job.resend(instance).await {
                tell(&ended);
                exits.push(ended.exit);
            }
        }
    }
    for instance in &chosen {
        if interrupt.is_asked() {
            exits.push(130);
            break;
        }
        let ended = job.instance(instance, &mut scans).await;
        info!(instance = ended.instance, exit = ended.exit, "ended");
        tell(&ended);
        exits.push(ended.exit);
    }
    Ok(worst(exits))
}

/// Sends a test message to every receiver, and nothing else. Neither reads nor writes the state.
pub async fn test_delivery(
    config: &Config,
    now: Timestamp,
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<Vec<Sent>, RunError> {
    let access = Access { environment: environment.clone(), ..Access::default() };
    let sender = Sender::new(Limits::default(), access, interrupt.leftovers().clone())?;
    let first = config.instance.first().map_or("test", |instance| instance.name.as_str());
    let tests = config.deliver.iter().map(|receiver| receiver.send_test(first, now, &sender));
    Ok(futures::future::join_all(tests).await)
}

/// Returns the worst exit status, in the order of contract section 6.2.
pub fn worst(exits: impl IntoIterator<Item = u8>) -> u8 {
    const ORDER: [u8; 7] = [0, 3, 1, 2, 4, 5, 130];
    let rank = |exit: &u8| ORDER.iter().position(|known| known == exit);
    exits.into_iter().max_by_key(rank).unwrap_or(0)
}

fn chosen<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<&'a InstanceConfig>, RunError> {
    let chosen: Vec<&InstanceConfig> =
        config.instance.iter().filter(|instance| name.is_none_or(|name| instance.name == name)).collect();
    match (name, chosen.is_empty()) {
        (Some(name), true) => {
            let known: Vec<&str> = config.instance.iter().map(|instance| instance.name.as_str()).collect();
            Err(RunError::NoInstance(name.to_owned(), known.join(", ")))
        }
        _ => Ok(chosen),
    }
}

struct Job<'a> {
    options: &'a RunOptions,
    store: &'a dyn Store,
    delivery: &'a Delivery,
}

/// An analysis and what belongs to it.
struct Analysed {
    session: Session,
    analysis: Analysis,
    newest: NewestHours,
    stages: Vec<Stage>,
}

impl Job<'_> {
    async fn instance(&self, instance: &InstanceConfig, scans: &mut Scans<'_>) -> Ended {
        let analysed = self.analyse(instance, scans).await;
        let ended = match analysed {
            Ok(analysed) if analysed.analysis.status.exit == 130 => Err(InstanceError::Interrupted),
            Err(InstanceError::Interrupted) => Err(InstanceError::Interrupted),
            Ok(analysed) => self.settle(instance, Ok(analysed)).await,
            Err(error) => {
                let exit = exit_of(&error);
                self.settle(instance, Err((exit, error.to_string()))).await
            }
        };
        let (exit, sentence) = ended.unwrap_or_else(|error| (exit_of(&error), error.to_string()));
        let sentence = [sentence].into_iter().chain(scans.not_compacted.remove(&instance.source)).collect::<Vec<_>>();
        Ended { instance: instance.name.clone(), exit, sentence: sentence.join("; ") }
    }

    async fn analyse(&self, instance: &InstanceConfig, scans: &mut Scans<'_>) -> Result<Analysed, InstanceError> {
        let started = Instant::now();
        let Scanned { session, mut analysis, took } = scans.analyse(instance).await?;
        let Some(truth) = scans.configuration(instance).await else { return Err(InstanceError::Interrupted) };
        truth?.apply(&mut analysis, &session).await?;
        fix::fill(&mut analysis);
        if let Some(path) = &instance.suppressions {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| InstanceError::File { path: path.clone(), error })?;
            Suppressions::parse(&path.display().to_string(), &text)?.apply(&mut analysis, self.options.now);
        }
        let newest = lag::newest_hours(&session).await?;
        let stages = vec![("list", started.elapsed().saturating_sub(took)), ("analyze", took)];
        Ok(Analysed { session, analysis, newest, stages })
    }

    /// Compares with the state, saves the next one, and delivers what changed.
    async fn settle(
        &self,
        instance: &InstanceConfig,
        analysed: Result<Analysed, (u8, String)>,
    ) -> Result<(u8, String), InstanceError> {
        let name = &instance.name;
        let mut analysed = analysed;
        let found = analysed.as_ref().ok().map(|analysed| analysed.analysis.clone());
        for _ in 0..TRIES {
            // A comparison changes the analysis, so each starts from what was found.
            if let (Ok(analysed), Some(found)) = (&mut analysed, &found) {
                analysed.analysis.clone_from(found);
            }
            let (before, version) = State::load(self.store, name).await?;
            let peers_allowed = match &analysed {
                Ok(Analysed { session, .. }) => before.history.peers_allowed(session).await?,
                Err(_) => PeersAllowed::new(),
            };
            let settled = self.compare(instance, &before, peers_allowed, &mut analysed);
            if self.options.is_dry {
                return Ok((settled.exit, settled.sentence));
            }
            if let Some(ended) = self.commit(instance, &before, version.as_ref(), settled, &analysed).await? {
                return Ok(ended);
            }
        }
        Err(InstanceError::Crowded)
    }

    fn compare(
        &self,
        instance: &InstanceConfig,
        before: &State,
        peers_allowed: PeersAllowed,
        analysed: &mut Result<Analysed, (u8, String)>,
    ) -> Settled {
        let now = self.options.now;
        let mut next = before.clone();
        next.outbox.clear();
        let mut all: Vec<String> = Vec::new();
        let (changes, exit, mut errors) = match analysed {
            Ok(Analysed { analysis, newest, .. }) => {
                let epoch = Epoch::of(analysis);
                let comparison = Comparison { now, epoch, peers_allowed, fail_on: instance.fail_on.0 };
                let (changes, history) = before.history.compare(analysis, &comparison);
                next.history = history;
                newest.iter().for_each(|(mac, hour)| {
                    let known = next.newest.entry(mac.clone()).or_insert(*hour);
                    *known = (*known).max(*hour);
                });
                next.newest.retain(|_, hour| now.0.saturating_sub(hour.0) < REMEMBERED);
                if matches!(analysis.status.exit, 0 | 1) {
                    next.last_success = Some(now);
                }
                let errors = lag::silent(&next.newest, now, instance.max_lag.length);
                (Some(changes), analysis.status.exit, errors)
            }
            Err((exit, message)) => {
                // The number of the state tells the messages of one failure from those of the next.
                next.history.run += 1;
                // It says nothing about the interfaces.
                all = before.told.iter().filter(|key| *key != RUN).cloned().collect();
                (None, *exit, BTreeMap::from([(RUN.to_owned(), message.clone())]))
            }
        };
        all.extend(errors.keys().cloned());
        // An error that lasts is told once.
        errors.retain(|key, _| !before.told.contains(key));
        next.told = all;
        let errors: Vec<String> = errors.into_values().collect();
        let sentence = sentence(changes.as_ref(), exit, &errors);
        Settled { next, changes, exit, errors, sentence }
    }

    /// Writes the messages, then the state that names them, then sends them. A run that is killed in between leaves
    /// messages that the state names, which the next run sends, or that it does not, which are deleted after a day.
    ///
    /// Returns `None` if another run saved the state first.
    async fn commit(
        &self,
        instance: &InstanceConfig,
        before: &State,
        version: Option<&Version>,
        settled: Settled,
        analysed: &Result<Analysed, (u8, String)>,
    ) -> Result<Option<(u8, String)>, InstanceError> {
        let Settled { mut next, changes, exit, errors, sentence } = settled;
        let analysed = analysed.as_ref().ok();
        let last_flow = analysed.and_then(|analysed| analysed.analysis.input.last_flow);
        let outcome = Outcome {
            instance: &instance.name,
            run: before.history.run,
            at: self.options.now,
            analysis: analysed.map(|analysed| &analysed.analysis),
            changes: changes.as_ref(),
            known: &next.history.findings,
            exit,
            errors: &errors,
            stages: analysed.map_or(&[], |analysed| &analysed.stages),
            last_success: next.last_success,
            lag: last_flow.and_then(|last| u64::try_from(self.options.now.0 - last.0).ok()).map(Duration::from_millis),
            clock: self.options.clock,
        };
        let queued = self.delivery.queue(&outcome, &before.outbox).await?;
        next.outbox = queued.ids;
        if !next.save(self.store, &instance.name, version).await? {
            return Ok(None);
        }
        let sent = self.delivery.send(&instance.name, &next.outbox, self.options.now).await?;
        let failed: Vec<Sent> = queued.failed.into_iter().chain(sent).filter(|sent| sent.result.is_err()).collect();
        let exit = worst([exit].into_iter().chain(failed.iter().any(is_final).then_some(4)));
        let sentence = [sentence].into_iter().chain(failed.iter().filter_map(failure)).collect::<Vec<_>>().join("; ");
        Ok(Some((exit, sentence)))
    }

    /// Sends the messages that the state names and that an earlier run could not deliver. Returns what failed for good.
    /// A state that cannot be read is an error of the instance, which comes later.
    async fn resend(&self, instance: &InstanceConfig) -> Option<Ended> {
        let (state, _) = State::load(self.store, &instance.name).await.ok()?;
        let sent = self.delivery.send(&instance.name, &state.outbox, self.options.now).await;
        let sentence = match sent {
            Ok(sent) => sent.iter().filter(|sent| is_final(sent)).filter_map(failure).collect::<Vec<_>>().join("; "),
            Err(error) => InstanceError::Outbox(error).to_string(),
        };
        (!sentence.is_empty()).then(|| Ended { instance: instance.name.clone(), exit: 4, sentence })
    }
}

/// Result of a comparison, not yet saved.
struct Settled {
    next: State,
    changes: Option<Changes>,
    exit: u8,
    errors: Vec<String>,
    sentence: String,
}

fn exit_of(error: &InstanceError) -> u8 {
    match error {
        InstanceError::Session(SessionError::Engine(_))
        | InstanceError::Scan(ScanError::Session(SessionError::Engine(_))) => 5,
        InstanceError::Scan(ScanError::Scope(_) | ScanError::Window)
        | InstanceError::File { .. }
        | InstanceError::Exports(ExportsError { reason: ExportFault::Content(_), .. })
        | InstanceError::Suppressions(_) => 2,
        InstanceError::Interrupted => 130,
        InstanceError::Scan(_)
        | InstanceError::Session(_)
        | InstanceError::Exports(_)
        | InstanceError::State(_)
        | InstanceError::Crowded
        | InstanceError::Outbox(_) => 4,
    }
}

/// Returns whether a message will never be delivered.
fn is_final(sent: &Sent) -> bool {
    matches!(sent.result, Err(DeliveryError::Gone(_) | DeliveryError::Refused(_)))
}

/// Returns why a message was not delivered, in a sentence; `None` if it was.
fn failure(sent: &Sent) -> Option<String> {
    let error = sent.result.as_ref().err()?;
    let later = if is_final(sent) { "" } else { ", and will be sent again" };
    Some(format!("receiver {}: {error}{later}", sent.receiver))
}

/// Returns what a run found, in a sentence.
fn sentence(changes: Option<&Changes>, exit: u8, errors: &[String]) -> String {
    let counts = changes.map(|changes| {
        let known = Transition::ALL.into_iter().filter_map(|transition| {
            let count = changes.of(transition).count();
            (count > 0).then(|| format!("{count} {transition}"))
        });
        let counted = (changes.summarised > 0).then(|| format!("{} less severe", changes.summarised));
        let counts: Vec<String> = changes.fresh.clone().into_iter().chain(known).chain(counted).collect();
        match counts.is_empty() {
            true => "nothing found".to_owned(),
            false => counts.join(", "),
        }
    });
    let doubt = (exit == 3).then(|| "could not tell".to_owned());
    let parts: Vec<String> = doubt.into_iter().chain(counts).chain(errors.iter().cloned()).collect();
    match parts.is_empty() {
        true => "it failed as in the run before".to_owned(),
        false => parts.join("; "),
    }
}
