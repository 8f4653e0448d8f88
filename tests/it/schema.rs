//! `docs/analysis.schema.json` and `docs/check.schema.json`: every analysis and every check that a test prints is valid by
//! them, and an analysis reads back byte-equal.

use std::sync::LazyLock;

use flowgap::findings::Analysis;
use flowgap::findings::history::Changes;
use flowgap::report::{Document, Format, Style, report};
use serde_json::{Value, json};

use crate::support::binary::root;

static ANALYSIS: LazyLock<Value> = LazyLock::new(|| schema("docs/analysis.schema.json"));
static CHECK: LazyLock<Value> = LazyLock::new(|| schema("docs/check.schema.json"));

fn schema(path: &str) -> Value {
    let text = std::fs::read(root().join(path)).expect("the schema");
    serde_json::from_slice(&text).expect("JSON")
}

/// Checks what `flowgap analyze --format json` printed.
pub fn check(text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_valid(&value, &ANALYSIS);
    let analysis: Analysis = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let changes: Option<Changes> = serde_json::from_value(value["changes"].clone()).expect("changes");
    let style = Style { top: 0, ..Style::PLAIN };
    let mut again = Vec::new();
    let document = Document { analysis: &analysis, changes: changes.as_ref() };
    report(Format::Json, style).write(&document, &mut again).expect("written");
    let again = String::from_utf8(again).expect("UTF-8");
    let difference = || again.lines().zip(text.lines()).find(|(a, b)| a != b);
    assert!(again == text, "reads back otherwise: {:?}", difference());
}

/// Checks what `flowgap check --format json` printed.
pub fn check_of_rules(text: &str) {
    assert_valid(&serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}")), &CHECK);
}

