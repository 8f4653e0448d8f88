//! An archive: sources that are listed once and cut into scan units, which any number of queries can scan.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::physical_plan::ExecutionPlan;
use object_store::ObjectStore;
use tracing::{debug, info};
use url::Url;

use super::error::SessionError;
use super::fragment::cut::spread;
use super::fragment::{Functions, Spreading, Workers, spread};
use super::scan::ScanContext;
use super::scan::control::{Control, Progress, Stop};
use super::scan::look::{Look, Round};
use super::scan::opener::receipts_of;
use super::scan::receipt::{ArchiveReceipts, InputSummary, Receipt, digest};
use super::scan::table::{FlowTable, Origin, StoreUnits};
use super::scan::unit::UnitPlanner;
use super::scope::Scope;
use super::tables::lake;
use super::tables::lake::LakeFlows;
use crate::decode::{Options, TimeRange};
use crate::lake::{LakeError, is_table};
use crate::schema::Text;
use crate::source::read::ranges::REMOTE_CHUNK;
use crate::source::{
    Access, Blob, DisplayPath, Others, Selection, Skipped, SkippedContainers, Source, SourceError, StoreKey, Stores,
    cloud_of_path, list,
};

/// Options for opening an archive.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Time range of the flows to read.
    pub window: TimeRange,
    /// Prefix of the blob names to read, relative to the source.
    pub prefix: String,
    /// Interfaces whose flows are read, as MAC addresses of twelve upper-case digits; empty for all. The blob path
    /// names the interface, or else each record does.
    pub macs: Vec<String>,
    /// Credentials, retry policy and concurrency of remote stores.
    pub access: Access,
    /// Encoding of the text columns of `flows`.
    pub text: Text,
    /// Number of units decoded in parallel; the archive uses at least 1.
    pub partitions: usize,
    /// Whether filters are pushed down to the decoder. Off only for comparisons with the filters of the engine.
    pub pushdown: bool,
    /// Whether user queries process addresses as numbers where that is faster. Off only for comparisons of the rows.
    pub late_text: bool,
    /// Other processes that run what can run apart of each plan; `None` to run all of it here.
    pub workers: Option<Arc<dyn Workers>>,
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
            workers: None,
        }
    }
}

/// Counts of requests and blobs of remote stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Storage {
    /// Requests for a page of a list.
    pub list_calls: u64,
    /// Blobs in the lists.
    pub blobs_listed: u64,
    /// Blobs listed but not selected: they have another name, interface or time.
    pub blobs_skipped: u64,
    /// Blobs selected for reading.
    pub blobs_read: u64,
    /// Requests in total, including lists, tokens and retries.
    pub requests: u64,
    /// Requests that were retries.
    pub retries: u64,
    /// Bytes of the responses, including lists.
    pub bytes: u64,
}

/// What one scan of an archive reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Number of blobs.
    pub blobs: u64,
    /// Stored bytes.
    pub bytes: u64,
    /// Estimated requests to remote stores, besides those for lists.
    pub requests: u64,
}

/// Result of listing one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Name of the source, as shown.
    pub shown: String,
    /// Whether the source is on this machine.
    pub is_local: bool,
    /// Whether the source was found in an account that was named without a container.
    pub from_account: bool,
    /// Number of files and blobs in the source.
    pub listed: u64,
    /// Number of blobs selected for reading.
    pub taken: u64,
    /// First and last hour in the paths of its listed flow logs, in ms since 1970. Includes hours outside the window.
    pub hours: Option<(i64, i64)>,
    /// Files that are not read because of their names.
    pub others: Others,
}

/// Sources that were listed once, and the scan units of their blobs.
pub struct Archive {
    pub(super) registry: Arc<Registry>,
    /// Sources, kept because a source may own the temporary file of a pipe.
    _sources: Vec<Source>,
    listed: Vec<Listed>,
    /// Containers of a named account that were skipped.
    left_out: Vec<Skipped>,
    window: TimeRange,
    macs: Vec<String>,
    scans: ScanContext,
    receipts: ArchiveReceipts,
    /// Other processes that run parts of plans.
    workers: Option<Arc<dyn Workers>>,
    clouds: BTreeSet<&'static str>,
    /// Stored bytes of all blobs.
    size: u64,
    pub(super) stores: Arc<StoreUnits>,
    /// The lake, if the source is one. Then there are no scan units.
    pub(super) lake: Option<Arc<LakeFlows>>,
    text: Text,
    pub(super) partitions: usize,
    pub(super) late_text: bool,
}

