//! Records of odd shapes, made of the bytes of one try: each byte is a choice.

const TUPLES: [&str; 4] = [
    "1777881900000,10.20.1.4,192.0.2.7,50000,443,6,O,D,NX,0,0,0,0",
    "1777881900,10.20.1.4,192.0.2.7,50000,443,T,O,A,E,7,1158,12,8143",
    "1777881900001,2001:db8::1,192.0.2.7,1,2,17,I,B",
    "no \u{e9} tuple",
];
const SCOPE_KEYS: [&str; 8] = ["flows", "flowGroups", "flowTuples", "rule", "aclID", "mac", "Version", "x"];
const RECORD_KEYS: [&str; 10] = [
    "flowRecords",
    "properties",
    "macAddress",
    "category",
    "time",
    "metricName",
    "resourceId",
    "flowLogVersion",
    "flowLogResourceID",
    "x",
];
const MACS: [&str; 3] = ["00005E005321", "00-00-5e-00-53-21", "00005E005322"];
const CATEGORIES: [&str; 4] = ["FlowLogFlowEvent", "networksecuritygroupflowevent", "AuditEvent", " "];
/// Deeper scopes make a record bad, which the reference decoder does not know.
const DEEPEST: usize = 5;

pub struct Shape {
    pub blob: Vec<u8>,
    pub chunk: usize,
    pub batch_size: usize,
    pub macs: Vec<&'static str>,
}

struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Shape {
    pub fn of(input: &[u8]) -> Self {
        let mut choices = Choices(input.iter());
        let (chunk, batch_size) = (1 + choices.below(200), 1 + choices.below(9));
        let macs = if choices.below(4) == 0 { vec![MACS[0]] } else { Vec::new() };
        let (encoding, wrapping) = (choices.below(5), choices.below(5));
        let records: Vec<String> = (0..1 + choices.below(3)).map(|_| choices.record()).collect();
        let text = match wrapping {
            0 => format!("{{\"records\":[{}]}}", records.join(",")),
            1 => format!("[{}]", records.join(", ")),
            2 => records.join("\r\n"),
            3 => format!("{{\"Records\" : {}}}", records[0]),
            _ => format!("{{\"records\":[{{\"RECORDS\":{}}},{}]}}", records[0], records.join(",")),
        };
        let utf16 =
            |bytes: fn(u16) -> [u8; 2]| [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(bytes).collect();
        let blob = match encoding {
            0 => utf16(u16::to_le_bytes),
            1 => utf16(u16::to_be_bytes),
            2 => format!("\u{feff}{text}").into_bytes(),
            _ => text.into_bytes(),
        };
        Self { blob, chunk, batch_size, macs }
    }
}

impl Choices<'_> {
    /// 0 once there are no more.
    fn below(&mut self, count: usize) -> usize {
        self.0.next().map_or(0, |&byte| usize::from(byte) % count)
    }

    fn one<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    /// An object with some of these keys, none twice, in any order and case.
    fn object(&mut self, keys: &[&str], most: usize, value: impl Fn(&mut Self, &str) -> String) -> String {
        let mut used = Vec::new();
        let mut pairs = Vec::new();
        for _ in 0..self.below(most + 1) {
            let key = self.one(keys);
            if used.contains(&key) {
                continue;
            }
            used.push(key);
            let spelled = match self.below(6) {
                0 => key.to_uppercase(),
                1 => key.to_lowercase(),
                2 => format!("{}{}", key[..1].to_uppercase(), &key[1..]),
                _ => key.to_owned(),
            };
            pairs.push(format!("\"{spelled}\":{}", value(self, key)));
        }
        format!("{{{}}}", pairs.join(","))
    }

    fn record(&mut self) -> String {
        self.object(&RECORD_KEYS, 7, |choices, key| match key {
            "flowRecords" | "properties" => choices.value(0),
            "macAddress" => choices.name(&MACS),
            "category" => choices.name(&CATEGORIES),
            "metricName" => choices.name(&["Transactions"]),
            "time" => choices.name(&["2026-05-04T08:05:41.73Z", "2016-05-04T08:05:41Z", "now"]),
            "flowLogVersion" => choices.one(&["4", "4", "4", "2", "\"4\"", "4.0", "null"]).to_owned(),
            _ => choices.name(&["/a/b", "", "\\u00e9\\\\"]),
        })
    }

    fn scope(&mut self, depth: usize) -> String {
        self.object(&SCOPE_KEYS, 4, |choices, key| match key {
            "flows" | "flowGroups" if depth < DEEPEST => choices.value(depth + 1),
            "flows" | "flowGroups" => choices.value(usize::MAX),
            "flowTuples" => choices.tuples(),
            "Version" => choices.one(&["1", "2", "2", "3", "\"2\"", "2.0", "null"]).to_owned(),
            _ => choices.name(&["UserRule_x", "00005E005321", "\\n"]),
        })
    }

    /// A text, or seldom something else.
    fn name(&mut self, texts: &[&str]) -> String {
        match self.below(8) {
            0 => "null".to_owned(),
            1 => "[{\"y\":1}]".to_owned(),
            _ => format!("\"{}\"", self.one(texts)),
        }
    }

    fn odd(&mut self) -> String {
        self.one(&["null", "7", "true", "\"x\"", "[]", "{}", "[null]", "[[]]", "-1.5e3", "[{}]"]).to_owned()
    }

    /// What stands where a list of scopes is due.
    fn value(&mut self, depth: usize) -> String {
        match self.below(8) {
            _ if depth == usize::MAX => self.odd(),
            0 => self.odd(),
            1 | 2 => self.scope(depth),
            3 => format!("[{},{}]", self.scope(depth), self.odd()),
            _ => {
                let scopes: Vec<String> = (0..self.below(4)).map(|_| self.scope(depth)).collect();
                format!("[{}]", scopes.join(","))
            }
        }
    }

    fn tuples(&mut self) -> String {
        match self.below(6) {
            0 => self.odd(),
            1 => format!("\"{}\"", self.one(&TUPLES)),
            _ => {
                let tuples: Vec<String> = (0..self.below(5)).map(|_| format!("\"{}\"", self.one(&TUPLES))).collect();
                format!("[{}]", tuples.join(" ,"))
            }
        }
    }
}
