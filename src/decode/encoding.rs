//! Converts UTF-16 with a byte-order mark to UTF-8, chunk by chunk. Other bytes pass unchanged.

/// Replacement for invalid UTF-16. Because this byte never occurs in UTF-8, the record around it counts as damaged.
const NO_TEXT: u8 = 0xFF;

/// Encoding of a blob, detected by its first bytes, and the undecoded rest of the last chunk.
pub struct Encoding {
    state: State,
    /// Converted text of the last chunk, unless the chunk passed unchanged.
    text: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// The first bytes, fewer than 4, while they are ambiguous.
    Start {
        head: [u8; 4],
        length: usize,
    },
    /// Bytes that pass unchanged.
    Plain,
    Utf16 {
        is_big: bool,
        odd: Option<u8>,
        high: Option<u16>,
    },
    /// UTF-16 without a byte-order mark.
    Refused,
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Plain,
    Utf16 { is_big: bool },
    Unmarked,
    Undecided,
}

/// Detects the encoding from the first bytes of a blob. Four bytes are always enough.
fn found(head: &[u8]) -> Found {
    let is_letter = |byte: u8| byte.is_ascii() && byte != 0;
    match *head {
        [0xFF, 0xFE, ..] => Found::Utf16 { is_big: false },
        [0xFE, 0xFF, ..] => Found::Utf16 { is_big: true },
        [] | [0xFF] | [0xFE] | [0] => Found::Undecided,
        [a] if is_letter(a) => Found::Undecided,
        [a, 0] if is_letter(a) => Found::Undecided,
        [a, 0, b] if is_letter(a) && is_letter(b) => Found::Undecided,
        [a, 0, b, 0, ..] if is_letter(a) && is_letter(b) => Found::Unmarked,
        [0, a] | [0, a, 0] if is_letter(a) => Found::Undecided,
        [0, a, 0, b, ..] if is_letter(a) && is_letter(b) => Found::Unmarked,
        _ => Found::Plain,
    }
}

impl Encoding {
    /// Creates the state for a blob that is read from its start.
    pub fn unknown() -> Self {
        Self { state: State::Start { head: [0; 4], length: 0 }, text: Vec::new() }
    }

    /// Creates the state for a piece of a blob. Only UTF-8 blobs are split into pieces.
    pub fn plain() -> Self {
        Self { state: State::Plain, text: Vec::new() }
    }

    /// Returns whether the blob is UTF-16 without a mark. It has no text then.
    pub fn is_refused(&self) -> bool {
        matches!(self.state, State::Refused)
    }

    /// Converts the next chunk. The text is at most half as long again, plus a few bytes.
    pub fn push<'a>(&'a mut self, mut chunk: &'a [u8]) -> &'a [u8] {
        self.text.clear();
        if let State::Start { mut head, mut length } = self.state {
            let before = length;
            let mut seen = found(&head[..length]);
            while seen == Found::Undecided
                && let Some(&byte) = chunk.get(length - before)
            {
                head[length] = byte;
                length += 1;
                seen = found(&head[..length]);
            }
            self.state = match seen {
                Found::Undecided => State::Start { head, length },
                Found::Plain => State::Plain,
                Found::Unmarked => State::Refused,
                Found::Utf16 { is_big } => {
                    chunk = &chunk[length - before..];
                    State::Utf16 { is_big, odd: None, high: None }
                }
            };
            if seen == Found::Plain && before > 0 {
                self.text.extend_from_slice(&head[..before]);
                self.text.extend_from_slice(chunk);
                return &self.text;
            }
        }
        match self.state {
            State::Plain => chunk,
            State::Start { .. } | State::Refused => &[],
            State::Utf16 { .. } => {
                self.decode(chunk);
                &self.text
            }
        }
    }

    /// Ends the input and returns the text of the undecoded rest.
    pub fn finish(&mut self) -> &[u8] {
        self.text.clear();
        match self.state {
            State::Start { head, length } => self.text.extend_from_slice(&head[..length]),
            State::Utf16 { odd, high, .. } if odd.is_some() || high.is_some() => self.text.push(NO_TEXT),
            _ => {}
        }
        self.state = if self.is_refused() { State::Refused } else { State::Plain };
        &self.text
    }

