//! A reader of the Bicep that the recipe uses. It stands in for the compiler, which is not to be had here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// Key of an object that holds an expression as text.
pub const EXPRESSION: &str = "=";

const FUNCTIONS: [&str; 3] = ["json", "loadTextContent", "resourceGroup"];

#[derive(Default)]
pub struct Template {
    parameters: BTreeSet<String>,
    secure: BTreeSet<String>,
    pub resources: BTreeMap<String, Resource>,
    /// Names in expressions.
    used: BTreeSet<String>,
}

pub struct Resource {
    /// Type and version.
    pub kind: String,
    pub is_existing: bool,
    pub body: Value,
}

impl Template {
    /// Names that are used and that nothing declares.
    pub fn unknown(&self) -> Vec<&str> {
        let is_known = |name: &str| {
            self.parameters.contains(name) || self.resources.contains_key(name) || FUNCTIONS.contains(&name)
        };
        self.used.iter().map(String::as_str).filter(|name| !is_known(name)).collect()
    }

    /// Parameters and resources of others that nothing uses.
    pub fn unused(&self) -> Vec<&str> {
        let existing = self.resources.iter().filter(|(_, resource)| resource.is_existing).map(|(name, _)| name);
        let declared = self.parameters.iter().chain(existing);
        declared.filter(|name| !self.used.contains(*name)).map(String::as_str).collect()
    }

    pub fn is_secure(&self, parameter: &str) -> bool {
        self.secure.contains(parameter)
    }

    pub fn container(&self) -> &Value {
        &self.resources["job"].body["properties"]["template"]["containers"][0]
    }
}

/// Reads a template. Panics at what it does not know.
pub fn read(text: &str) -> Template {
    let mut reader = Reader { rest: text, used: BTreeSet::new() };
    let mut template = Template::default();
    let mut decorators = String::new();
    loop {
        reader.skip_lines();
        if reader.rest.is_empty() {
            template.used = reader.used;
            return template;
        }
        if reader.rest.starts_with('@') {
            decorators += reader.line();
            continue;
        }
        let keyword = reader.word();
        let name = reader.word();
        match keyword.as_str() {
            "param" => {
                let kind = reader.word();
                assert!(["string", "int", "bool"].contains(&kind.as_str()), "{name} is {kind}");
                assert!(decorators.contains("@description("), "{name} has no description");
                if reader.takes("=") {
                    reader.value();
                }
                if decorators.contains("@secure()") {
                    template.secure.insert(name.clone());
                }
                assert!(template.parameters.insert(name), "a parameter is declared once");
            }
            "resource" => {
                let kind = reader.text();
                let (path, version) = kind.split_once('@').expect("a version");
                assert!(path.starts_with("Microsoft.") && path.contains('/'), "{kind}");
                assert!(version.len() == 10 && version.starts_with("20"), "{kind}");
                let is_existing = reader.takes("existing");
                assert!(reader.takes("="), "{name} has a body");
                let resource = Resource { kind, is_existing, body: reader.value() };
                assert!(template.resources.insert(name, resource).is_none(), "a resource is declared once");
            }
            "output" => {
                reader.word();
                assert!(reader.takes("="), "{name} has a value");
                reader.value();
            }
            other => panic!("a declaration begins with {other}"),
        }
        decorators.clear();
        reader.end_line();
    }
}

struct Reader<'a> {
    rest: &'a str,
    used: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    /// Skips blank lines and comments.
    fn skip_lines(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with("//") {
                return;
            }
            self.line();
        }
    }

    fn line(&mut self) -> &'a str {
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        line
    }

    /// Bicep has one property, item or declaration a line.
    fn end_line(&mut self) {
        let line = self.line();
        assert!(line.trim().is_empty(), "{line:?} follows on the line of a value");
    }

    fn takes(&mut self, text: &str) -> bool {
        self.skip_spaces();
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn word(&mut self) -> String {
        self.skip_spaces();
        let end = self.rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        assert!(!word.is_empty(), "a word is missing before {:?}", rest.lines().next());
        self.rest = rest;
        word.to_owned()
    }

    fn text(&mut self) -> String {
        assert!(self.takes("'"), "a text is missing before {:?}", self.rest.lines().next());
        let (text, rest) = self.rest.split_once('\'').expect("an end of a text");
        assert!(!text.contains('\n') && !text.contains('\\'), "{text:?}");
        self.rest = rest;
        for hole in text.split("${").skip(1) {
            self.name(hole.split_once('}').expect("an end of an expression").0);
        }
        text.to_owned()
    }

    /// Remembers the first name of an expression such as `a.b.c`.
    fn name(&mut self, expression: &str) {
        let end = expression.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(expression.len());
        assert!(end > 0, "{expression:?} begins with a name");
        self.used.insert(expression[..end].to_owned());
    }

    fn value(&mut self) -> Value {
        self.skip_spaces();
        match self.rest.as_bytes().first() {
            Some(b'{') => self.object(),
            Some(b'[') => self.list(),
            Some(b'\'') => Value::String(self.text()),
            _ => self.expression(),
        }
    }

    fn object(&mut self) -> Value {
        let mut object = Map::new();
        self.rest = &self.rest[1..];
        loop {
            self.skip_lines();
            if self.takes("}") {
                return Value::Object(object);
            }
            let key = if self.rest.starts_with('\'') { self.text() } else { self.word() };
            assert!(self.takes(":"), "{key} has a value");
            let value = self.value();
            assert!(object.insert(key.clone(), value).is_none(), "{key} is given twice");
            self.end_line();
        }
    }

    fn list(&mut self) -> Value {
        let mut list = Vec::new();
        self.rest = &self.rest[1..];
        loop {
            self.skip_lines();
            if self.takes("]") {
                return Value::Array(list);
            }
            list.push(self.value());
            self.end_line();
        }
    }

    /// A number, a name with its members, or a call with at most one text.
    fn expression(&mut self) -> Value {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        let text = text.trim();
        if let Ok(number) = text.parse::<i64>() {
            return json!(number);
        }
        self.name(text);
        assert_eq!(text.matches('(').count(), text.matches(')').count(), "{text}");
        assert!(text.matches('\'').count() % 2 == 0 && !text.contains(' '), "{text}");
        json!({ EXPRESSION: text })
    }
}
