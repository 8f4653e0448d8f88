//! What the sources hold: listed once, cut into scan units, ready to be scanned by any number of queries.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use tracing::{debug, info};
use url::Url;

use super::scan::ScanContext;
use super::scan::control::{Control, Progress, Stop};
use super::scan::look::{Look, Round};
use super::scan::receipt::{InputSummary, Receipt, ScanLog, digest};
use super::scan::table::{FlowTable, StoreUnits};
use super::scan::unit::Planner;
use crate::decode::{Options, TimeRange};
use crate::schema::Text;
use crate::source::{
    Access, Blob, BlobPath, Missed, Others, Passed, Selection, Source, SourceError, StoreKey, Stores, cloud_of_path,
    list,
};

#[derive(Debug, Clone)]
pub struct SessionOptions {
    pub window: TimeRange,
    /// What names of blobs start with, below their source.
    pub prefix: String,
    /// Interfaces whose flows are read, by the path of a blob or else by its records; none for all. Each is twelve
    /// upper-case digits.
    pub macs: Vec<String>,
    pub access: Access,
    pub text: Text,
    /// How many units are decoded at a time.
    pub partitions: usize,
    /// Whether conditions reach the decoder. Off only to compare with what the engine makes of them.
    pub pushdown: bool,
    /// Whether people's queries have addresses as numbers where that is faster. Off only to compare the rows.
    pub late_text: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        let partitions = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            window: TimeRange::default(),
            prefix: String::new(),
            macs: Vec::new(),
            access: Access::default(),
            text: Text::View,
            partitions,
            pushdown: true,
            late_text: true,
        }
    }
}

/// What was asked of remote stores, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Storage {
    pub list_calls: u64,
    pub blobs_listed: u64,
    /// Listed, and not to be read: of another name, interface or time.
    pub blobs_skipped: u64,
    pub blobs_read: u64,
    /// All, lists and tokens included, and those made again.
    pub requests: u64,
    pub retries: u64,
    /// Of the answers, lists included.
    pub bytes: u64,
}

/// What was listed of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub shown: String,
    pub is_local: bool,
    /// Whether it stands for an account that was named without a container.
    pub is_found: bool,
    /// Whatever is there, and what of it is to be read.
    pub listed: u64,
    pub taken: u64,
    /// What of it is not, for its name.
    pub others: Others,
}

pub struct Archive {
    pub(super) registry: Arc<Registry>,
    /// They hold what came through a pipe.
    _sources: Vec<Source>,
    listed: Vec<Listed>,
    /// Containers of an account that give nothing.
    passed: Vec<Passed>,
    window: TimeRange,
    macs: Vec<String>,
    scans: ScanContext,
    clouds: BTreeSet<&'static str>,
    /// Bytes of all blobs, as they are stored.
    size: u64,
    pub(super) stores: Arc<StoreUnits>,
    text: Text,
    pub(super) partitions: usize,
    pub(super) late_text: bool,
}

impl Archive {
    /// Lists the sources; a source that cannot be opened, or holds no blob, is an error. Reads no flows yet.
    pub async fn open(sources: &[Source], options: SessionOptions) -> Result<Self, SourceError> {
        let concurrency = options.access.concurrency;
        let registry = Arc::new(Registry(Stores::new(options.access)));
        let log = Arc::new(ScanLog::default());
        let selection = Selection {
            from: options.window.from,
            to: options.window.to,
            prefix: options.prefix,
            macs: options.macs.clone(),
        };
        let mut stores = StoreUnits::new();
        let mut sharing: HashMap<&StoreKey, HashSet<[u8; 16]>> = HashMap::new();
        let mut clouds = BTreeSet::new();
        let (mut listed, mut missed) = (Vec::<Listed>::new(), Missed::default());
        let mut size = 0;
        let mut sources_of: HashMap<&StoreKey, usize> = HashMap::new();
        sources.iter().for_each(|source| *sources_of.entry(&source.store).or_default() += 1);
        for source in sources {
            let opened = registry.0.open(source)?;
            let is_shared = sources_of.get(&source.store).is_some_and(|count| *count > 1);
            let mut known = is_shared.then(|| sharing.entry(&source.store).or_default());
            let mut is_new =
                |blob: &Blob| known.as_mut().is_none_or(|known| known.insert(digest(blob.identity(source.is_local()))));
            let mut planner = Planner::new(source.is_local());
            let take = |blob: Blob| {
                if is_new(&blob) {
                    size += blob.size;
                    clouds.extend(cloud_of_path(&blob.location));
                    planner.take(&blob);
                }
            };
            let mut listing = match list(&opened, source, &selection, take).await {
                Ok(listing) => listing,
                Err(error) => {
                    missed.keep(source, error)?;
                    continue;
                }
            };
            clouds.extend(source.cloud());
            for (location, why) in &listing.unlisted {
                log.add(Receipt::not_listed(listing.shown.name(location), why));
            }
            for members in std::mem::take(&mut listing.archives).into_iter().filter(|found| is_new(&found.archive)) {
                size += members.stored_size();
                clouds.extend(members.iter().filter_map(|member| cloud_of_path(&member.blob.location)));
                planner.take_members(members);
            }
            for (location, why) in &listing.unread {
                log.add(Receipt::not_read(listing.shown.name(location), 0, format!("not read: {why}")));
            }
            for (location, at, why) in &listing.cuts {
                log.add(Receipt::not_read(listing.shown.name(location), *at, why.clone()));
            }
            info!(source = %source.shown, listed = listing.listed, to_read = listing.taken, "listed");
            listed.push(Listed {
                shown: source.shown.clone(),
                is_local: source.is_local(),
                is_found: source.account.is_some(),
                listed: listing.listed,
                taken: listing.taken,
                others: listing.others,
            });
            let units = planner.units(&*opened.objects, &listing.shown).await;
            debug!(source = %source.shown, units = units.len(), "planned scan units");
            match stores.iter_mut().find(|(key, _)| *key == source.store) {
                Some((_, known)) => known.extend(units),
                None => stores.push((source.store.clone(), units)),
            }
        }
        let found = listed.iter().filter(|listed| listed.is_found).map(|listed| listed.shown.as_str());
        let passed = missed.settle(found)?;
        for lost in passed.iter().filter(|passed| passed.is_lost) {
            log.add(Receipt::not_listed(lost.shown.clone(), &lost.why));
        }
        Ok(Self {
            registry,
            _sources: sources.to_vec(),
            listed,
            passed,
            window: options.window,
            macs: options.macs,
            scans: ScanContext { concurrency, pushdown: options.pushdown, log, control: Control::default() },
            clouds,
            size,
            stores: Arc::new(stores),
            text: options.text,
            partitions: options.partitions.max(1),
            late_text: options.late_text,
        })
    }

