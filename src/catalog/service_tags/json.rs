//! Reads the JSON of a service-tag file in every form that Microsoft's tools give it.
//!
//! Keys ignore case. A list may be wrapped in an object (`value`), or be its only element, because PowerShell does
//! both. Other values are skipped, so memory depends only on the number of tags and prefixes.

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::error::ServiceTagsError;
use super::tag::ServiceTag;
use crate::catalog::text_file::quoted;
use crate::net::{Prefix, PrefixError};

/// Maximum number of tags. Microsoft's file has 3,000.
const MOST_TAGS: usize = 100_000;
/// Maximum number of prefixes. Microsoft's file has 96,000.
const MOST_PREFIXES: usize = 1_000_000;

const NO_TAGS: ServiceTagsError = ServiceTagsError::Form(
    "this JSON is not a ServiceTags_*.json: it has no list 'values' of tags with addressPrefixes",
);
const NO_NAME: ServiceTagsError = ServiceTagsError::Form("a list of addresses has no name: it is not a service tag");
const FLOW_LOG: ServiceTagsError =
    ServiceTagsError::Form("this looks like a flow log, not a service-tag file: give it as a source");
const ERROR_ANSWER: ServiceTagsError = ServiceTagsError::Form(
    "this is an error response from Azure, not its list of service tags: download the list again",
);
const NO_ADDRESSES: ServiceTagsError = ServiceTagsError::Form("the file lists no addresses: download it again");
const TWO_CLOUDS: ServiceTagsError =
    ServiceTagsError::Form("the file lists tags of two clouds: keep only the tags of the logs' cloud");
const TOO_MANY: ServiceTagsError = ServiceTagsError::Form(
    "the file has over 100,000 tags or 1,000,000 prefixes, so it is not a ServiceTags_*.json, which has about a tenth of that",
);

/// Content of a file, in no particular order.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub cloud: Option<String>,
    pub change_number: Option<u64>,
    pub tags: Vec<ServiceTag>,
    /// Prefixes read so far.
    prefixes: usize,
    /// Set if reading stops for a reason other than invalid JSON.
    refusal: Option<ServiceTagsError>,
}

/// Reads `text`, which begins with a JSON list or object.
pub(super) fn read(text: &str) -> Result<Content, ServiceTagsError> {
    let mut content = Content::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let root = Any(Entry(&mut content)).deserialize(&mut json);
    if let Some(refusal) = content.refusal.take() {
        return Err(refusal);
    }
    let damaged = |what, e: &serde_json::Error| ServiceTagsError::Damaged { what, line: e.line(), column: e.column() };
    root.map_err(|e| damaged(if e.is_eof() { "the JSON ends too early" } else { "the JSON is damaged" }, &e))?;
    json.end().map_err(|e| damaged("the JSON is followed by something else", &e))?;
    if content.prefixes == 0 { Err(NO_ADDRESSES) } else { Ok(content) }
}

impl Content {
    fn refuse<E: de::Error>(&mut self, refusal: ServiceTagsError) -> E {
        self.refusal = Some(refusal);
        E::custom("refused")
    }
}

/// A reader for a JSON value of any type.
trait Shape<'de>: Sized {
    type Value;

    fn null(self) -> Self::Value;
    /// Numbers are read as text.
    fn text<E: de::Error>(self, text: &str) -> Result<Self::Value, E>;
    fn list<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error>;
    fn object<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error>;
}

struct Any<S>(S);