fn assert_valid(value: &Value, schema: &'static Value) {
    let errors = errors(value, schema);
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

/// Violations of a schema, each with its path.
fn errors(value: &Value, schema: &'static Value) -> Vec<String> {
    let mut errors = Vec::new();
    validate("", value, schema, schema, &mut errors);
    errors
}

/// Knows the keywords that the schemas use; any other keyword fails the test. References lead into `whole`.
fn validate(path: &str, value: &Value, schema: &Value, whole: &Value, errors: &mut Vec<String>) {
    let number = |value: &Value| value.as_f64().expect("a number");
    for (keyword, given) in schema.as_object().expect("a schema is an object") {
        let is_valid = match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let target = given.as_str().and_then(|name| whole.pointer(name.strip_prefix('#')?));
                validate(path, value, target.unwrap_or_else(|| panic!("{given} leads nowhere")), whole, errors);
                true
            }
            "const" => value == given,
            "enum" => list(given).contains(value),
            "type" => types(given).iter().any(|name| is_of(value, name)),
            "anyOf" => list(given).iter().any(|one| {
                let mut own = Vec::new();
                validate(path, value, one, whole, &mut own);
                own.is_empty()
            }),
            "minimum" => value.as_f64().is_none_or(|n| n >= number(given)),
            "maximum" => value.as_f64().is_none_or(|n| n <= number(given)),
            "minItems" => value.as_array().is_none_or(|items| items.len() as f64 >= number(given)),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as f64 <= number(given)),
            "pattern" => value.as_str().is_none_or(|text| matches(text, given.as_str().expect("a pattern"))),
            "items" => {
                let items = value.as_array().into_iter().flatten();
                items.enumerate().for_each(|(nr, item)| validate(&format!("{path}/{nr}"), item, given, whole, errors));
                true
            }
            "required" => {
                let is_there = |key: &Value| key.as_str().is_some_and(|key| value.get(key).is_some());
                list(given).iter().all(is_there)
            }
            "properties" => {
                for (key, schema) in given.as_object().expect("properties") {
                    if let Some(value) = value.get(key) {
                        validate(&format!("{path}/{key}"), value, schema, whole, errors);
                    }
                }
                true
            }
            "additionalProperties" if *given == json!(false) => {
                let known = schema["properties"].as_object().expect("properties");
                value.as_object().is_none_or(|keys| keys.keys().all(|key| known.contains_key(key)))
            }
            other => panic!("the schema uses '{other}', which this test does not know"),
        };
        if !is_valid {
            errors.push(format!("{path}: {value} breaks {keyword}: {given}"));
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn types(given: &Value) -> Vec<&str> {
    match given {
        Value::String(one) => vec![one],
        several => list(several).iter().filter_map(Value::as_str).collect(),
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type {other}"),
    }
}

/// Matches `^...$` of characters, escaped characters and classes, each with an optional count: `^[0-9]{4}-a\.b$`.
fn matches(text: &str, pattern: &str) -> bool {
    let pattern = pattern.strip_prefix('^').and_then(|p| p.strip_suffix('$')).expect("a whole text");
    let mut text = text.chars();
    let mut rest = pattern.chars().peekable();
    while let Some(first) = rest.next() {
        let class: Vec<char> = match first {
            '[' => rest.by_ref().take_while(|c| *c != ']').collect(),
            '\\' => rest.next().into_iter().collect(),
            plain => vec![plain],
        };
        let count: usize = if rest.next_if_eq(&'{').is_some() {
            rest.by_ref().take_while(|c| *c != '}').collect::<String>().parse().expect("a count")
        } else {
            1
        };
        for _ in 0..count {
            if !text.next().is_some_and(|c| holds(&class, c)) {
                return false;
            }
        }
    }
    text.next().is_none()
}

/// Whether a class, such as `0-9a-f`, holds a character.
fn holds(class: &[char], character: char) -> bool {
    match class {
        [low, '-', high, rest @ ..] => (low..=high).contains(&&character) || holds(rest, character),
        [one, rest @ ..] => *one == character || holds(rest, character),
        [] => false,
    }
}

#[test]
fn patterns_match_whole_texts() {
    for (pattern, text, is_match) in [
        ("^F-[0-9a-f]{8}$", "F-00c1ffee", true),
        ("^F-[0-9a-f]{8}$", "F-00c1ffee0", false),
        ("^F-[0-9a-f]{8}$", "F-00C1FFEE", false),
        ("^[0-9]{2}\\.a$", "12.a", true),
        ("^[0-9]{2}\\.a$", "12xa", false),
    ] {
        assert_eq!(matches(text, pattern), is_match, "{pattern} {text}");
    }
}

/// Calls `edit` with every object of a value, wherever it is.
fn each_object(value: &mut Value, edit: &mut dyn FnMut(&mut serde_json::Map<String, Value>)) {
    match value {
        Value::Object(keys) => {
            edit(keys);
            keys.values_mut().for_each(|value| each_object(value, edit));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_object(item, edit)),
        _ => {}
    }
}

/// Returns the value with its object number `nr` edited.
fn edited(value: &Value, nr: usize, edit: fn(&mut serde_json::Map<String, Value>)) -> Value {
    let (mut value, mut place) = (value.clone(), 0);
    each_object(&mut value, &mut |keys| {
        if place == nr {
            edit(keys);
        }
        place += 1;
    });
    value
}

#[test]
fn a_missing_or_an_unknown_key_is_refused_everywhere() {
    let golden = std::fs::read_to_string(root().join("tests/golden/apim.json")).expect("a golden");
    check(&golden);
    assert!(refuses_other_keys(&golden, &ANALYSIS) > 100);
    let golden = std::fs::read_to_string(root().join("tests/golden/check.json")).expect("a golden");
    check_of_rules(&golden);
    assert!(refuses_other_keys(&golden, &CHECK) > 50);
    for (name, own) in CHECK["$defs"].as_object().expect("definitions") {
        // What both have in common is the same.
        let is_common = ["fix", "simulated", "newly_allowed", "service_tags", "severity"].contains(&name.as_str());
        assert!(!is_common || *own == ANALYSIS["$defs"][name], "{name}");
    }
}

/// Returns the number of objects of a golden, each of which must have the keys of the schema and no other.
fn refuses_other_keys(golden: &str, schema: &'static Value) -> usize {
    let golden: Value = serde_json::from_str(golden).expect("JSON");
    let mut objects = 0;
    each_object(&mut golden.clone(), &mut |_| objects += 1);
    for nr in 0..objects {
        let lacking = edited(&golden, nr, |keys| {
            let first = keys.keys().next().cloned();
            first.map(|key| keys.remove(&key));
        });
        let larger = edited(&golden, nr, |keys| {
            keys.insert("unknown".to_owned(), Value::Null);
        });
        for value in [lacking, larger] {
            assert!(!errors(&value, schema).is_empty(), "object {nr}");
        }
    }
    objects
}

#[test]
fn names_and_numbers_that_cannot_be_are_refused() {
    let golden = std::fs::read_to_string(root().join("tests/golden/apim.json")).expect("a golden");
    let golden: Value = serde_json::from_str(&golden).expect("JSON");
    for (path, wrong) in [
        ("/schema", json!("flowgap.analysis/2")),
        ("/status/word", json!("FINE")),
        ("/findings/0/verdict", json!("unknown")),
        ("/findings/0/direction", json!("both")),
        ("/findings/0/rule_origin", Value::Null),
        ("/findings/0/first_denied", json!("yesterday")),
        ("/findings/0/ports/0", json!(65_536)),
        ("/findings/0/denied_tuples", json!(0.5)),
        ("/findings/0/fix/kind", json!("reboot")),
        ("/coverage/0/verdict", json!("fine")),
        ("/notices/0/code", json!("note")),
        ("/scope/vnet_mode", json!("both")),
    ] {
        let mut value = golden.clone();
        *value.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = wrong;
        assert_eq!(errors(&value, &ANALYSIS).len(), 1, "{path}");
        assert!(serde_json::from_value::<Analysis>(value).is_err(), "{path}");
    }
}

#[test]
fn the_text_report_is_made_of_the_json_alone() {
    let golden = |name: &str| std::fs::read_to_string(root().join("tests/golden").join(name)).expect("a golden");
    let analysis: Analysis = serde_json::from_str(&golden("apim.json")).expect("an analysis");
    for (format, is_detailed, name) in [
        (Format::Text, false, "apim.txt"),
        (Format::Text, true, "apim-details.txt"),
        (Format::Markdown, false, "apim.md"),
        (Format::Csv, false, "apim.csv"),
    ] {
        let style = Style { is_detailed, ..Style::PLAIN };
        let mut text = Vec::new();
        report(format, style).write(&Document::new(&analysis), &mut text).expect("written");
        assert_eq!(String::from_utf8(text).expect("UTF-8"), golden(name), "{name}");
    }
}