    /// Its flows, for people.
    pub(super) fn flows(&self) -> FlowTable {
        self.flows_as(self.text)
    }

    pub(super) fn flows_as(&self, text: Text) -> FlowTable {
        let decode = Options { window: self.window, macs: self.macs.clone(), text, ..Options::default() };
        FlowTable::new(Arc::clone(&self.stores), decode, self.scans.clone())
    }

    /// The flows of a look, for queries of ours.
    pub(super) fn looked_flows(&self, round: Round) -> FlowTable {
        let decode = Options { window: self.window, ..Options::default() };
        FlowTable::new(Arc::new(round.into_units()), decode, self.scans.clone())
    }

    /// A look at parts of it; `None` where it is small, or paths do not name the interface of each blob.
    pub fn look(&self) -> Option<Look> {
        Look::new(&self.stores, self.size, self.partitions)
    }

    pub fn window(&self) -> TimeRange {
        self.window
    }

    /// The clouds that addresses and paths tell of, as service-tag files name them.
    pub fn clouds(&self) -> &BTreeSet<&'static str> {
        &self.clouds
    }

    /// Bytes that one scan of everything reads.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where its blobs lie.
    pub fn locations(&self) -> impl Iterator<Item = String> {
        self.stores.iter().flat_map(|(_, units)| units.iter().flat_map(|unit| unit.blobs().map(|blob| blob.location)))
    }

    /// The first and the last hour that the paths of its blobs name, ms since 1970.
    pub fn hours(&self) -> Option<(i64, i64)> {
        let hours = || self.locations().filter_map(|location| BlobPath::parse(&location).map(|path| path.hour));
        hours().min().zip(hours().max())
    }

    /// What was listed, source by source.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// The files that are not read for their names, of all sources.
    pub fn others(&self) -> Others {
        let mut others = Others::default();
        self.listed.iter().for_each(|listed| others.merge(&listed.others));
        others
    }

    /// Containers that flow logs are written to and that a named account does not have, or does not give.
    pub fn passed(&self) -> &[Passed] {
        &self.passed
    }

    /// What was asked of remote stores so far. `None` where none is.
    pub fn storage(&self) -> Option<Storage> {
        let remote = || self.listed.iter().filter(|listed| !listed.is_local);
        let traffic = self.registry.0.traffic();
        let listed = remote().map(|listed| listed.listed).sum();
        let taken = remote().map(|listed| listed.taken).sum();
        remote().next()?;
        Some(Storage {
            list_calls: traffic.lists,
            blobs_listed: listed,
            blobs_skipped: listed - taken,
            blobs_read: taken,
            requests: traffic.requests,
            retries: traffic.retries,
            bytes: traffic.bytes,
        })
    }

    /// Which credential serves each account, for people.
    pub fn credentials(&self) -> Vec<(String, String)> {
        self.registry.0.credentials()
    }

    /// Ends the scans of the archive from elsewhere.
    pub fn stop(&self) -> Stop {
        self.scans.control.stop.clone()
    }

    /// Follows how many bytes the scans have read.
    pub fn progress(&self) -> Progress {
        self.scans.control.progress.clone()
    }

    /// What has been read so far.
    pub fn input(&self) -> InputSummary {
        self.scans.log.summary()
    }
}

/// Stores by account and container: the default registry forgets the container.
pub struct Registry(Stores);

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

impl ObjectStoreRegistry for Registry {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.0.put(&StoreKey::of(url), store)
    }

    fn get_store(&self, url: &Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        self.0.get(&StoreKey::of(url)).map_err(|error| DataFusionError::External(Box::new(error)))
    }
}