    fn decode(&mut self, mut chunk: &[u8]) {
        let State::Utf16 { is_big, mut odd, mut high } = self.state else { return };
        let unit = |pair: [u8; 2]| if is_big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
        if let (Some(first), Some((&second, rest))) = (odd, chunk.split_first()) {
            add(unit([first, second]), &mut high, &mut self.text);
            (odd, chunk) = (None, rest);
        }
        let (pairs, rest) = chunk.as_chunks::<2>();
        pairs.iter().for_each(|&pair| add(unit(pair), &mut high, &mut self.text));
        odd = rest.first().copied().or(odd);
        self.state = State::Utf16 { is_big, odd, high };
    }
}

/// Appends a unit of UTF-16 to `text`. `high` is the first half of an unfinished surrogate pair.
fn add(unit: u16, high: &mut Option<u16>, text: &mut Vec<u8>) {
    if let Some(high) = high.take() {
        if (0xDC00..0xE000).contains(&unit) {
            let code = 0x10000 + ((u32::from(high) - 0xD800) << 10) + (u32::from(unit) - 0xDC00);
            return add_char(code, text);
        }
        text.push(NO_TEXT);
    }
    match unit {
        0..0x80 => text.push(unit as u8),
        0xD800..0xDC00 => *high = Some(unit),
        _ => add_char(unit.into(), text),
    }
}

fn add_char(code: u32, text: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(letter) => text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        None => text.push(NO_TEXT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], chunk: usize) -> Option<Vec<u8>> {
        let mut encoding = Encoding::unknown();
        let mut text = Vec::new();
        for chunk in bytes.chunks(chunk) {
            text.extend_from_slice(encoding.push(chunk));
        }
        text.extend_from_slice(encoding.finish());
        (!encoding.is_refused()).then_some(text)
    }

    fn utf16(units: &[u16], is_big: bool) -> Vec<u8> {
        units.iter().flat_map(|unit| if is_big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    #[test]
    fn utf16_becomes_utf8_at_any_cut() {
        let text = "{\"rule\":\"Größe \u{1F600} \u{FFFD}\u{800}\"}";
        let units: Vec<u16> = [0xFEFF].into_iter().chain(text.encode_utf16()).collect();
        for is_big in [false, true] {
            let bytes = utf16(&units, is_big);
            for chunk in 1..=bytes.len() {
                assert_eq!(decoded(&bytes, chunk).as_deref(), Some(text.as_bytes()), "{is_big} {chunk}");
                let unmarked = decoded(&bytes[2..], chunk);
                assert_eq!(unmarked, None, "{is_big} {chunk}");
            }
        }
    }

    #[test]
    fn what_is_no_utf16_is_no_utf8_either() {
        for (units, expected) in [
            (&[0xFEFF, 0xD800, 0x61][..], b"\xFFa".as_slice()),
            (&[0xFEFF, 0xDC00, 0x61], b"\xFFa"),
            (&[0xFEFF, 0xD800, 0xD800, 0xDC00], b"\xFF\xF0\x90\x80\x80"),
            (&[0xFEFF, 0x61, 0xD800], b"a\xFF"),
        ] {
            for chunk in 1..9 {
                assert_eq!(decoded(&utf16(units, false), chunk).as_deref(), Some(expected), "{units:x?} {chunk}");
            }
        }
        assert_eq!(decoded(b"\xFF\xFEa\0b", 2).as_deref(), Some(b"a\xFF".as_slice()));
    }

    #[test]
    fn everything_else_passes_through() {
        for text in [
            &b""[..],
            b"{",
            b"{}",
            b"\xEF\xBB\xBF{}",
            b"\xFF",
            b"\xFE\xFE",
            b"\0",
            b"\0\0\0\0",
            b"{\0\0\0",
            b"[\0a",
            b"\0{\0",
        ] {
            for chunk in 1..5 {
                assert_eq!(decoded(text, chunk).as_deref(), Some(text), "{text:?} {chunk}");
            }
        }
    }
}
