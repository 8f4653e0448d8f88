//! Microsoft's `ServiceTags_*.json`: the prefixes of each service tag.

mod age;
mod cache;
mod error;
mod json;
mod pages;
mod tag;
mod text;

pub use age::{DateOrigin, Published, TagAge, in_name as date_in_name};
pub use cache::{CachedFile, cached_files, file_name};
pub use error::ServiceTagsError;
pub use pages::TagList;
pub use tag::{TagPrefix, is_within};

use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tag::ServiceTag;

use crate::net::{IpSet, MapBounds, PrefixMap, SetId};

/// A loaded file. Names ignore case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct ServiceTags {
    /// Cloud named in the file, such as `Public`; `None` if the input has only tags.
    pub cloud: Option<String>,
    /// Change number of the file, if it has one.
    pub change_number: Option<u64>,
    /// Publication date; `None` if it is unknown.
    pub published: Option<Published>,
    /// Name of the file, if it comes from the cache because no file was given.
    pub cached_as: Option<String>,
    tags: Vec<ServiceTag>,
    /// Maps an address to its tags, most specific first.
    map: PrefixMap<u32>,
}

/// Serialised form without the map, which is rebuilt from the tags.
#[derive(Serialize, Deserialize)]
struct Written {
    cloud: Option<String>,
    change_number: Option<u64>,
    published: Option<Published>,
    cached_as: Option<String>,
    /// Services before the cloud, regions before the world.
    tags: Vec<ServiceTag>,
}

impl From<ServiceTags> for Written {
    fn from(ServiceTags { cloud, change_number, published, cached_as, tags, map: _ }: ServiceTags) -> Self {
        Self { cloud, change_number, published, cached_as, tags }
    }
}

impl TryFrom<Written> for ServiceTags {
    type Error = ServiceTagsError;

    fn try_from(written: Written) -> Result<Self, ServiceTagsError> {
        Self::of(written)
    }
}

/// Prefix of tag names that contain nearly every address, so that every other tag is more specific.
const LEAST_SPECIFIC: &str = "azurecloud";
/// In Microsoft's file, at most 5 tags contain one address, and all intervals have 300,000 values.
const BOUNDS: MapBounds = MapBounds { depth: 128, values: 8_000_000 };
const OVERLAP: ServiceTagsError = ServiceTagsError::Form(
    "the tags of the file overlap too much, so it is not a ServiceTags_*.json, in which at most 5 tags contain the same address",
);

impl ServiceTags {
    /// Reads a file of at most 64 MiB. Its date comes from its name, else from `given` (ms since 1970), else from its
    /// change number.
    pub fn open(path: &Path, given: Option<i64>) -> Result<Self, ServiceTagsError> {
        let tags = Self::from_json(&text::read(path)?)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let given = given.map(|time| Published { time, origin: DateOrigin::Given });
        let published = age::in_name(&name).or(given).or(tags.published);
        Ok(Self { published, ..tags })
    }

