//! Messages of a client: bytes in, messages out. Every length is checked, so that no bytes can do harm.
//!
//! Knows no sockets. A message that is not whole gives `None`, and its bytes stay in the buffer.

use bytes::{Buf, Bytes, BytesMut};

/// Maximum bytes of a message before the client is known.
pub const MOST_BEFORE: usize = 10_000;
/// Maximum bytes of a message of a known client.
pub const MOST: usize = 4 << 20;
/// Code of a request for TLS, in place of a version.
const TLS: u32 = 80_877_103;
/// Code of a request for encryption by GSSAPI.
const GSS: u32 = 80_877_104;
/// Code of a request to cancel a query.
const CANCEL: u32 = 80_877_102;

/// A message that no client sends by the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid message: {0}")]
pub struct Invalid(&'static str);

/// First message of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum First {
    /// Asks for TLS.
    Tls,
    /// Asks for encryption by GSSAPI.
    Gss,
    /// Asks to cancel the query of another connection, named by its number and secret.
    Cancel(i32, i32),
    /// Begins a session.
    Start {
        /// Minor version of the protocol.
        minor: u16,
        /// Parameters such as `user`, in the order sent.
        parameters: Vec<(String, String)>,
    },
}

/// Statement or portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement.
    Statement,
    /// A statement with its values.
    Portal,
}

/// Message of a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// Part of the exchange about the password.
    Password(Bytes),
    /// Runs a text.
    Query(String),
    /// Prepares a statement.
    Parse {
        /// Name of the statement.
        name: String,
        /// Its text.
        text: String,
        /// Types of the parameters; 0 is open.
        types: Vec<u32>,
    },
    /// Gives values to a statement.
    Bind {
        /// Name of the portal.
        portal: String,
        /// Name of the statement.
        statement: String,
        /// Formats of the values: none for text, one for all, or one each.
        formats: Vec<i16>,
        /// Values.
        values: Vec<Option<Bytes>>,
        /// Formats of the columns of the result, as those of the values.
        results: Vec<i16>,
    },
    /// Asks for the columns.
    Describe(Target, String),
    /// Runs a portal for at most this many rows; 0 for all.
    Execute(String, u32),
    /// Drops a statement or portal.
    Close(Target, String),
    /// Asks to send what waits.
    Flush,
    /// Ends a group of messages.
    Sync,
    /// Ends the session.
    Terminate,
    /// Part of a COPY or a function call, which no statement here asks for.
    Other(u8),
}

impl Message {
    /// Returns whether an error in this message makes the server skip all messages up to the next [`Message::Sync`].
    pub fn is_extended(&self) -> bool {
        !matches!(self, Self::Query(_) | Self::Sync | Self::Terminate | Self::Password(_))
    }
}

/// Takes the first message out of the buffer.
pub fn first(bytes: &mut BytesMut) -> Result<Option<First>, Invalid> {
    let Some(length) = length(bytes, 0) else { return Ok(None) };
    if !(8..=MOST_BEFORE).contains(&length) {
        return Err(Invalid("its length is not that of a first message"));
    }
    if bytes.len() < length {
        return Ok(None);
    }
    let mut body = bytes.split_to(length).freeze();
    body.advance(4);
    let code = body.get_u32();
    match code {
        TLS if body.is_empty() => return Ok(Some(First::Tls)),
        GSS if body.is_empty() => return Ok(Some(First::Gss)),
        CANCEL if body.len() == 8 => return Ok(Some(First::Cancel(body.get_i32(), body.get_i32()))),
        _ => {}
    }
    if code >> 16 != 3 {
        return Err(Invalid("the server speaks version 3 of the protocol"));
    }
    let mut parameters = Vec::new();
    loop {
        let name = text(&mut body)?;
        if name.is_empty() {
            break;
        }
        parameters.push((name, text(&mut body)?));
    }
    Ok(Some(First::Start { minor: (code & 0xffff) as u16, parameters }))
}

/// Takes the next message out of the buffer. It may have `most` bytes.
pub fn next(bytes: &mut BytesMut, most: usize) -> Result<Option<Message>, Invalid> {
    let Some(length) = length(bytes, 1) else { return Ok(None) };
    if length < 4 {
        return Err(Invalid("its length is too small"));
    }
    if length > most {
        return Err(Invalid("it is too long"));
    }
    if bytes.len() < length + 1 {
        return Ok(None);
    }
    let mut body = bytes.split_to(length + 1).freeze();
    let kind = body.get_u8();
    body.advance(4);
    let message = match kind {
        b'p' => Message::Password(std::mem::take(&mut body)),
        b'Q' => Message::Query(text(&mut body)?),
        b'P' => Message::Parse {
            name: text(&mut body)?,
            text: text(&mut body)?,
            types: list(&mut body, 4, |body| Ok(body.get_u32()))?,
        },
        b'B' => Message::Bind {
            portal: text(&mut body)?,
            statement: text(&mut body)?,
            formats: list(&mut body, 2, |body| Ok(body.get_i16()))?,
            values: list(&mut body, 4, value)?,
            results: list(&mut body, 2, |body| Ok(body.get_i16()))?,
        },
        b'D' => Message::Describe(target(&mut body)?, text(&mut body)?),
        b'E' => {
            let portal = text(&mut body)?;
            let most = body.try_get_i32().map_err(|_| Invalid("it is cut"))?;
            Message::Execute(portal, u32::try_from(most).unwrap_or(0))
        }
        b'C' => Message::Close(target(&mut body)?, text(&mut body)?),
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => Message::Terminate,
        b'd' | b'c' | b'f' | b'F' => {
            body.clear();
            Message::Other(kind)
        }
        _ => return Err(Invalid("its kind is unknown")),
    };
    if !body.is_empty() {
        return Err(Invalid("it is longer than what it holds"));
    }
    Ok(Some(message))
}