impl Archive {
    /// Lists the sources. Reads no flows yet.
    ///
    /// Returns an error if a source cannot be opened or holds no blob. Containers of a named account may be missing,
    /// empty or unreadable, as long as one of them gives blobs.
    pub async fn open(sources: &[Source], options: SessionOptions) -> Result<Self, SessionError> {
        let registry = Arc::new(Registry(Stores::new(options.access.clone())));
        if let Some(lake) = registry.lake(sources, Source::is_local).await? {
            return Self::open_lake(sources, lake, registry, options).await;
        }
        match Self::open_blobs(sources, Arc::clone(&registry), options.clone()).await {
            // Only now, so that a source of blobs costs no request more.
            Err(error @ (SourceError::Empty { .. } | SourceError::NotChosen { .. })) => {
                match registry.lake(sources, |source| !source.is_local()).await? {
                    Some(lake) => Self::open_lake(sources, lake, registry, options).await,
                    None => Err(error.into()),
                }
            }
            opened => Ok(opened?),
        }
    }

    /// Opens one version of a lake, which must be the only source.
    async fn open_lake(
        sources: &[Source],
        source: &Source,
        registry: Arc<Registry>,
        options: SessionOptions,
    ) -> Result<Self, SessionError> {
        let shown = source.shown.clone();
        if sources.len() > 1 {
            return Err(LakeError::NotAlone { shown }.into());
        }
        let store = &registry.0.open(source)?.objects;
        if !options.prefix.is_empty() {
            return Err(LakeError::Prefix { shown }.into());
        }
        let (scans, least) = (scan_context(&options), least_partitions(&options));
        let lake = LakeFlows::open(source, store, options.window, &options.macs, scans.clone()).await?;
        let entries = &lake.entries;
        if entries.total == 0 {
            return Err(SourceError::Empty { shown, instead: String::new() }.into());
        }
        if !entries.is_chosen {
            return Err(SourceError::NotChosen { shown }.into());
        }
        info!(source = %shown, blobs = entries.total, selected = entries.selected.len(), "opened the lake");
        let listed = Listed {
            shown,
            is_local: source.is_local(),
            from_account: false,
            listed: entries.total,
            taken: entries.selected.len() as u64,
            hours: entries.hours,
            others: Others::default(),
        };
        Ok(Self {
            registry,
            _sources: vec![source.clone()],
            listed: vec![listed],
            left_out: Vec::new(),
            window: options.window,
            macs: options.macs,
            scans,
            receipts: ArchiveReceipts::default(),
            workers: options.workers,
            clouds: entries.clouds.clone(),
            size: entries.size(),
            stores: Arc::default(),
            lake: Some(Arc::new(lake)),
            text: options.text,
            partitions: options.partitions.max(least),
            late_text: options.late_text,
        })
    }

