//! Resolves the expressions that templates of Azure Resource Manager use in names: `[concat(parameters('x'), '/rule')]`.
//! Anything else stays as written, and its last literal part still tells the name of the resource.

use std::collections::BTreeMap;

use super::node::Node;

/// Maximum number of expressions inside each other.
const DEEPEST: usize = 16;
/// Maximum length of a resolved text.
const LONGEST: usize = 4096;

/// Values of the parameters and variables of a template.
#[derive(Debug, Clone, Default)]
pub struct Names {
    values: BTreeMap<String, Vec<String>>,
}

impl Names {
    /// Reads the defaults of the parameters, and the variables that are texts.
    pub fn of_template(template: &Node) -> Self {
        let mut values = BTreeMap::new();
        let mut add = |kind: &str, name: &str, value: Node| {
            let texts: Vec<String> = value.items().iter().filter_map(Node::text).collect();
            if !texts.is_empty() {
                values.insert(format!("{kind} {}", name.to_ascii_lowercase()), texts);
            }
        };
        for (kind, default) in [("parameters", "defaultvalue"), ("variables", "")] {
            let Some(list) = template.get(kind) else { continue };
            for (name, value) in list.object().into_iter().flatten() {
                let node = Node::at(value, String::new());
                match default {
                    "" => add(kind, name, node),
                    key => node.get(key).into_iter().for_each(|node| add(kind, name, node)),
                }
            }
        }
        Self { values }
    }

    /// Returns the text of an expression, or the text as it is if it is none or cannot be resolved.
    pub fn resolve(&self, text: &str) -> String {
        match expression(text).and_then(|inner| self.evaluate(inner, 0)) {
            Some(texts) if texts.len() == 1 => texts.concat(),
            _ => text.to_owned(),
        }
    }

    /// Returns the texts of an expression that may be a list.
    pub fn resolve_list(&self, text: &str) -> Vec<String> {
        expression(text).and_then(|inner| self.evaluate(inner, 0)).unwrap_or_else(|| vec![text.to_owned()])
    }

    /// Returns the last part of a name such as `group/rule`. For an expression, its last literal part.
    pub fn leaf<'a>(&self, name: &'a str) -> &'a str {
        match expression(name) {
            Some(inner) => literal_argument(inner).unwrap_or(name),
            None => name.rsplit('/').next().unwrap_or(name),
        }
    }

    /// Returns the name of the resource that a child with this name belongs to: `group` of `group/rule`. For an
    /// expression, all but its last literal part.
    pub fn parent(&self, name: &str) -> String {
        let Some(inner) = expression(name) else {
            return name.rsplit_once('/').map(|(parent, _)| parent.to_owned()).unwrap_or_default();
        };
        let arguments = call(inner).filter(|(name, _)| name.eq_ignore_ascii_case("concat")).map(|(_, list)| list);
        let first = arguments.as_ref().and_then(|list| list.first().copied()).or_else(|| {
            let (name, list) = call(inner)?;
            name.eq_ignore_ascii_case("format").then(|| list.get(1).copied()).flatten()
        });
        first.map(|first| format!("[{}]", first.trim())).unwrap_or_else(|| name.to_owned())
    }

    fn evaluate(&self, text: &str, depth: usize) -> Option<Vec<String>> {
        let text = text.trim();
        if let Some(literal) = literal(text) {
            return Some(vec![literal]);
        }
        let (name, arguments) = call(text).filter(|_| depth < DEEPEST)?;
        let value = |text: &str| self.evaluate(text, depth + 1);
        let one = |text: &str| value(text).filter(|texts| texts.len() == 1).map(|texts| texts.concat());
        let short = |text: String| Some(vec![text]).filter(|texts| texts.concat().len() <= LONGEST);
        match (name.to_ascii_lowercase().as_str(), arguments.as_slice()) {
            (kind @ ("parameters" | "variables"), [argument]) => {
                let key = format!("{kind} {}", one(argument)?.to_ascii_lowercase());
                let texts = self.values.get(&key)?;
                match texts.as_slice() {
                    [text] => match expression(text) {
                        Some(inner) => value(inner),
                        None => Some(vec![text.clone()]),
                    },
                    texts => Some(texts.to_vec()),
                }
            }
            ("concat", arguments) => short(arguments.iter().map(|a| one(a)).collect::<Option<String>>()?),
            ("format", [form, arguments @ ..]) => {
                let values = arguments.iter().map(|a| one(a)).collect::<Option<Vec<_>>>()?;
                let place = |text: String, (nr, value): (usize, &String)| text.replace(&format!("{{{nr}}}"), value);
                short(values.iter().enumerate().fold(one(form)?, place))
            }
            ("tolower", [argument]) => short(one(argument)?.to_lowercase()),
            ("toupper", [argument]) => short(one(argument)?.to_uppercase()),
            ("string", [argument]) => value(argument),
            _ => None,
        }
    }
}

