//! The scans of a run. Instances of one source and window share an archive, which is scanned once for all of them.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::select;
use tracing::warn;

use super::config::{Config, InstanceConfig};
use crate::answer::Interrupt;
use crate::engine::{Archive, Session, SessionError, Stop};
use crate::findings;
use crate::options::{ScopeError, cache_folder, cached_tags};
use crate::source::{Environment, Source};
use crate::time::Timestamp;

/// Archives and sessions of a run.
pub struct Scans<'a> {
    pub config: &'a Config,
    /// Instances of the run.
    pub chosen: &'a [&'a InstanceConfig],
    pub environment: &'a Environment,
    pub interrupt: &'a Interrupt,
    /// Time of the run.
    pub now: Timestamp,
    /// Archives that are open, by source and window.
    archives: HashMap<(String, i64), Arc<Archive>>,
    /// Sessions of instances whose flows were scanned together with those of another, by name.
    scanned: HashMap<String, Session>,
}

/// Why there is no session of an instance. The message holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A source cannot be opened or scanned.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The scope cannot be applied.
    #[error(transparent)]
    Scope(#[from] Box<ScopeError>),
    /// The window holds no time.
    #[error("the window ends before it begins")]
    Window,
}

/// Lists the source of one instance, for other uses than a run. Reads no flows.
pub async fn open_instance(
    config: &Config,
    instance: &InstanceConfig,
    environment: &Environment,
    interrupt: &Interrupt,
    now: Timestamp,
) -> Result<Session, ScanError> {
    let mut scans = Scans::new(config, &[], environment, interrupt, now);
    let archive = scans.archive(instance).await?;
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
    ) -> Self {
        Self { config, chosen, environment, interrupt, now, archives: HashMap::new(), scanned: HashMap::new() }
    }

    /// Returns the session of an instance. The first instance of a source and window scans for the others as well.
    pub async fn session(&mut self, instance: &InstanceConfig) -> Result<Session, ScanError> {
        if let Some(session) = self.scanned.remove(&instance.name) {
            return Ok(session);
        }
        let archive = self.archive(instance).await?;
        let stop = archive.stop();
        let session = self.open(instance, &archive)?;
        let is_alike = |other: &&&InstanceConfig| {
            other.name != instance.name && key(other) == key(instance) && !other.subnets.is_empty()
        };
        // What is wrong with another instance is told in its turn.
        let others: Vec<(String, Session)> = (self.chosen.iter().filter(is_alike))
            .filter_map(|other| Some((other.name.clone(), self.open(other, &archive).ok()?)))
            .collect();
        if !instance.subnets.is_empty() && !others.is_empty() {
            let together: Vec<&Session> = [&session].into_iter().chain(others.iter().map(|(_, other)| other)).collect();
            self.interruptible(&stop, findings::scan_together(&together)).await?;
            self.scanned.extend(others);
        }
        Ok(session)
    }

    fn open(&self, instance: &InstanceConfig, archive: &Arc<Archive>) -> Result<Session, ScanError> {
        let scope = instance.scope(self.config.service_tags.as_ref()).open().map_err(Box::new)?;
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

    /// Runs `scan` to its end. After a signal, reading stops and the scan ends with what it has.
    pub async fn interruptible<T>(&self, stop: &Stop, scan: impl Future<Output = T>) -> T {
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
        let window = instance.window().at(self.now.0).map_err(|_| ScanError::Window)?;
        let mut sources = Vec::new();
        for address in &config.address {
            sources.extend(Source::matching(address.expose(), self.environment).map_err(SessionError::from)?);
        }
        let options = config.options().session(window, self.environment.clone());
        let archive = Arc::new(Archive::open(&sources, options).await.map_err(SessionError::from)?);
        self.archives.insert(key(instance), Arc::clone(&archive));
        Ok(archive)
    }
}
