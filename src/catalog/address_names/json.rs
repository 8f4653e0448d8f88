//! Reads the JSON of `az network vnet list` and of other lists of networks, and exports of Resource Graph.
//!
//! A resource is flat, as az prints it, or has its values in `properties`, as in the REST API and in Resource Graph.
//! Keys begin with a small or a capital letter. Other keys are skipped, so memory depends only on names and addresses.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::{AddressNamesError, Entry, entry, push};
use crate::catalog::text_file::quoted;

const NO_NAMES: AddressNamesError = AddressNamesError::Form(
    "this JSON names no address: write it with az network vnet list, or export virtual networks, subnets, \
     network interfaces, private endpoints or public addresses from Resource Graph",
);
const DEPTH: AddressNamesError = AddressNamesError::Form(
    "PowerShell cut this JSON short when it wrote a list as text: write it again with ConvertTo-Json -Depth 10",
);

/// A resource, a part of one, or a list of them under a key.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Resource {
    #[serde(alias = "Name")]
    name: Text,
    #[serde(alias = "Properties")]
    properties: Many<Resource>,
    /// Rows of a Resource Graph export.
    #[serde(alias = "Data")]
    data: Many<Resource>,
    /// Resources of a page of the REST API, or the elements of a list that PowerShell wrapped.
    #[serde(alias = "Value")]
    value: Many<Resource>,
    /// Of a virtual network.
    #[serde(alias = "AddressSpace")]
    address_space: Many<Resource>,
    #[serde(alias = "Subnets")]
    subnets: Many<Resource>,
    /// Of an address space or a subnet.
    #[serde(alias = "AddressPrefix")]
    address_prefix: Many<Text>,
    #[serde(alias = "AddressPrefixes")]
    address_prefixes: Many<Text>,
    /// Of a network interface.
    #[serde(alias = "IpConfigurations")]
    ip_configurations: Many<Resource>,
    #[serde(alias = "PrivateIpAddress", alias = "privateIPAddress")]
    private_ip_address: Text,
    /// Of a private endpoint.
    #[serde(alias = "CustomDnsConfigs")]
    custom_dns_configs: Many<Resource>,
    #[serde(alias = "IpAddresses")]
    ip_addresses: Many<Text>,
    /// Of a public address.
    #[serde(alias = "IpAddress")]
    ip_address: Text,
}

/// A list, or its only element; null is an empty list. Any other value is `Other`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Many<T> {
    List(Vec<T>),
    One(Box<T>),
    Other(Other),
}

/// A value that is neither a list nor an object of the expected form.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Other {
    Text(String),
    Any(IgnoredAny),
}

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<T> Many<T> {
    fn all(&self) -> &[T] {
        match self {
            Self::List(all) => all,
            Self::One(one) => std::slice::from_ref(&**one),
            Self::Other(_) => &[],
        }
    }

    /// Returns whether PowerShell wrote the list as text because of its depth limit.
    fn is_cut(&self) -> bool {
        let is_type =
            |text: &str| text.starts_with("System.") || text.starts_with("Microsoft.") || text.starts_with("@{");
        matches!(self, Self::Other(Other::Text(text)) if is_type(text))
    }
}

/// A text; empty for any other value.
#[derive(Debug, Default)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        Ok(match Other::deserialize(json)? {
            Other::Text(text) => Self(text),
            Other::Any(_) => Self::default(),
        })
    }
}

pub fn read(text: &str, entries: &mut Vec<Entry>) -> Result<(), AddressNamesError> {
    let root: Many<Resource> = serde_json::from_str(text).map_err(|error| AddressNamesError::Damaged {
        place: format!("line {}, column {}", error.line(), error.column()),
        what: if error.is_eof() { "the JSON ends too early" } else { "the JSON is damaged" }.to_owned(),
    })?;
    let before = entries.len();
    for resource in root.all() {
        add(resource, &resource.name.0, entries)?;
    }
    if entries.len() == before { Err(NO_NAMES) } else { Ok(()) }
}

/// Adds the names of a resource called `name`, or of all resources in it.
fn add(resource: &Resource, name: &str, entries: &mut Vec<Entry>) -> Result<(), AddressNamesError> {
    let Resource { properties, data, value, address_space, subnets, ip_configurations, .. } = resource;
    let (lists, parts) = ([properties, address_space, subnets], [ip_configurations, &resource.custom_dns_configs]);
    let texts = [&resource.address_prefix, &resource.address_prefixes, &resource.ip_addresses];
    if lists.iter().chain(&parts).any(|list| list.is_cut()) || texts.iter().any(|list| list.is_cut()) {
        return Err(DEPTH);
    }
    for inner in data.all().iter().chain(value.all()) {
        add(inner, &inner.name.0, entries)?;
    }
    let addresses = texts.into_iter().flat_map(Many::all).chain([&resource.private_ip_address, &resource.ip_address]);
    let place = || if name.is_empty() { "a resource without a name".to_owned() } else { format!("'{}'", quoted(name)) };
    // PowerShell joins the elements of a list by blanks.
    for prefix in addresses.flat_map(|text| text.0.split_whitespace()) {
        push(entries, entry(prefix, name, &place)?)?;
    }
    for inner in lists.into_iter().flat_map(Many::all) {
        let inner_name = match (name, inner.name.0.as_str()) {
            (name, "") => name.to_owned(),
            ("", inner) => inner.to_owned(),
            (name, inner) => format!("{name}/{inner}"),
        };
        add(inner, &inner_name, entries)?;
    }
    // Parts of an interface or an endpoint have names that mean nothing outside of it.
    parts.into_iter().flat_map(Many::all).try_for_each(|part| add(part, name, entries))
}
