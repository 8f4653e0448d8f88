//! Loads named queries: those of `queries/explore`, and user files with the same header.
//!
//! ```text
//! -- id: top_denied_rules
//! -- title: Rules that deny the most flows
//! -- params: $limit integer = 20: rows to show
//! -- columns: rule, acl, denied_tuples
//! -- order: denied_tuples descending
//! SELECT ...
//! ```

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

static EXPLORE: Dir = include_dir!("$CARGO_MANIFEST_DIR/queries/explore");

/// Fields of a header, in order.
const FIELDS: [&str; 5] = ["id", "title", "params", "columns", "order"];

/// A query with the fields of its header. A field that the header lacks is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedQuery {
    /// Name of the query, and of its file without the extension.
    pub id: String,
    /// One sentence about the rows.
    pub title: String,
    /// Parameters in the order of the header.
    pub params: Vec<Param>,
    /// Names of the columns, as the header has them.
    pub columns: String,
    /// Order of the rows, as the header has it.
    pub order: String,
    /// Text of the file, including the header.
    pub sql: Cow<'static, str>,
}

/// A parameter of a query, used as `$name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Name without the `$`.
    pub name: String,
    /// Type of the values.
    pub kind: ParamKind,
    /// Default as the header has it; `null` is SQL null. Without a default the parameter is required.
    pub default: Option<String>,
    /// Description for the user; may be empty.
    pub meaning: String,
}

/// Type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// Signed integer of 64 bits.
    Integer,
    /// Any text.
    Text,
    /// Time in RFC 3339, or a day such as 2026-05-04.
    Time,
    /// IPv4 or IPv6 address.
    Address,
    /// CIDR block such as 10.20.1.0/24.
    Prefix,
}

impl ParamKind {
    const ALL: [(&str, ParamKind); 5] = [
        ("integer", ParamKind::Integer),
        ("text", ParamKind::Text),
        ("time", ParamKind::Time),
        ("address", ParamKind::Address),
        ("prefix", ParamKind::Prefix),
    ];

    /// Returns the name of the type in headers.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// Failure to load named queries.
#[derive(Debug, thiserror::Error)]
pub enum NamedQueryError {
    /// A file or folder cannot be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Cause.
        error: io::Error,
    },
    /// A header has a wrong id, a wrong parameter, or lacks a field.
    #[error("{}: {what}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Description of the fault.
        what: String,
    },
}

/// Returns the built-in queries, ordered by id. A header with a missing field is an error.
pub fn shipped() -> Result<Vec<NamedQuery>, NamedQueryError> {
    let mut queries = EXPLORE.files().map(shipped_query).collect::<Result<Vec<NamedQuery>, _>>()?;
    queries.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(queries)
}

fn shipped_query(file: &'static include_dir::File) -> Result<NamedQuery, NamedQueryError> {
    let wrong = |what| NamedQueryError::Header { path: Path::new("queries/explore").join(file.path()), what };
    let stem = file.path().file_stem().and_then(|stem| stem.to_str());
    let (Some(stem), Some(sql)) = (stem, file.contents_utf8()) else {
        return Err(wrong("its name or text is not UTF-8".to_owned()));
    };
    if let Some(field) = missing_field(sql) {
        return Err(wrong(format!("its header has no {field}")));
    }
    NamedQuery::parse(stem, Cow::Borrowed(sql)).map_err(wrong)
}

/// Returns the first field that is missing or empty in the header of a query.
fn missing_field(sql: &str) -> Option<&'static str> {
    let fields = FIELDS.into_iter().zip(header(sql));
    fields.into_iter().find(|(_, lines)| lines.iter().all(String::is_empty)).map(|(field, _)| field)
}

/// Returns the queries in the `*.sql` files of a folder, ordered by id. Fails if one cannot be read or has a malformed
/// header.
pub fn of_folder(folder: &Path) -> Result<Vec<NamedQuery>, NamedQueryError> {
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |error| NamedQueryError::Io { path, error }
    };
    let mut queries = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let path = entry.map_err(io_error(folder))?.path();
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if path.extension().is_none_or(|ending| ending != "sql") {
            continue;
        }
        let sql = fs::read_to_string(&path).map_err(io_error(&path))?;
        let query = NamedQuery::parse(stem, Cow::Owned(sql));
        queries.push(query.map_err(|what| NamedQueryError::Header { path: path.clone(), what })?);
    }
    queries.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(queries)
}

