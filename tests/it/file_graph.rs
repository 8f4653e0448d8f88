//! Which source file imports from which: no file may need itself, by whatever way.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::sources;

/// The files below `src`: module path, such as `crate::source::list`, to code without comments.
fn modules() -> BTreeMap<String, String> {
    let code =
        |text: String| text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
    let module = |path: String| {
        let path = path.trim_end_matches(".rs").trim_end_matches("/mod").to_owned();
        format!("crate::{}", path.replace('/', "::"))
    };
    let files = sources().into_iter().filter(|(path, _)| path != "lib.rs" && path != "main.rs");
    files.map(|(path, text)| (module(path), code(text))).collect()
}

/// The paths of a `use` tree, without `as` names.
fn leaves(tree: &str, prefix: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return found.push(format!("{prefix}{path}").split_whitespace().collect());
    };
    let mut depth = 0;
    let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let is_end = |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    };
    let parts: Vec<&str> = inner.split(is_end).collect();
    parts
        .into_iter()
        .filter(|part| !part.trim().is_empty())
        .for_each(|part| leaves(part, &format!("{prefix}{head}"), found));
}

/// Statements `use ...;`, each with whether it is `pub`.
fn imports(code: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let line = &code[code[..at].rfind('\n').map_or(0, |end| end + 1)..at];
        let is_statement = line.trim().is_empty() || line.trim().starts_with("pub");
        if let (true, Some((tree, _))) = (is_statement, code[at + 4..].split_once(';')) {
            let mut paths = Vec::new();
            leaves(tree, "", &mut paths);
            found.extend(paths.into_iter().map(|path| (line.trim().starts_with("pub"), path)));
        }
    }
    found
}

/// Paths within the code, such as `super::counted`.
fn inline(code: &str) -> Vec<String> {
    let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c| !is_of_path(c));
    words.filter(|word| word.starts_with("crate::") || word.starts_with("super::")).map(str::to_owned).collect()
}

/// From the root, where a path leads out of `module`; `None` for other crates.
fn absolute(path: &str, module: &str, modules: &BTreeMap<String, String>) -> Option<String> {
    if path.starts_with("crate::") {
        return Some(path.to_owned());
    }
    let (mut base, mut rest) = (module, path.strip_prefix("self::").unwrap_or(path));
    while let Some(above) = rest.strip_prefix("super::") {
        (base, rest) = (base.rsplit_once("::")?.0, above);
    }
    let first = rest.split("::").next()?;
    let is_ours = rest != path || modules.contains_key(&format!("{base}::{first}"));
    is_ours.then(|| format!("{base}::{rest}"))
}

/// The module that a path leads to, through what modules pass on.
fn target(
    path: &str,
    modules: &BTreeMap<String, String>,
    passed_on: &BTreeMap<(String, String), String>,
) -> Option<String> {
    let mut path = path.to_owned();
    for _ in 0..8 {
        let mut module = path.as_str();
        while !modules.contains_key(module) {
            module = module.rsplit_once("::")?.0;
        }
        let name = path[module.len()..].trim_start_matches("::").split("::").next().unwrap_or_default();
        match passed_on.get(&(module.to_owned(), name.to_owned())) {
            Some(origin) if !name.is_empty() => path = origin.clone(),
            _ => return Some(module.to_owned()),
        }
    }
    None
}

/// A folder and what lies in it belong together: its `mod.rs` is a table of contents.
fn is_above(one: &str, other: &str) -> bool {
    other.strip_prefix(one).is_some_and(|rest| rest.starts_with("::"))
}

fn graph(modules: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let mut passed_on = BTreeMap::new();
    for (module, code) in modules {
        for (_, path) in imports(code).into_iter().filter(|(is_public, _)| *is_public) {
            let name = path.rsplit("::").next().unwrap_or_default().to_owned();
            passed_on.extend(absolute(&path, module, modules).map(|origin| ((module.clone(), name), origin)));
        }
    }
    let needs = |(module, code): (&String, &String)| {
        let paths = imports(code).into_iter().map(|(_, path)| path).chain(inline(code));
        let targets = paths.filter_map(|path| target(&absolute(&path, module, modules)?, modules, &passed_on));
        let others = targets.filter(|t| t != module && !is_above(t, module) && !is_above(module, t));
        (module.clone(), others.collect())
    };
    modules.iter().map(needs).collect()
}

/// The way from a module back to itself, if there is one.
fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut left: BTreeMap<&String, &BTreeSet<String>> = graph.iter().collect();
    // What needs nothing that is left is in no circle.
    while let Some(free) = left.iter().find(|(_, needs)| needs.iter().all(|n| !left.contains_key(n))).map(|(m, _)| *m) {
        left.remove(free);
    }
    let mut way = vec![(*left.keys().next()?).clone()];
    loop {
        let next = left[way.last()?].iter().find(|n| left.contains_key(n))?.clone();
        if let Some(start) = way.iter().position(|module| *module == next) {
            return Some(way.split_off(start));
        }
        way.push(next);
    }
}

#[test]
fn no_file_imports_in_a_circle() {
    let modules = modules();
    let graph = graph(&modules);
    let needed = |one: &str, other: &str| graph[one].contains(other);
    assert!(needed("crate::engine::scan::opener", "crate::source::read::ranges"), "{graph:#?}");
    assert!(needed("crate::source::store", "crate::source::azure::endpoint"), "{graph:#?}");
    assert_eq!(circle(&graph), None);
}

#[test]
fn a_circle_is_found() {
    let code = |text: &str| text.to_owned();
    let modules = BTreeMap::from([
        ("crate::a".to_owned(), code("pub use one::One;\n")),
        ("crate::a::one".to_owned(), code("use super::two::{\n    Two, Other as O,\n};\n")),
        ("crate::a::two".to_owned(), code("fn f() { crate::b::g() }\n")),
        ("crate::b".to_owned(), code("use std::fmt;\nuse crate::a::One;\n")),
    ]);
    let found = circle(&graph(&modules)).expect("a circle");
    assert_eq!(found.len(), 3, "{found:?}");
    let apart = modules.into_iter().filter(|(module, _)| module != "crate::b").collect();
    assert_eq!(circle(&graph(&apart)), None);
}