impl<'de, S: Shape<'de>> DeserializeSeed<'de> for Any<S> {
    type Value = S::Value;

    fn deserialize<D: de::Deserializer<'de>>(self, json: D) -> Result<S::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, S: Shape<'de>> Visitor<'de> for Any<S> {
    type Value = S::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<S::Value, E> {
        Ok(self.0.null())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<S::Value, E> {
        self.0.text(&value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<S::Value, E> {
        self.0.text(&value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<S::Value, E> {
        self.0.text(&value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<S::Value, E> {
        self.0.text(&value.to_string())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<S::Value, E> {
        self.0.text(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<S::Value, A::Error> {
        self.0.list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<S::Value, A::Error> {
        self.0.object(object)
    }
}

/// A tag, a file with tags in `values`, or a list of these: the root, and what is in `values`.
struct Entry<'a>(&'a mut Content);

impl<'de> Shape<'de> for Entry<'_> {
    type Value = ();

    fn null(self) {}

    fn text<E: de::Error>(self, text: &str) -> Result<(), E> {
        let refusal = if is_type_name(text) { ServiceTagsError::Depth { name: "Values".to_owned() } } else { NO_TAGS };
        Err(self.0.refuse(refusal))
    }

    fn list<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Any(Entry(self.0)))?.is_some() {}
        Ok(())
    }

    fn object<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let content = self.0;
        let (mut name, mut id, mut properties, mut has_values) = (None, None, None, false);
        while let Some(key) = object.next_key::<String>()? {
            match key.to_ascii_lowercase().as_str() {
                "name" => name = object.next_value_seed(Any(Scalar))?,
                "id" => id = object.next_value_seed(Any(Scalar))?,
                "cloud" => {
                    let cloud = object.next_value_seed(Any(Scalar))?;
                    if let (Some(cloud), Some(known)) = (&cloud, &content.cloud)
                        && !cloud.eq_ignore_ascii_case(known)
                    {
                        return Err(content.refuse(TWO_CLOUDS));
                    }
                    content.cloud = content.cloud.take().or(cloud);
                }
                // With several lists, the oldest date counts.
                "changenumber" => {
                    let number = object.next_value_seed(Any(Scalar))?.and_then(|text| text.trim().parse().ok());
                    content.change_number = content.change_number.into_iter().chain(number).min();
                }
                "properties" => properties = Some(object.next_value_seed(Any(Properties(content)))?),
                "values" | "value" => {
                    has_values = true;
                    object.next_value_seed(Any(Entry(content)))?;
                }
                "records" | "flowrecords" => object.next_value_seed(Any(Records(content)))?,
                "error" => return Err(content.refuse(ERROR_ANSWER)),
                _ => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (properties, has_values) {
            (Some(properties), _) => add_tag(content, name.or(id), properties).map_err(|e| content.refuse(e)),
            (None, true) => Ok(()),
            (None, false) => Err(content.refuse(NO_TAGS)),
        }
    }
}

fn add_tag(content: &mut Content, name: Option<String>, read: ReadProperties) -> Result<(), ServiceTagsError> {
    let ReadProperties { region, prefixes, trouble } = read;
    let shown = || quoted(name.as_deref().unwrap_or_default());
    match trouble {
        Some(Trouble::Depth { key }) => return Err(ServiceTagsError::Depth { name: format!("{key} of {}", shown()) }),
        Some(Trouble::Prefix(source)) => return Err(ServiceTagsError::Prefix { tag: shown(), source }),
        None => {}
    }
    let prefixes = prefixes.ok_or_else(|| ServiceTagsError::NoPrefixes { name: shown() })?;
    let name = name.filter(|name| !name.is_empty()).ok_or(NO_NAME)?;
    content.tags.push(ServiceTag { name, region: region.unwrap_or_default(), prefixes });
    if content.tags.len() > MOST_TAGS { Err(TOO_MANY) } else { Ok(()) }
}

/// The object `properties` of a tag.
struct Properties<'a>(&'a mut Content);

#[derive(Default)]
struct ReadProperties {
    region: Option<String>,
    /// `None` without the key.
    prefixes: Option<Vec<Prefix>>,
    /// Kept until the name of the tag is known, which may come later.
    trouble: Option<Trouble>,
}

enum Trouble {
    /// PowerShell wrote the value of the key as text.
    Depth {
        key: &'static str,
    },
    Prefix(PrefixError),
}

impl<'de> Shape<'de> for Properties<'_> {
    type Value = ReadProperties;

    fn null(self) -> ReadProperties {
        ReadProperties::default()
    }

    fn text<E: de::Error>(self, _: &str) -> Result<ReadProperties, E> {
        Ok(ReadProperties { trouble: Some(Trouble::Depth { key: "Properties" }), ..ReadProperties::default() })
    }

    fn list<A: SeqAccess<'de>>(self, _: A) -> Result<ReadProperties, A::Error> {
        Err(self.0.refuse(NO_TAGS))
    }

    fn object<A: MapAccess<'de>>(self, mut object: A) -> Result<ReadProperties, A::Error> {
        let mut read = ReadProperties::default();
        while let Some(key) = object.next_key::<String>()? {
            match key.to_ascii_lowercase().as_str() {
                "region" => read.region = object.next_value_seed(Any(Scalar))?,
                "addressprefixes" => {
                    read.prefixes.get_or_insert_default();
                    object.next_value_seed(Any(Prefixes { content: self.0, read: &mut read, is_element: false }))?;
                }
                _ => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(read)
    }
}

/// Prefixes: a list, or PowerShell's form of one.
struct Prefixes<'a> {
    content: &'a mut Content,
    read: &'a mut ReadProperties,
    is_element: bool,
}

impl Prefixes<'_> {
    fn add(&mut self, text: &str) {
        match text.parse() {
            Ok(prefix) => {
                self.content.prefixes += 1;
                self.read.prefixes.get_or_insert_default().push(prefix);
            }
            Err(error) if self.read.trouble.is_none() => {
                let error = match error {
                    PrefixError::Syntax(text) => PrefixError::Syntax(quoted(&text)),
                    host_bits => host_bits,
                };
                self.read.trouble = Some(Trouble::Prefix(error));
            }
            Err(_) => {}
        }
    }
}

impl<'de> Shape<'de> for Prefixes<'_> {
    type Value = ();

    fn null(self) {}

    fn text<E: de::Error>(mut self, text: &str) -> Result<(), E> {
        if is_type_name(text) {
            self.read.trouble.get_or_insert(Trouble::Depth { key: "AddressPrefixes" });
        } else if self.is_element {
            self.add(text);
        } else {
            // One element, or several that PowerShell joined by spaces.
            text.split_whitespace().for_each(|prefix| self.add(prefix));
        }
        if self.content.prefixes > MOST_PREFIXES { Err(self.content.refuse(TOO_MANY)) } else { Ok(()) }
    }

    fn list<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { content, read, .. } = self;
        while list.next_element_seed(Any(Prefixes { content, read, is_element: true }))?.is_some() {}
        Ok(())
    }

    fn object<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let Self { content, read, is_element } = self;
        while let Some(key) = object.next_key::<String>()? {
            if key.eq_ignore_ascii_case("value") {
                object.next_value_seed(Any(Prefixes { content, read, is_element }))?;
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Flow records, which are never in a service-tag file.
struct Records<'a>(&'a mut Content);

impl<'de> Shape<'de> for Records<'_> {
    type Value = ();

    fn null(self) {}

    /// Ignores other values, such as a count of records.
    fn text<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn list<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.0.refuse(FLOW_LOG))
    }

    fn object<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.0.refuse(FLOW_LOG))
    }
}

/// Returns whether PowerShell wrote a type or its short form instead of a deeply nested value.
fn is_type_name(text: &str) -> bool {
    ["System.", "Microsoft.", "@{"].iter().any(|start| text.starts_with(start))
}

/// Text or a number; `None` for null, lists and objects.
struct Scalar;

impl<'de> Shape<'de> for Scalar {
    type Value = Option<String>;

    fn null(self) -> Option<String> {
        None
    }

    fn text<E: de::Error>(self, text: &str) -> Result<Option<String>, E> {
        Ok(Some(text.to_owned()))
    }

    fn list<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<String>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn object<A: MapAccess<'de>>(self, mut object: A) -> Result<Option<String>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
