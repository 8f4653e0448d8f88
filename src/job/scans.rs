//! The scans of a run. Instances of one source and window share an archive, which is scanned once for all of them. Logs of
//! a source with a lake are copied into it first, once per run.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use tokio::select;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::warn;

use super::config::{Config, InstanceConfig, SourceConfig};
use crate::answer::Interrupt;
use crate::catalog::InstanceMode;
use crate::engine::{Archive, Control, Session, SessionError, Stop};
use crate::findings::configured::Configuration;
use crate::findings::{self, Analysis};
use crate::ingest::{self, IngestError};
use crate::lake::Lake;
use crate::options::{ExportsError, ScopeError, SourceOptions, Window, cache_folder, cached_tags};
use crate::source::{Environment, Source};
use crate::time::{TimeRange, Timestamp};

/// Archives and sessions of a run.
pub struct Scans<'a> {
    pub config: &'a Config,
    /// Instances of the run.
    pub chosen: &'a [&'a InstanceConfig],
    pub environment: &'a Environment,
    pub interrupt: &'a Interrupt,
    /// Time of the run.
    pub now: Timestamp,
    /// Whether nothing is written. Then a lake is not used, because it may lack the newest logs.
    pub is_dry: bool,
    /// Blobs that could not be copied into the lake of a source, with the reasons, by source.
    copied: HashMap<String, Vec<(String, String)>>,
    /// Sentences about lakes whose small files could not be joined, by source.
    pub not_compacted: HashMap<String, String>,
    /// Archives that are open, by source and window.
    archives: HashMap<(String, i64), Arc<Archive>>,
    /// Modes that earlier runs proved, by instance.
    proven: HashMap<String, InstanceMode>,
    /// Analyses that run in the background, because their flows were scanned together with those of another instance.
    started: HashMap<String, Started>,
    /// Limits the analyses that run at a time. Their work after the scan is planning, which keeps a core busy.
    permits: Arc<Semaphore>,
}

type Started = JoinHandle<Result<Scanned, SessionError>>;

/// An analysis, and the session that it was made in.
pub struct Scanned {
    pub session: Session,
    pub analysis: Analysis,
    /// Time that the analysis took, without the wait for its turn.
    pub took: Duration,
}

/// Why there is no session of an instance. The message holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A source cannot be opened or scanned.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The logs cannot be copied into the lake.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The scope cannot be applied.
    #[error(transparent)]
    Scope(#[from] Box<ScopeError>),
    /// The window holds no time.
    #[error("the window ends before it begins")]
    Window,
}

/// Lists the source of one instance, for other uses than a run. Reads no flows, and copies nothing into the lake of a source
/// that has one: the session is over what runs have copied.
pub async fn open_instance(
    config: &Config,
    instance: &InstanceConfig,
    environment: &Environment,
    interrupt: &Interrupt,
    now: Timestamp,
) -> Result<Session, ScanError> {
    let mut scans = Scans::new(config, &[], environment, interrupt, now, true, HashMap::new());
    let source = &config.source[&instance.source];
    let archive = match &source.lake {
        Some(lake) => Arc::new(scans.over_lake(source, lake.expose(), scans.window(instance)?).await?),
        None => scans.archive(instance).await?,
    };
    scans.open(instance, &archive)
}

/// Returns the source and the window of an instance.
fn key(instance: &InstanceConfig) -> (String, i64) {
    (instance.source.clone(), instance.window.length)
}