impl NamedQuery {
    /// Parses a file with the name `stem` (without extension). Missing header fields are empty, and the id is the name.
    fn parse(stem: &str, sql: Cow<'static, str>) -> Result<Self, String> {
        let [id, title, params, columns, order] = header(&sql);
        let id = id.into_iter().next().unwrap_or_else(|| stem.to_owned());
        if id != stem {
            return Err(format!("its header says id {id}: name the file {id}.sql"));
        }
        let params = params.iter().filter(|line| !line.is_empty() && *line != "none");
        Ok(Self {
            title: title.join(" "),
            params: params.map(|line| Param::parse(line)).collect::<Result<_, _>>()?,
            columns: columns.join(" "),
            order: order.join(" "),
            id,
            sql,
        })
    }
}

/// Returns the lines per field of [`FIELDS`].
fn header(sql: &str) -> [Vec<String>; FIELDS.len()] {
    let mut fields: [Vec<String>; FIELDS.len()] = Default::default();
    let mut current = None;
    for line in sql.lines().map_while(|line| line.strip_prefix("--")) {
        let begun = line
            .trim_start()
            .split_once(':')
            .and_then(|(key, rest)| Some((FIELDS.iter().position(|field| *field == key)?, rest.trim())));
        match (begun, current) {
            (Some((field, rest)), _) => {
                current = Some(field);
                fields[field].push(rest.to_owned());
            }
            // A field continues in lines with more indentation.
            (None, Some(field)) if line.starts_with("   ") => fields[field].push(line.trim().to_owned()),
            _ => current = None,
        }
    }
    fields
}

impl Param {
    /// Parses `$name KIND [= DEFAULT]: meaning`.
    fn parse(line: &str) -> Result<Self, String> {
        let wrong = || format!("'{line}' is no parameter such as '$limit integer = 20: rows to show'");
        let (name, rest) = line.strip_prefix('$').and_then(|rest| rest.split_once(' ')).ok_or_else(wrong)?;
        let (declared, meaning) = match rest.split_once(": ") {
            Some((declared, meaning)) => (declared, meaning.trim()),
            None => (rest.trim_end_matches(':'), ""),
        };
        let (kind, default) = match declared.split_once('=') {
            Some((kind, default)) => (kind.trim(), Some(default.trim().to_owned())),
            None => (declared.trim(), None),
        };
        let known = ParamKind::ALL.iter().find(|(name, _)| *name == kind);
        let kinds = ParamKind::ALL.map(|(name, _)| name).join(", ");
        let (_, kind) = known.ok_or_else(|| format!("'{line}' has no kind of parameter: write one of {kinds}"))?;
        Ok(Self { name: name.to_owned(), kind: *kind, default, meaning: meaning.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_header_can_be_read() {
        let queries = shipped().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(queries.len(), EXPLORE.files().count());
    }

    #[test]
    fn a_header_lacks_what_it_does_not_have_or_misspells() {
        const WHOLE: &str = "-- id: q\n-- title: What\n-- params: none\n-- columns: n\n-- order: n\nSELECT 1 AS n";
        assert_eq!(missing_field(WHOLE), None);
        for field in FIELDS {
            assert_eq!(missing_field(&WHOLE.replace(&format!("-- {field}:"), "-- other:")), Some(field));
        }
        assert_eq!(missing_field(&WHOLE.replace("What", "")), Some("title"));
    }

    #[test]
    fn headers_are_read_and_errors_say_what_to_write() {
        let parse = |sql: &'static str| NamedQuery::parse("q", Cow::Borrowed(sql));
        let query = parse(
            "-- id: q\n-- title: What\n-- params: $n integer = 20: how many\n--         $at time: when\n-- more: words\nSELECT 1",
        );
        let query = query.expect("a header");
        let shown: Vec<_> =
            query.params.iter().map(|p| (p.name.as_str(), p.kind.name(), p.default.as_deref())).collect();
        assert_eq!(shown, [("n", "integer", Some("20")), ("at", "time", None)]);
        assert_eq!(parse("SELECT 1").map(|query| query.params), Ok(vec![]));
        let error = parse("-- params: $n int: x\nSELECT 1").expect_err("no kind");
        assert!(error.ends_with("write one of integer, text, time, address, prefix"), "{error}");
        assert!(parse("-- id: other\nSELECT 1").is_err());
    }
}