    /// Reads a file of the cache, as [`Self::open`] does.
    pub fn open_cached(path: &Path) -> Result<Self, ServiceTagsError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { cached_as: Some(name), ..Self::open(path, None)? })
    }

    /// Reads the content of a file: as downloaded, or as printed by Azure's REST API, az or PowerShell. Its date comes
    /// from its change number.
    pub fn from_json(json: &[u8]) -> Result<Self, ServiceTagsError> {
        let json::Content { cloud, change_number, mut tags, .. } = json::read(&text::json_text(json)?)?;
        // The map keeps this order among equal prefixes: services before AzureCloud, regions before all regions.
        tags.sort_by_cached_key(|tag| {
            let name = tag.name.to_ascii_lowercase();
            (name.starts_with(LEAST_SPECIFIC), !tag.is_part(), name)
        });
        let published =
            cloud.as_deref().zip(change_number).and_then(|(cloud, number)| age::by_change_number(cloud, number));
        Self::of(Written { cloud, change_number, published, cached_as: None, tags })
    }

    /// Builds the map. Fails if more tags than [`BOUNDS`] allows contain one address.
    fn of(Written { cloud, change_number, published, cached_as, tags }: Written) -> Result<Self, ServiceTagsError> {
        let entries = tags.iter().zip(0..).flat_map(|(tag, i)| tag.prefixes.iter().map(move |&prefix| (prefix, i)));
        let map = PrefixMap::bounded(entries, BOUNDS).ok_or(OVERLAP)?;
        Ok(Self { cloud, change_number, published, cached_as, tags, map })
    }

    /// Returns the age of the file at the end of the logs. Without a last flow, a file with a known date is fresh.
    pub fn age_at(&self, last_flow: Option<i64>) -> TagAge {
        self.published.map_or(TagAge::Undated, |published| published.age_at(last_flow))
    }

    /// Returns the number of tags.
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Returns whether the file has no tags.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Returns the addresses of a tag and its regions, or `None` if the file has neither.
    ///
    /// Names such as `AzureMonitor.Core` are not regions, but count as parts of their service too.
    pub fn prefixes(&self, name: &str) -> Option<IpSet> {
        let mut tags = self.tags.iter().filter(|tag| is_within(&tag.name, name)).peekable();
        tags.peek()?;
        Some(tags.flat_map(|tag| &tag.prefixes).copied().collect())
    }

    /// Returns whether the file has no entry with exactly this name. Then no address is known to be outside the tag;
    /// addresses of its regions are inside.
    pub fn lacks(&self, name: &str) -> bool {
        !self.tags.iter().any(|tag| tag.name.eq_ignore_ascii_case(name) && !tag.prefixes.is_empty())
    }

    /// Returns every tag that contains `ip`: services before AzureCloud, then the longer prefix, then a region before
    /// all regions.
    pub fn tags(&self, ip: IpAddr) -> Vec<&str> {
        self.named(self.map.get(ip))
    }

    /// Returns the id of the set of tags that contain the address at a position on the common number line.
    pub fn find(&self, number: u128) -> SetId {
        self.map.find_number(number)
    }

    /// Returns every distinct set, ordered by id, with tags in the order of [`Self::tags`].
    pub fn sets(&self) -> impl Iterator<Item = Vec<&str>> {
        self.map.sets().map(|set| self.named(set))
    }

    /// Returns the names of all tags.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(|tag| tag.name.as_str())
    }

    fn named(&self, set: &[u32]) -> Vec<&str> {
        let mut tags: Vec<&str> = Vec::with_capacity(set.len());
        for &i in set {
            let name = self.tags[i as usize].name.as_str();
            // A tag may list a prefix and a longer prefix inside it.
            if !tags.contains(&name) {
                tags.push(name);
            }
        }
        tags.sort_by_key(|name| {
            name.get(..LEAST_SPECIFIC.len()).is_some_and(|n| n.eq_ignore_ascii_case(LEAST_SPECIFIC))
        });
        tags
    }

    /// Returns the most specific tag of `ip`.
    pub fn tag(&self, ip: IpAddr) -> Option<&str> {
        self.tags(ip).first().copied()
    }

    /// Returns the tags of `ip` in the order of [`Self::tags`], each with its longest prefix that contains `ip`.
    pub fn matches(&self, ip: IpAddr) -> Vec<TagPrefix<'_>> {
        let longest = |name: &str| {
            let rows = self.tags.iter().filter(|tag| tag.name == name).flat_map(ServiceTag::rows);
            rows.filter(|row| row.prefix.contains(ip)).max_by_key(|row| row.prefix.bits())
        };
        self.tags(ip).into_iter().filter_map(longest).collect()
    }

    /// Returns every prefix of every tag as a row.
    pub fn rows(&self) -> impl Iterator<Item = TagPrefix<'_>> {
        self.tags.iter().flat_map(ServiceTag::rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(json: &str) -> ServiceTags {
        ServiceTags::from_json(json.as_bytes()).unwrap_or_else(|e| panic!("{e}: {json}"))
    }

    fn refused(json: &str) -> String {
        ServiceTags::from_json(json.as_bytes()).map(|tags| tags.len()).expect_err(json).to_string()
    }

    fn shown(tags: &ServiceTags, name: &str) -> Vec<String> {
        let set = tags.prefixes(name).unwrap_or_default();
        set.prefixes().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn regions_count_for_their_service() {
        let tags = load(
            r#"{"cloud": "Public", "changeNumber": 376, "values": [
                {"name": "Storage.WestEurope", "properties": {"region": "westeurope", "addressPrefixes": ["192.0.2.0/28"]}},
                {"name": "StorageSyncService", "properties": {"region": "", "addressPrefixes": ["192.0.2.64/28"]}},
                {"name": "Sql", "properties": {"region": "", "addressPrefixes": ["192.0.2.32/28", "2001:db8::/48"]}},
                {"name": "Sql.WestEurope", "properties": {"region": "westeurope", "addressPrefixes": ["192.0.2.32/28"]}},
                {"name": "EventHub", "properties": {"region": "", "addressPrefixes": []}}]}"#,
        );
        assert_eq!(shown(&tags, "STORAGE"), ["192.0.2.0/28"]);
        assert_eq!(shown(&tags, "sql"), ["192.0.2.32/28", "2001:db8::/48"]);
        assert_eq!(shown(&tags, "Storage.WestEurope"), ["192.0.2.0/28"]);
        assert_eq!(tags.prefixes("AzureMonitor"), None);
        let lacking = ["Storage", "EventHub", "AzureMonitor"];
        assert!(lacking.iter().all(|name| tags.lacks(name)) && !tags.lacks("SQL") && !tags.lacks("sql.westeurope"));
        let ip: IpAddr = "192.0.2.33".parse().expect("an address");
        assert_eq!(tags.tags(ip), ["Sql.WestEurope", "Sql"]);
        assert_eq!(tags.published.map(|p| p.origin), Some(DateOrigin::ChangeNumber));
    }

    #[test]
    fn every_form_means_the_same() {
        let names = |tags: &ServiceTags| tags.names().map(str::to_owned).collect::<Vec<_>>();
        for (change_number, read) in [
            (r#""changeNumber": 376,"#, Some(376)),
            (r#""changeNumber": "376","#, Some(376)),
            (r#""changeNumber": 376.0,"#, Some(376)),
            (r#""changeNumber": null,"#, None),
            (r#""changeNumber": "new","#, None),
            (r#""changeNumber": -1,"#, None),
            ("", None),
        ] {
            let tags = load(&format!(
                r#"{{{change_number} "cloud": "Public", "id": "/x", "name": "public", "nextLink": null, "values": [
                    {{"properties": {{"region": null, "addressPrefixes": ["192.0.2.0/28"]}}, "name": "Sql"}}]}}"#
            ));
            assert_eq!((tags.change_number, names(&tags)), (read, vec!["Sql".to_owned()]));
        }
        let tag = |prefixes: &str| format!(r#"{{"Name": "Sql", "Properties": {{"AddressPrefixes": {prefixes}}}}}"#);
        for prefixes in [
            r#"["192.0.2.0/28", "2001:db8::/48"]"#,
            r#""192.0.2.0/28 2001:db8::/48""#,
            r#"{"value": ["192.0.2.0/28", "2001:db8::/48"], "Count": 2}"#,
        ] {
            let tag = tag(prefixes);
            for text in [
                format!(r#"{{"Cloud": "Public", "Values": [{tag}]}}"#),
                format!(r#"{{"Cloud": "Public", "Values": {tag}}}"#),
                format!(r#"{{"Cloud": "Public", "Values": {{"value": [{tag}], "Count": 1}}}}"#),
                format!(r#"[{{"VALUES": [{tag}], "CLOUD": "Public"}}]"#),
                format!("[{tag}]"),
                tag.clone(),
            ] {
                let tags = load(&text);
                assert_eq!(shown(&tags, "Sql"), ["192.0.2.0/28", "2001:db8::/48"], "{text}");
                assert_eq!(tags.cloud.is_some(), text.to_lowercase().contains("cloud"), "{text}");
            }
        }
    }

    #[test]
    fn a_refusal_says_what_the_file_is() {
        let tag = |properties: &str| format!(r#"{{"values": [{{"name": "Sql", "properties": {properties}}}]}}"#);
        for (json, says) in [
            (
                tag(r#""Microsoft.Azure.Commands.Network.Models.PSServiceTagInformationProperties""#),
                "'Properties of Sql' as text",
            ),
            (tag(r#""@{Region=}""#), "ConvertTo-Json -Depth 10"),
            (
                tag(r#"{"AddressPrefixes": "System.Collections.Generic.List`1[System.String]"}"#),
                "'AddressPrefixes of Sql' as text",
            ),
            (r#"{"Values": "System.Object[]"}"#.to_owned(), "'Values' as text"),
            (
                r#"{"Values": ["Microsoft.Azure.Commands.Network.Models.PSServiceTagInformation"]}"#.to_owned(),
                "-Depth 10",
            ),
            (
                tag(r#"{"addressPrefixes": ["192.0.2.0/28", "192.0.2.1/28", "x"]}"#),
                "service tag 'Sql': '192.0.2.1/28' has host bits set",
            ),
            (
                tag(r#"{"addressPrefixes": ["192.0.2.0/28", "\u001b[2Jx"]}"#),
                "service tag 'Sql': '\u{fffd}[2Jx' is not a CIDR block",
            ),
            (tag(r#"{"addressPrefixes": [""]}"#), "'' is not a CIDR block"),
            (tag(r#"{"addressPrefixes": [true]}"#), "'true' is not a CIDR block"),
            (tag(r#"{"addressPrefixes": null}"#), "lists no addresses"),
            (tag(r#"{"securityRules": []}"#), "'Sql' has no addressPrefixes"),
            (tag("null"), "'Sql' has no addressPrefixes"),
            (tag("[]"), "not a ServiceTags_*.json"),
            (r#"{"values": []}"#.to_owned(), "lists no addresses"),
            ("[]".to_owned(), "lists no addresses"),
            (r#"{"cloud": "Public"}"#.to_owned(), "not a ServiceTags_*.json"),
            (r#"["Sql", "Storage"]"#.to_owned(), "not a ServiceTags_*.json"),
            ("[[1]]".to_owned(), "not a ServiceTags_*.json"),
            (r#"{"properties": {"addressPrefixes": ["192.0.2.0/28"]}}"#.to_owned(), "has no name"),
            (r#"{"records": [{"time": "2026-05-04T00:00:00Z"}]}"#.to_owned(), "looks like a flow log"),
            ("{\"flowRecords\": {}}\n{\"flowRecords\": {}}".to_owned(), "looks like a flow log"),
            (r#"{"error": {"code": "AuthorizationFailed"}}"#.to_owned(), "an error response from Azure"),
            (r#"[{"cloud": "Public", "values": []}, {"cloud": "China", "values": []}]"#.to_owned(), "two clouds"),
            ("{\"cloud\": \"Public\",\n \"values\": [".to_owned(), "the JSON ends too early at line 2, column 12"),
            ("{\"cloud\": \"Public\",\n \"values\" [".to_owned(), "the JSON is damaged at line 2, column 11"),
            (
                tag(r#"{"addressPrefixes": ["192.0.2.0/28"]}"#) + "\nBye",
                "followed by something else at line 2, column 1",
            ),
            ("[".repeat(1_000), "the JSON is damaged at line 1"),
        ] {
            let said = refused(&json);
            assert!(said.contains(says), "{json} says: {said}");
        }
        let long = refused(&tag(&format!(r#"{{"addressPrefixes": ["{}"]}}"#, "x".repeat(10_000))));
        assert!(long.len() < 200 && long.contains("xx…'"), "{long}");
    }

    #[test]
    fn a_list_that_would_grow_without_bound_is_refused() {
        let file = |tags: &dyn Fn(usize) -> String, count| {
            let tags: Vec<String> = (0..count).map(tags).collect();
            format!(r#"{{"values": [{}]}}"#, tags.join(","))
        };
        let same = |i| format!(r#"{{"name": "T{i}", "properties": {{"addressPrefixes": ["192.0.2.0/24"]}}}}"#);
        assert!(refused(&file(&same, 50_000)).contains("overlap too much"));
        assert_eq!(load(&file(&same, 100)).len(), 100);
        assert!(refused(&file(&same, 100_001)).contains("over 100,000 tags"));
        let many = vec![r#""192.0.2.0/32""#; 1_000_001].join(",");
        let many = |_| format!(r#"{{"name": "T", "properties": {{"addressPrefixes": [{many}]}}}}"#);
        assert!(refused(&file(&many, 1)).contains("1,000,000 prefixes"));
    }
}