impl<'a> Scans<'a> {
    /// Opens nothing yet.
    pub fn new(
        config: &'a Config,
        chosen: &'a [&'a InstanceConfig],
        environment: &'a Environment,
        interrupt: &'a Interrupt,
        now: Timestamp,
        is_dry: bool,
        proven: HashMap<String, InstanceMode>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from)));
        let (copied, not_compacted, archives, started) = Default::default();
        Self {
            config,
            chosen,
            environment,
            interrupt,
            now,
            is_dry,
            copied,
            not_compacted,
            archives,
            proven,
            started,
            permits,
        }
    }

    /// Analyses an instance. The first instance of a source and window scans for the others as well, whose analyses then
    /// run beside it. After a signal, reading stops and the analysis ends with what it has.
    pub async fn analyse(&mut self, instance: &InstanceConfig) -> Result<Scanned, ScanError> {
        let archive = self.archive(instance).await?;
        let started = match self.started.remove(&instance.name) {
            Some(started) => started,
            None => {
                let session = self.scan(instance, &archive).await?;
                self.start(instance, session)
            }
        };
        let analysed = self.interruptible(&archive.stop(), started).await;
        Ok(analysed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?)
    }

    /// Reads the exports of an instance, remote ones with the credentials of its source. `None` after a signal.
    pub async fn configuration(&self, instance: &InstanceConfig) -> Option<Result<Configuration, ExportsError>> {
        let access = self.config.source[&instance.source].options().access(self.environment.clone());
        // A window that is none has ended the scan before.
        let window = instance.window().at(self.now.0).unwrap_or_default();
        let exports = instance.exports();
        select! {
            biased;
            () = self.interrupt.any() => None,
            opened = exports.open(access, window) => Some(opened),
        }
    }

    /// Returns a session of an instance, and starts the analyses of those that were scanned together with it.
    async fn scan(&mut self, instance: &InstanceConfig, archive: &Arc<Archive>) -> Result<Session, ScanError> {
        let session = self.open(instance, archive)?;
        let is_alike = |other: &&&InstanceConfig| {
            other.name != instance.name && key(other) == key(instance) && !other.subnets.is_empty()
        };
        // What is wrong with another instance is told in its turn.
        let others: Vec<(&InstanceConfig, Session)> = (self.chosen.iter().filter(is_alike))
            .filter_map(|other| Some((*other, self.open(other, archive).ok()?)))
            .collect();
        if instance.subnets.is_empty() || others.is_empty() {
            return Ok(session);
        }
        let together: Vec<&Session> = [&session].into_iter().chain(others.iter().map(|(_, other)| other)).collect();
        self.interruptible(&archive.stop(), findings::scan_together(&together)).await?;
        for (other, session) in others {
            let started = self.start(other, session);
            self.started.insert(other.name.clone(), started);
        }
        Ok(session)
    }

    fn start(&self, instance: &InstanceConfig, mut session: Session) -> Started {
        let (gate, permits) = (instance.gate(), Arc::clone(&self.permits));
        tokio::spawn(async move {
            // The semaphore is never closed.
            let _permit = permits.acquire().await;
            let started = Instant::now();
            let analysis = findings::analyze(&mut session, &gate).await?;
            Ok(Scanned { session, analysis, took: started.elapsed() })
        })
    }

    fn open(&self, instance: &InstanceConfig, archive: &Arc<Archive>) -> Result<Session, ScanError> {
        let scope = instance.scope(self.config.service_tags.as_ref()).open().map_err(Box::new)?;
        let scope = scope.with_proven_mode(self.proven.get(&instance.name).copied());
        let mut session = Session::over(Arc::clone(archive), Arc::new(scope))?;
        if self.config.service_tags.is_none() {
            self.use_cached_tags(&mut session)?;
        }
        Ok(session)
    }

    /// Loads the service tags that the cache has for the clouds of the logs. What is wrong with the cache is logged, and
    /// the report says that tags are missing.
    fn use_cached_tags(&self, session: &mut Session) -> Result<(), ScanError> {
        let Some(folder) = cache_folder(|name| std::env::var_os(name)) else { return Ok(()) };
        match cached_tags(&folder, session.clouds()) {
            Ok(Some((_, tags))) => Ok(session.set_service_tags(Some(tags))?),
            Ok(None) => Ok(()),
            Err(why) => {
                warn!("cached service tags are not used: {why}");
                Ok(())
            }
        }
    }

    async fn interruptible<T>(&self, stop: &Stop, scan: impl Future<Output = T>) -> T {
        tokio::pin!(scan);
        select! {
            biased;
            ended = &mut scan => ended,
            () = self.interrupt.any() => {
                stop.ask();
                scan.await
            }
        }
    }

    /// Opens the archive of an instance, or returns the one that another instance opened.
    async fn archive(&mut self, instance: &InstanceConfig) -> Result<Arc<Archive>, ScanError> {
        if let Some(archive) = self.archives.get(&key(instance)) {
            return Ok(Arc::clone(archive));
        }
        let config = &self.config.source[&instance.source];
        let window = self.window(instance)?;
        let archive = match &config.lake {
            Some(lake) if !self.is_dry => {
                let unread = self.copy(&instance.source, lake.expose()).await?;
                let archive = self.over_lake(config, lake.expose(), window).await?;
                unread.iter().for_each(|(blob, why)| archive.note_not_copied(blob, why));
                archive
            }
            _ => {
                Archive::open(&self.sources(config)?, config.options().session(window, self.environment.clone()))
                    .await?
            }
        };
        let archive = Arc::new(archive);
        self.archives.insert(key(instance), Arc::clone(&archive));
        Ok(archive)
    }

    fn window(&self, instance: &InstanceConfig) -> Result<TimeRange, ScanError> {
        instance.window().at(self.now.0).map_err(|_| ScanError::Window)
    }

    /// Opens the newest version of the lake of a source.
    async fn over_lake(&self, config: &SourceConfig, lake: &str, window: TimeRange) -> Result<Archive, ScanError> {
        let sources = Source::matching(lake, self.environment).map_err(SessionError::from)?;
        // The prefix has chosen what is in the lake.
        let options = SourceOptions { prefix: String::new(), ..config.lake_options() };
        Ok(Archive::open(&sources, options.session(window, self.environment.clone())).await?)
    }

    fn sources(&self, config: &SourceConfig) -> Result<Vec<Source>, SessionError> {
        let mut sources = Vec::new();
        for address in &config.address {
            sources.extend(Source::matching(address.expose(), self.environment)?);
        }
        Ok(sources)
    }

    /// Copies the new logs of a source into its lake, unless this run did. Returns the blobs that could not be read.
    async fn copy(&mut self, name: &str, lake: &str) -> Result<Vec<(String, String)>, ScanError> {
        if let Some(unread) = self.copied.get(name) {
            return Ok(unread.clone());
        }
        let config = &self.config.source[name];
        let SourceOptions { prefix, macs, .. } = config.options();
        // The longest window of the source, so that one list serves all its instances.
        let of_source = self.config.instance.iter().filter(|instance| instance.source == name);
        let longest = of_source.map(|instance| instance.window.length).max().unwrap_or_default();
        let window = Window::Last(longest).at(self.now.0).map_err(|_| ScanError::Window)?;
        let access = config.options().access(self.environment.clone());
        let options = ingest::Options {
            window,
            prefix,
            macs,
            access,
            commit_every: ingest::Options::COMMIT_EVERY,
            reread: false,
            workers: None,
        };
        let lake =
            Lake::open(lake, config.lake_options().access(self.environment.clone())).map_err(SessionError::from)?;
        let (sources, control) = (self.sources(config)?, Control::default());
        let copying = ingest::ingest(&sources, &lake, &options, &control, |_| ());
        let summary = self.interruptible(&control.stop, copying).await?;
        self.copied.insert(name.to_owned(), summary.unread.clone());
        self.not_compacted.extend(summary.not_compacted.map(|sentence| (name.to_owned(), sentence)));
        Ok(summary.unread)
    }
}