/// Returns what is between the brackets of an expression; `None` for a plain text.
fn expression(text: &str) -> Option<&str> {
    text.strip_prefix('[').filter(|rest| !rest.starts_with('[')).and_then(|rest| rest.strip_suffix(']'))
}

/// Returns the last argument of a call, if it is a literal, without what precedes its last slash.
fn literal_argument(text: &str) -> Option<&str> {
    let (name, arguments) = call(text)?;
    if name.eq_ignore_ascii_case("parameters") || name.eq_ignore_ascii_case("variables") {
        return None;
    }
    let inner = arguments.last()?.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    inner.rsplit('/').next().filter(|part| !part.is_empty())
}

/// Returns the text of a literal such as `'it''s'`.
fn literal(text: &str) -> Option<String> {
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let plain = inner.replace("''", "");
    (!plain.contains('\'')).then(|| inner.replace("''", "'"))
}

/// Splits a call into its name and arguments.
fn call(text: &str) -> Option<(&str, Vec<&str>)> {
    let (name, rest) = text.trim().split_once('(')?;
    let inner = rest.strip_suffix(')')?;
    let (mut depth, mut is_quoted, mut start) = (0_usize, false, 0);
    let mut arguments = Vec::new();
    for (at, letter) in inner.char_indices() {
        match letter {
            '\'' => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted => depth = depth.checked_sub(1)?,
            ',' if !is_quoted && depth == 0 => {
                arguments.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() || !arguments.is_empty() {
        arguments.push(&inner[start..]);
    }
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    (is_name && depth == 0 && !is_quoted).then_some((name, arguments))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_exports_are_resolved() {
        let template = json!({
            "parameters": { "nsg": { "defaultValue": "nsg-apim" }, "open": { "type": "string" } },
            "variables": { "rule": "[concat(parameters('nsg'), '-rule')]", "ports": ["80", "443"], "loop": "[variables('loop')]" },
        });
        let names = Names::of_template(&Node::root(&template));
        for (text, resolved) in [
            ("nsg-apim", "nsg-apim"),
            ("[parameters('nsg')]", "nsg-apim"),
            ("[concat(parameters('nsg'), '/allow, it''s')]", "nsg-apim/allow, it's"),
            ("[format('{0}/{1}', parameters('nsg'), 'x')]", "nsg-apim/x"),
            ("[toLower(variables('rule'))]", "nsg-apim-rule"),
            ("[parameters('open')]", "[parameters('open')]"),
            ("[variables('loop')]", "[variables('loop')]"),
            ("[concat('a', (]", "[concat('a', (]"),
            ("[[literal]", "[[literal]"),
        ] {
            assert_eq!(names.resolve(text), resolved);
        }
        assert_eq!(names.resolve_list("[variables('ports')]"), ["80", "443"]);
        for (name, parent, leaf) in [
            ("nsg-apim/allow", "nsg-apim", "allow"),
            ("[concat(parameters('open'), '/allow')]", "[parameters('open')]", "allow"),
            ("[format('{0}/{1}', parameters('open'), 'allow')]", "[parameters('open')]", "allow"),
        ] {
            assert_eq!((names.parent(name).as_str(), names.leaf(name)), (parent, leaf));
        }
        assert_eq!(names.leaf("[parameters('open')]"), "[parameters('open')]");
    }
}
