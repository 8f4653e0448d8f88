//! A JSON value with its place, read leniently: keys in any case and with or without underscores, and an object where a
//! list of one is meant. Azure's tools differ in all of that.

use serde_json::{Map, Value};

/// A value, and the JSON pointer to it.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    value: &'a Value,
    pointer: String,
}

impl<'a> Node<'a> {
    /// Returns the root of a document.
    pub fn root(value: &'a Value) -> Self {
        Self::at(value, String::new())
    }

    /// Returns a value at a place.
    pub fn at(value: &'a Value, pointer: String) -> Self {
        Self { value, pointer }
    }

    /// Returns the JSON pointer.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Returns the value.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// Returns the keys and values of an object; `None` for any other value.
    pub fn object(&self) -> Option<&'a Map<String, Value>> {
        self.value.as_object()
    }

    /// Returns the value of a key that is not null. `key` is in lower case without underscores.
    pub fn get(&self, key: &str) -> Option<Node<'a>> {
        let found = self.object()?.iter().find(|(name, value)| !value.is_null() && is_key(name, key));
        found.map(|(name, value)| self.child(name, value))
    }

    /// Returns the value at the end of a path of keys.
    pub fn path(&self, keys: &[&str]) -> Option<Node<'a>> {
        keys.iter().try_fold(self.clone(), |node, key| node.get(key))
    }

    /// Returns whether the object has a key, whatever its value.
    pub fn has(&self, key: &str) -> bool {
        self.object().is_some_and(|keys| keys.keys().any(|name| is_key(name, key)))
    }

    /// Returns the elements of a list. An object or a text is a list of one, and PowerShell wraps lists in `value`.
    pub fn items(&self) -> Vec<Node<'a>> {
        match self.value {
            Value::Array(items) => {
                let place = |nr: usize| format!("{}/{nr}", self.pointer);
                items.iter().enumerate().map(|(nr, item)| Self::at(item, place(nr))).collect()
            }
            Value::Object(keys) if keys.len() == 2 && self.has("count") && self.has("value") => {
                self.get("value").map(|list| list.items()).unwrap_or_default()
            }
            Value::Null => Vec::new(),
            _ => vec![self.clone()],
        }
    }

    /// Returns the elements of the list at a key; none if the key is absent.
    pub fn list(&self, key: &str) -> Vec<Node<'a>> {
        self.get(key).map(|list| list.items()).unwrap_or_default()
    }

    /// Returns a text, number or truth value as text; `None` for an empty text and for any other value.
    pub fn text(&self) -> Option<String> {
        match self.value {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(is) => Some(is.to_string()),
            _ => None,
        }
    }

    /// Returns the text at a key.
    pub fn text_of(&self, key: &str) -> Option<String> {
        self.get(key)?.text()
    }

    /// Returns whether the value at a key is `true`, or the text of it.
    pub fn flag(&self, key: &str) -> bool {
        self.text_of(key).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// Returns the texts at a key, which holds one text or a list of them. Empty texts are left out.
    pub fn texts(&self, key: &str) -> Vec<String> {
        self.list(key).iter().filter_map(Node::text).collect()
    }

    fn child(&self, name: &str, value: &'a Value) -> Node<'a> {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        Self::at(value, format!("{}/{escaped}", self.pointer))
    }
}

/// Returns whether a name is a key without its case and underscores.
fn is_key(name: &str, key: &str) -> bool {
    let plain = name.bytes().filter(|byte| *byte != b'_').map(|byte| byte.to_ascii_lowercase());
    plain.eq(key.bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_and_lists_of_every_tool_are_one() {
        let value = json!({
            "Source_Address_Prefix": "10.0.0.0/8", "empty": "", "nothing": null, "Nothing": 5,
            "rules": { "value": [{ "a/b": 1 }], "Count": 1 }, "one": { "name": "x" },
        });
        let root = Node::root(&value);
        assert_eq!(root.texts("sourceaddressprefix"), ["10.0.0.0/8"]);
        assert_eq!((root.text_of("empty"), root.text_of("nothing").as_deref()), (None, Some("5")));
        assert_eq!(root.list("rules")[0].get("a/b").expect("a key").pointer(), "/rules/value/0/a~1b");
        assert_eq!(root.list("one").len(), 1);
    }
}
