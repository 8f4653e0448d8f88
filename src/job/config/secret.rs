//! Values of the configuration that are never printed: passwords, addresses that are secrets, signing keys.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize, Serializer};
use url::{Host, Url};

/// Text in place of a secret.
const HIDDEN: &str = "***";
/// Prefix of a signing key, as Standard Webhooks has it.
const KEY_PREFIX: &str = "whsec_";
/// Lengths of a signing key in bytes, as Standard Webhooks has them.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Shortest path and query of which the last characters may be shown.
const LONG_ENOUGH: usize = 16;
/// Number of characters that are shown of an address, so that two of one host can be told apart.
const SHOWN_OF_ADDRESS: usize = 4;

/// Makes a type print and serialise as `***`.
macro_rules! hide {
    ($type:ident) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(HIDDEN)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(HIDDEN)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(HIDDEN)
            }
        }
    };
}

/// Text that never prints, such as a token.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

hide!(Secret);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text, for the request that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Address of a web service. The address is the secret, so it never prints. Always `https`, or `http` on this machine.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SecretUrl(Url);

hide!(SecretUrl);

impl SecretUrl {
    /// Returns the address, for the request.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// Returns the host, and the last characters of a long address: `hooks.example.com (...9f3a)`.
    pub fn shown(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        let rest = &self.0[url::Position::BeforePath..];
        let end: Vec<char> = rest.chars().rev().take(SHOWN_OF_ADDRESS).collect();
        match rest.len() >= LONG_ENOUGH {
            true => format!("{host} (...{})", end.iter().rev().collect::<String>()),
            false => host.to_owned(),
        }
    }
}

impl TryFrom<String> for SecretUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const NO_ADDRESS: &str = "this is no address such as https://hooks.example.com/...";
        let url = Url::parse(text.trim()).map_err(|_| NO_ADDRESS)?;
        match url.scheme() {
            _ if !url.has_host() => Err(NO_ADDRESS),
            _ if !url.username().is_empty() || url.password().is_some() => {
                Err("an address with a user is not supported: use one that holds its secret in the path")
            }
            "https" => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            "http" => Err("plain http would show the secret to others: use https"),
            _ => Err(NO_ADDRESS),
        }
    }
}

/// Returns whether an address leads to this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Key that signs messages: `whsec_` and base64 of 24 to 64 bytes.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SigningKey(Vec<u8>);

hide!(SigningKey);

impl SigningKey {
    /// Returns the bytes of the key.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<String> for SigningKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const NO_KEY: &str = "this is no signing key: it is whsec_ and base64 of 24 to 64 bytes";
        let bytes = STANDARD.decode(text.trim().strip_prefix(KEY_PREFIX).ok_or(NO_KEY)?).map_err(|_| NO_KEY)?;
        match KEY_BYTES.contains(&bytes.len()) {
            true => Ok(Self(bytes)),
            false => Err(NO_KEY),
        }
    }
}

/// Path of a file, or address of a blob. The query of an address may hold a signature, so it never prints.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Place(String);

impl Place {
    /// Wraps a path or an address.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text with its query, for the request that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether this is an address.
    pub fn is_address(&self) -> bool {
        self.0.contains("://")
    }

    /// Returns the place with this at the end of its name, before the query.
    pub fn with_ending(&self, ending: &str) -> Self {
        let (name, query) = self.0.split_at(self.without_query().len());
        Self(format!("{name}{ending}{query}"))
    }

    /// Returns the text up to the query.
    pub fn without_query(&self) -> &str {
        match self.is_address() {
            true => self.0.split(['?', '#']).next().unwrap_or_default(),
            false => &self.0,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.without_query())?;
        f.write_str(if self.without_query().len() < self.0.len() { "?***" } else { "" })
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
