//! Addresses of processes of the cluster. Ballista speaks without TLS, so other addresses than those of this machine need
//! the user's word.

use std::fmt;
use std::net::{IpAddr, ToSocketAddrs};
use std::str::FromStr;

/// Address of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port; 0 for any free one.
    pub port: u16,
}

/// Port of a scheduler, unless given.
pub const PORT: u16 = 50050;

/// An address that may not be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlaceError {
    /// It has another form.
    #[error("write HOST:PORT or http://HOST:PORT")]
    Form,
    /// It asks for TLS.
    #[error(
        "{0}: the scheduler speaks without TLS: write http://, and encrypt the network between the machines, such as with a service mesh"
    )]
    Tls(String),
    /// It is not on this machine.
    #[error("{0} is not on this machine, and the cluster has neither TLS nor a password")]
    Open(String),
}

impl Place {
    /// Returns whether it is certainly on this machine.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => self.host == "localhost",
        }
    }

    /// Fails if it is not on this machine and `is_allowed` is false.
    pub fn check(&self, is_allowed: bool) -> Result<(), PlaceError> {
        if self.is_loopback() || is_allowed { Ok(()) } else { Err(PlaceError::Open(self.to_string())) }
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{self}")
    }

    /// Returns the first address of its name, or its name if it has none.
    pub fn resolved(&self) -> String {
        let addresses = (self.host.as_str(), self.port).to_socket_addrs();
        addresses.ok().and_then(|mut all| all.next()).map_or_else(|| self.to_string(), |address| address.to_string())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let rest = match text.split_once("://") {
            Some(("http" | "df", rest)) => rest,
            Some(("https", _)) => return Err(PlaceError::Tls(text.to_owned())),
            Some(_) => return Err(PlaceError::Form),
            None => text,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(PlaceError::Form)?)),
            None => rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| PlaceError::Form))?;
        let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
        if is_host { Ok(Self { host: host.to_owned(), port }) } else { Err(PlaceError::Form) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_only_loopback_is_safe() {
        for (text, expected, is_loopback) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("http://localhost", "localhost:50050", true),
            ("df://[::1]:7/", "[::1]:7", true),
            ("http://10.0.0.1:50050", "10.0.0.1:50050", false),
            ("0.0.0.0:1", "0.0.0.0:1", false),
            ("scheduler.flowgap:2", "scheduler.flowgap:2", false),
            ("localhost.example.com:2", "localhost.example.com:2", false),
        ] {
            let place: Place = text.parse().expect(text);
            assert_eq!((place.to_string().as_str(), place.is_loopback()), (expected, is_loopback), "{text}");
            assert_eq!(place.check(false).is_ok(), is_loopback, "{text}");
            assert_eq!(place.check(true), Ok(()), "{text}");
        }
        for text in ["", "http://", "a b:1", "http://user@host:1", "host:port", "host:70000", "ftp://host:1", "h/x"] {
            assert_eq!(text.parse::<Place>(), Err(PlaceError::Form), "{text}");
        }
        assert!(matches!("https://host:1".parse::<Place>(), Err(PlaceError::Tls(_))));
    }
}