    async fn open_blobs(
        sources: &[Source],
        registry: Arc<Registry>,
        options: SessionOptions,
    ) -> Result<Self, SourceError> {
        let (scans, least) = (scan_context(&options), least_partitions(&options));
        let receipts = ArchiveReceipts::default();
        let selection = Selection {
            from: options.window.from,
            to: options.window.to,
            prefix: options.prefix,
            macs: options.macs.clone(),
        };
        let mut stores = StoreUnits::new();
        let mut sharing: HashMap<&StoreKey, HashSet<[u8; 16]>> = HashMap::new();
        let mut clouds = BTreeSet::new();
        let (mut listed, mut skipped) = (Vec::<Listed>::new(), SkippedContainers::default());
        let mut size = 0;
        let mut sources_of: HashMap<&StoreKey, usize> = HashMap::new();
        sources.iter().for_each(|source| *sources_of.entry(&source.store).or_default() += 1);
        for source in sources {
            let opened = registry.0.open(source)?;
            let is_shared = sources_of.get(&source.store).is_some_and(|count| *count > 1);
            let mut known = is_shared.then(|| sharing.entry(&source.store).or_default());
            let mut is_new =
                |blob: &Blob| known.as_mut().is_none_or(|known| known.insert(digest(blob.identity(source.is_local()))));
            let mut planner = UnitPlanner::new(source.is_local());
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
                    skipped.record(source, error)?;
                    continue;
                }
            };
            clouds.extend(source.cloud());
            for (location, why) in &listing.unlisted {
                receipts.add(Receipt::not_listed(listing.shown.name(location), why));
            }
            for members in std::mem::take(&mut listing.archives).into_iter().filter(|found| is_new(&found.archive)) {
                size += members.stored_size();
                clouds.extend(members.iter().filter_map(|member| cloud_of_path(&member.blob.location)));
                planner.take_members(members);
            }
            for (location, why) in &listing.unread {
                receipts.add(Receipt::not_read(listing.shown.name(location), 0, format!("not read: {why}")));
            }
            for (location, at, why) in &listing.cuts {
                receipts.add(Receipt::not_read(listing.shown.name(location), *at, why.clone()));
            }
            info!(source = %source.shown, listed = listing.listed, to_read = listing.taken, "listed");
            listed.push(Listed {
                shown: source.shown.clone(),
                is_local: source.is_local(),
                from_account: source.account.is_some(),
                listed: listing.listed,
                taken: listing.taken,
                hours: listing.hours,
                others: listing.others,
            });
            let units = planner.units(&*opened.objects, &listing.shown).await;
            debug!(source = %source.shown, units = units.len(), "planned scan units");
            match stores.iter_mut().find(|(key, _)| *key == source.store) {
                Some((_, known)) => known.extend(units),
                None => stores.push((source.store.clone(), units)),
            }
        }
        let found = listed.iter().filter(|listed| listed.from_account).map(|listed| listed.shown.as_str());
        let left_out = skipped.finish(found)?;
        for lost in left_out.iter().filter(|left_out| left_out.is_unreadable) {
            receipts.add(Receipt::not_listed(lost.shown.clone(), &lost.why));
        }
        Ok(Self {
            registry,
            _sources: sources.to_vec(),
            listed,
            left_out,
            window: options.window,
            macs: options.macs,
            scans,
            receipts,
            workers: options.workers,
            clouds,
            size,
            stores: Arc::new(stores),
            lake: None,
            text: options.text,
            partitions: options.partitions.max(least),
            late_text: options.late_text,
        })
    }

    /// Returns the table of its flows, with the text encoding of the options.
    pub(super) fn flows(&self) -> FlowTable {
        self.flows_as(self.text)
    }

    pub(super) fn flows_as(&self, text: Text) -> FlowTable {
        let decode = Options { window: self.window, macs: self.macs.clone(), text, ..Options::default() };
        let origin = match &self.lake {
            Some(lake) => Origin::Lake(Arc::clone(lake)),
            None => Origin::Units(Arc::clone(&self.stores)),
        };
        FlowTable::new(origin, decode, self.scans.clone())
    }

    /// Returns the table of the flows of a look, for queries of the analysis.
    pub(super) fn looked_flows(&self, round: Round) -> FlowTable {
        let decode = Options { window: self.window, ..Options::default() };
        let units = round.into_units();
        let origin = match &self.lake {
            Some(lake) => {
                let blobs = units.iter().flat_map(|(_, units)| units).flat_map(|unit| unit.blobs());
                Origin::Looked(Arc::clone(lake), Arc::new(blobs.map(|blob| blob.location).collect()))
            }
            None => Origin::Units(Arc::new(units)),
        };
        FlowTable::new(origin, decode, self.scans.clone())
    }

    /// Returns a look at parts of the archive. Returns `None` if the archive is small, or paths do not name the
    /// interface of each blob.
    pub fn look(&self) -> Option<Look> {
        match &self.lake {
            Some(lake) => {
                let shown = DisplayPath::default();
                let blobs = lake.entries.blobs().map(|blob| (lake.store(), &shown, blob));
                Look::over(blobs, self.size, self.partitions)
            }
            None => Look::new(&self.stores, self.size, self.partitions),
        }
    }

    /// Returns the time range of the flows to read.
    pub fn window(&self) -> TimeRange {
        self.window
    }

    /// Returns the clouds named by source addresses and blob paths, with the names that service-tag files use.
    pub fn clouds(&self) -> &BTreeSet<&'static str> {
        &self.clouds
    }

    /// Returns the stored bytes that one scan of everything reads.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns what one scan of everything reads.
    pub fn reading(&self) -> Reading {
        let mut reading = Reading { blobs: 0, bytes: self.size, requests: 0 };
        for (store, units) in self.stores.iter() {
            for blob in units.iter().flat_map(|unit| unit.blobs()) {
                reading.blobs += 1;
                reading.requests += if store.is_local() { 0 } else { blob.size.div_ceil(REMOTE_CHUNK).max(1) };
            }
        }
        reading
    }

    /// Returns the locations of its blobs.
    pub fn locations(&self) -> impl Iterator<Item = String> {
        let of_units = self.stores.iter().flat_map(|(_, units)| units).flat_map(|unit| unit.blobs());
        of_units.chain(self.lake.iter().flat_map(|lake| lake.entries.blobs())).map(|blob| blob.location)
    }

    /// Returns a hash of what is read: the window, and the location, size and version of each blob, or the state of the
    /// lake.
    pub fn digest(&self) -> [u8; 16] {
        let mut text = format!("{:?}{:?}", self.window, self.lake.as_ref().map(|lake| lake.state));
        for unit in self.stores.iter().flat_map(|(_, units)| units) {
            for Blob { location, size, e_tag } in unit.blobs() {
                text.push_str(&format!("\n{location}\t{size}\t{}", e_tag.unwrap_or_default()));
            }
            if text.len() > 1 << 20 {
                text = format!("{:x?}", digest(&text));
            }
        }
        digest(&text)
    }

    /// Returns the first and the last hour in the paths of the listed flow logs, in ms since 1970. Hours outside the
    /// window count as far as they were listed.
    pub fn hours(&self) -> Option<(i64, i64)> {
        let hours = || self.listed.iter().filter_map(|listed| listed.hours);
        hours().map(|(first, _)| first).min().zip(hours().map(|(_, last)| last).max())
    }

    /// Returns the listing of each source.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// Returns the files of all sources that are not read because of their names.
    pub fn others(&self) -> Others {
        let mut others = Others::default();
        self.listed.iter().for_each(|listed| others.merge(&listed.others));
        others
    }

    /// Returns the skipped containers of named accounts: containers for flow logs that are missing, empty or not
    /// readable.
    pub fn skipped(&self) -> &[Skipped] {
        &self.left_out
    }

    /// Returns the counts of requests to remote stores so far. Returns `None` if all sources are local.
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

    /// Returns the time of the remote store minus that of this machine, in ms; `None` if it is not known.
    pub fn clock_ahead(&self) -> Option<i64> {
        self.registry.0.traffic().clock_ahead
    }

    /// Returns the accounts with the credential used for each, in words for users.
    pub fn credentials(&self) -> Vec<(String, String)> {
        self.registry.0.credentials()
    }

    /// Returns the signal that stops the archive's scans.
    pub fn stop(&self) -> Stop {
        self.scans.control.stop.clone()
    }

    /// Returns the counter of the bytes that the scans have read.
    pub fn progress(&self) -> Progress {
        self.scans.control.progress.clone()
    }

    /// Returns the plan that runs on the workers, if there are any. `scope` and `functions` are those of the plan's session.
    pub(super) fn spread(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        scope: &Arc<Scope>,
        functions: Functions,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let Some(workers) = self.workers.clone() else { return Ok(plan) };
        let scope = Arc::clone(scope);
        spread(plan, &Arc::new(Spreading { workers, scope, functions, control: self.scans.control.clone() }))
    }

    /// Counts what `plan` will read. To be called before a plan over the archive's tables is run.
    pub(super) fn follow(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<(), DataFusionError> {
        let of_scans = receipts_of(plan)?.into_iter().chain(lake::receipts_of(plan)?);
        self.receipts.follow(of_scans.chain(spread::receipts_of(plan)?));
        Ok(())
    }

    /// Counts a blob that could not be copied into the lake as one that could not be read.
    pub fn note_not_copied(&self, blob: &str, why: &str) {
        self.receipts.add(Receipt::not_read(blob.to_owned(), 0, format!("not copied into the lake: {why}")));
    }

    /// Returns the summary of the input read so far, by all plans over the archive's tables.
    pub fn input(&self) -> InputSummary {
        self.receipts.summary()
    }
}

/// Returns the minimum number of partitions. With one, plans have no partial results that others could make.
fn least_partitions(options: &SessionOptions) -> usize {
    if options.workers.is_some() { 2 } else { 1 }
}

fn scan_context(options: &SessionOptions) -> ScanContext {
    let concurrency = options.access.concurrency;
    ScanContext { concurrency, pushdown: options.pushdown, control: Control::default() }
}

/// Object store registry keyed by account and container. DataFusion's default registry ignores the container.
pub struct Registry(Stores);

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

impl Registry {
    /// Creates a registry of stores.
    pub fn new(stores: Stores) -> Self {
        Self(stores)
    }

    /// Returns the first of the chosen sources that is a lake.
    async fn lake<'a>(
        &self,
        sources: &'a [Source],
        is_chosen: impl Fn(&Source) -> bool,
    ) -> Result<Option<&'a Source>, SourceError> {
        for source in sources.iter().filter(|source| is_chosen(source)) {
            if is_table(source, &*self.0.open(source)?.objects).await {
                return Ok(Some(source));
            }
        }
        Ok(None)
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
