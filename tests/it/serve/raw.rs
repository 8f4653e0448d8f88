//! A client of PostgreSQL's protocol that sends what it is told, right or wrong.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub struct Raw {
    pub stream: TcpStream,
    /// Number and secret of the connection.
    pub key: (i32, i32),
}

/// A message of the server: its kind and body.
pub type Reply = (u8, Vec<u8>);

/// The answer to a query.
#[derive(Debug, Default)]
pub struct Answer {
    pub rows: Vec<Vec<Option<String>>>,
    pub tags: Vec<String>,
    /// Fields of the error by their letters.
    pub error: Option<BTreeMap<char, String>>,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.error.as_ref().map_or("00000", |fields| &fields[&'C'])
    }

    pub fn one(&self) -> &str {
        assert!(self.error.is_none(), "{self:?}");
        self.rows[0][0].as_deref().expect("a value")
    }
}

pub fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

/// Bytes of a message.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

/// Bytes of the first message.
pub fn first(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    parameters.iter().for_each(|(name, value)| body.extend([text(name), text(value)].concat()));
    body.push(0);
    [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
}

impl Raw {
    pub fn silent(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(300)))?;
        Ok(Self { stream, key: (0, 0) })
    }

    /// Connects as a user without a password.
    pub fn connect(port: u16) -> Self {
        Self::with(port, &[("user", "ann"), ("database", "flowgap")]).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Connects with parameters. Returns the error that the server sends.
    pub fn with(port: u16, parameters: &[(&str, &str)]) -> Result<Self, BTreeMap<char, String>> {
        let mut raw = Self::silent(port).expect("connects");
        raw.send(&first(parameters));
        loop {
            let (kind, body) = raw.reply().expect("a reply");
            match kind {
                b'E' => return Err(fields(&body)),
                b'K' => raw.key = (number(&body[..4]), number(&body[4..8])),
                b'Z' => return Ok(raw),
                _ => {}
            }
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let mut body = vec![0; number(&head[1..]) as usize - 4];
        self.stream.read_exact(&mut body)?;
        Ok((head[0], body))
    }

    /// Reads up to the end of the answer.
    pub fn answer(&mut self) -> Answer {
        let mut answer = Answer::default();
        loop {
            let (kind, body) = self.reply().expect("a reply");
            match kind {
                b'D' => answer.rows.push(row(&body)),
                b'C' => answer.tags.push(String::from_utf8(body[..body.len() - 1].to_vec()).expect("UTF-8")),
                b's' => answer.tags.push("suspended".to_owned()),
                b'E' => answer.error = Some(fields(&body)),
                b'Z' => return answer,
                _ => {}
            }
        }
    }

    pub fn query(&mut self, query: &str) -> Answer {
        self.send(&message(b'Q', &text(query)));
        self.answer()
    }
}

fn number(bytes: &[u8]) -> i32 {
    i32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

fn fields(body: &[u8]) -> BTreeMap<char, String> {
    let parts = body.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    parts.map(|part| (char::from(part[0]), String::from_utf8_lossy(&part[1..]).into_owned())).collect()
}

fn row(body: &[u8]) -> Vec<Option<String>> {
    let (mut rest, mut row) = (&body[2..], Vec::new());
    while !rest.is_empty() {
        let length = number(&rest[..4]);
        rest = &rest[4..];
        row.push(usize::try_from(length).ok().map(|length| {
            let (value, after) = rest.split_at(length);
            rest = after;
            String::from_utf8_lossy(value).into_owned()
        }));
    }
    row
}