fn length(bytes: &BytesMut, at: usize) -> Option<usize> {
    let length = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(length.try_into().ok()?) as usize)
}

/// Takes a text up to its NUL.
fn text(body: &mut Bytes) -> Result<String, Invalid> {
    let end = memchr::memchr(0, body).ok_or(Invalid("a text has no end"))?;
    let text = String::from_utf8(body.split_to(end).to_vec()).map_err(|_| Invalid("a text is not UTF-8"))?;
    body.advance(1);
    Ok(text)
}

/// Takes a list. Each element has at least `least` bytes, so a wrong count reserves no memory.
fn list<T>(body: &mut Bytes, least: usize, next: fn(&mut Bytes) -> Result<T, Invalid>) -> Result<Vec<T>, Invalid> {
    let count = usize::from(body.try_get_u16().map_err(|_| Invalid("it is cut"))?);
    if count * least > body.len() {
        return Err(Invalid("a list is cut"));
    }
    (0..count).map(|_| if body.len() < least { Err(Invalid("a list is cut")) } else { next(body) }).collect()
}

fn value(body: &mut Bytes) -> Result<Option<Bytes>, Invalid> {
    match usize::try_from(body.get_i32()) {
        Err(_) => Ok(None),
        Ok(length) if length <= body.len() => Ok(Some(body.split_to(length))),
        Ok(_) => Err(Invalid("a value is cut")),
    }
}

fn target(body: &mut Bytes) -> Result<Target, Invalid> {
    match body.try_get_u8() {
        Ok(b'S') => Ok(Target::Statement),
        Ok(b'P') => Ok(Target::Portal),
        _ => Err(Invalid("it names neither a statement nor a portal")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::from(&[kind][..]);
        bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn whole_messages_are_read_and_parts_wait() {
        let whole = message(b'B', b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02hi\xff\xff\xff\xff\0\0");
        for cut in 0..whole.len() {
            assert_eq!(next(&mut BytesMut::from(&whole[..cut]), MOST), Ok(None), "{cut}");
        }
        let (mut bytes, values) = (whole, vec![Some(Bytes::from_static(b"hi")), None]);
        let (portal, statement) = ("p".to_owned(), "s".to_owned());
        let bind = Message::Bind { portal, statement, formats: vec![1], values, results: vec![] };
        assert_eq!(next(&mut bytes, MOST), Ok(Some(bind)));
        assert!(bytes.is_empty());
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        for (kind, body) in [
            (b'Q', &b"SELECT 1"[..]),
            (b'Q', b"SELECT\0more"),
            (b'P', b"\0\0\xff\xff"),
            (b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff"),
            (b'D', b"T\0"),
            (b'E', b"\0\0"),
            (b'Z', b""),
        ] {
            assert!(next(&mut message(kind, body), MOST).is_err(), "{}", char::from(kind));
        }
        assert!(next(&mut BytesMut::from(&b"Q\0\0\0\x03"[..]), MOST).is_err());
        assert!(next(&mut BytesMut::from(&b"Q\xff\xff\xff\xff"[..]), MOST).is_err());
        assert!(first(&mut BytesMut::from(&b"GET / HTTP"[..])).is_err());
    }

    /// `FLOWGAP_MESSAGES` sets how many.
    #[test]
    fn no_bytes_do_harm() {
        let count = std::env::var("FLOWGAP_MESSAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000);
        let mut random = fastrand::Rng::with_seed(7);
        let kinds = b"pQPBDECHSXdcfFZ\0";
        for _ in 0..count {
            let body: Vec<u8> =
                (0..random.usize(..40)).map(|_| random.u8(..) & [0xff, 0x03][random.usize(..2)]).collect();
            let mut bytes = message(kinds[random.usize(..kinds.len())], &body);
            if random.u8(..4) == 0 {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            let length = bytes.len();
            let mut copy = bytes.clone();
            _ = next(&mut bytes, MOST);
            _ = first(&mut copy);
            assert!(bytes.len() <= length && copy.len() <= length);
        }
    }
}
