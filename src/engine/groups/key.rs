//! Numbers for distinct values, and keys of groups made of these numbers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Key of a group: every property in which groups differ, as a number.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Index of the subnet in the scope; while the scope is unknown, index in the known addresses.
    pub local: u32,
    /// Index in the known addresses, or [`NO_ADDRESS`] if the peer cannot turn out to be local.
    pub peer_local: u32,
    /// Index in the known classes of peers.
    pub class: u32,
    /// Index in the known rules.
    pub rule: u32,
    /// Destination port, or [`NO_PORT`] if no requirement names it and the flow is allowed or from the Internet.
    pub port: u32,
    /// Source port, or [`NO_PORT`] if no requirement names it.
    pub src_port: u32,
    pub protocol: u8,
    pub direction: u8,
    pub is_far: bool,
    pub is_denied: bool,
    /// Whether the flow is an answered call of a client on the Internet: two packets or more each way.
    pub is_call: bool,
    pub state: u8,
    pub answer: u8,
}

/// A key packed into three words, which is fast to compare and to hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed([u64; 3]);

impl Hash for Packed {
    #[inline(always)]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.iter().for_each(|&word| hasher.write_u64(word));
    }
}

pub const NO_PORT: u32 = 0x1_0000;
/// Index beyond every list of addresses, because none holds that many.
pub const NO_ADDRESS: u32 = u32::MAX;

impl Key {
    #[inline(always)]
    pub fn pack(&self) -> Packed {
        Packed([
            u64::from(self.local) << 32 | u64::from(self.peer_local),
            u64::from(self.class) << 32 | u64::from(self.rule),
            u64::from(self.port) << 40
                | u64::from(self.src_port) << 20
                | u64::from(self.is_call) << 16
                | u64::from(self.protocol) << 8
                | u64::from(self.direction) << 6
                | u64::from(self.is_far) << 5
                | u64::from(self.is_denied) << 4
                | u64::from(self.state) << 2
                | u64::from(self.answer),
        ])
    }
}

impl Packed {
    /// Returns the key of the group's steps, equal for groups that differ only in rule, state, answer and `is_call`.
    pub fn of_steps(&self) -> Self {
        const STATE_ANSWER_CALL: u64 = 0x1_000f;
        let Packed([ends, what, flags]) = *self;
        Self([ends, what & !u64::from(u32::MAX), flags & !STATE_ANSWER_CALL])
    }

    pub fn unpack(&self) -> Key {
        let Packed([ends, what, flags]) = *self;
        Key {
            local: (ends >> 32) as u32,
            peer_local: ends as u32,
            class: (what >> 32) as u32,
            rule: what as u32,
            port: (flags >> 40) as u32 & 0x1_ffff,
            src_port: (flags >> 20) as u32 & 0x1_ffff,
            protocol: (flags >> 8) as u8,
            direction: (flags >> 6 & 3) as u8,
            is_far: flags >> 5 & 1 == 1,
            is_denied: flags >> 4 & 1 == 1,
            is_call: flags >> 16 & 1 == 1,
            state: (flags >> 2 & 3) as u8,
            answer: (flags & 3) as u8,
        }
    }
}

/// Hasher with one multiplication per word. It does not resist chosen collisions, because there is nothing to gain by
/// them.
#[derive(Debug, Default)]
pub struct MulHasher(u64);

impl Hasher for MulHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|&word| self.write_u64(u64::from_le_bytes(word)));
        rest.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    #[inline(always)]
    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128;
        self.0 = (product ^ product >> 64) as u64;
    }

    fn write_u128(&mut self, word: u128) {
        self.write_u64(word as u64);
        self.write_u64((word >> 64) as u64);
    }
}

/// A number, or another value, per distinct value.
pub type Seen<T, V = u32> = HashMap<T, V, BuildHasherDefault<MulHasher>>;

/// Distinct values, each with its index in `all` as its number.
#[derive(Debug)]
pub struct Interner<T> {
    numbers: Seen<T>,
    pub all: Vec<T>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { numbers: HashMap::default(), all: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    #[inline(always)]
    pub fn number(&mut self, value: &T) -> u32 {
        if let Some(&number) = self.numbers.get(value) {
            return number;
        }
        self.add(value)
    }

    #[cold]
    fn add(&mut self, value: &T) -> u32 {
        let number = self.all.len() as u32;
        self.all.push(value.clone());
        self.numbers.insert(value.clone(), number);
        number
    }

    pub fn get(&self, number: u32) -> &T {
        &self.all[number as usize]
    }
}
