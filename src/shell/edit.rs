//! The line editor: prompt, history, multi-line input, completion, colours.

use std::borrow::Cow;

use nu_ansi_term::{Color, Style};
use reedline::{
    ColumnarMenu, Completer, DefaultHinter, EditCommand, Emacs, FileBackedHistory, Highlighter, InputMode, KeyCode,
    KeyModifiers, MenuBuilder, PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent, ReedlineMenu, Span,
    StyledText, Suggestion, ValidationResult, Validator, default_emacs_keybindings,
};

use super::command::{COMMANDS, Command};
use super::script::{ends_a_query, interjected};
use crate::answer::state_folder;
use crate::engine::Names;
use crate::queries::NamedQuery;
use crate::report::rows::RowFormat;

pub struct Prompt;

impl reedline::Prompt for Prompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed("flowgap")
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("> ")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("     -> ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!(" (search: {}) ", search.term))
    }
}

const MENU: &str = "completions";
const KEPT_LINES: usize = 2000;

/// Returns the editor, and the reason if its history cannot be saved.
pub fn editor(names: &Names, queries: &[NamedQuery]) -> (Reedline, Option<String>) {
    let has_color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut keys = default_emacs_keybindings();
    let complete = ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    keys.add_binding(KeyModifiers::ALT, KeyCode::Enter, ReedlineEvent::Edit(vec![EditCommand::InsertNewline]));
    // The completer sees the whole line, because tables are named after columns.
    let menu = ColumnarMenu::default().with_name(MENU).with_marker("> ").with_input_mode(InputMode::FullBuffer);
    let mut editor = Reedline::create()
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_completer(Box::new(SqlCompleter::new(names, queries)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_validator(Box::new(Whole))
        .with_ansi_colors(has_color)
        .use_bracketed_paste(true);
    if has_color {
        editor = editor
            .with_highlighter(Box::new(Colours))
            .with_hinter(Box::new(DefaultHinter::default().with_style(Style::new().fg(Color::DarkGray))));
    }
    match history() {
        Ok(history) => (editor.with_history(Box::new(history)), None),
        Err(why) => (editor, Some(why)),
    }
}

fn history() -> Result<FileBackedHistory, String> {
    let path = state_folder().ok_or("there is no home folder")?.join("history");
    FileBackedHistory::with_file(KEPT_LINES, path.clone()).map_err(|error| format!("{}: {error}", path.display()))
}

/// A query ends with `;` outside quotes and comments; a command ends with its line, also while a query is open.
struct Whole;

impl Validator for Whole {
    fn validate(&self, line: &str) -> ValidationResult {
        let line = line.trim();
        let is_command = Command::parse(line).is_some() || interjected(line).is_some();
        if line.is_empty() || is_command || ends_a_query(line) {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

const KEYWORDS: [&str; 49] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "USING",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "IS NULL",
    "IS NOT NULL",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "DISTINCT",
    "UNION ALL",
    "WITH",
    "DESC",
    "ASC",
    "NULLS LAST",
    "FILTER",
    "OVER",
    "PARTITION BY",
    "INTERVAL",
    "TIMESTAMP",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "DESCRIBE",
    "SHOW TABLES",
    "SUMMARIZE",
    "CREATE TEMP VIEW",
    "CREATE MACRO",
    "SHOW FUNCTIONS",
    "CAST",
    "TRUE",
    "FALSE",
    "NULL",
];

struct SqlCompleter {
    tables: Vec<(String, Vec<String>)>,
    functions: Vec<String>,
    queries: Vec<(String, Vec<String>)>,
}

impl SqlCompleter {
    fn new(names: &Names, queries: &[NamedQuery]) -> Self {
        let params = |query: &NamedQuery| query.params.iter().map(|param| format!("{}=", param.name)).collect();
        Self {
            tables: names.tables.clone(),
            functions: names.functions.clone(),
            queries: queries.iter().map(|query| (query.id.clone(), params(query))).collect(),
        }
    }

    /// Returns the completions of `word` after the text `before`.
    fn candidates(&self, before: &str, word: &str, line: &str) -> Vec<String> {
        let words: Vec<&str> = before.split_whitespace().collect();
        let tables = || self.tables.iter().map(|(name, _)| name.clone());
        match words.as_slice() {
            [] if word.starts_with('.') => {
                COMMANDS.iter().map(|(usage, _)| usage.split(' ').next().unwrap_or(usage).to_owned()).collect()
            }
            [".run"] if word.contains('-') => self.queries.iter().map(|(name, _)| name.replace('_', "-")).collect(),
            [".run"] => self.queries.iter().map(|(name, _)| name.clone()).collect(),
            [".run", name, ..] => {
                self.queries.iter().filter(|(id, _)| id == name).flat_map(|(_, params)| params.clone()).collect()
            }
            [".schema"] => tables().collect(),
            [".mode"] => RowFormat::NAMES.map(str::to_owned).to_vec(),
            [".help"] => vec!["functions".to_owned()],
            [".timer" | ".pager"] => vec!["on".to_owned(), "off".to_owned()],
            [command, ..] if command.starts_with('.') && *command != ".explain" => Vec::new(),
            [.., last] if ["FROM", "JOIN", "DESCRIBE"].iter().any(|before| last.eq_ignore_ascii_case(before)) => {
                tables().collect()
            }
            _ => match word.rsplit_once('.') {
                Some((table, _)) => {
                    let named = named_tables(line);
                    // A table, or its alias in the query.
                    let is_meant =
                        |name: &str| name == table || named.iter().any(|(of, alias)| *of == name && *alias == table);
                    let columns =
                        self.tables.iter().filter(|(name, _)| is_meant(name)).flat_map(|(_, columns)| columns);
                    columns.map(|column| format!("{table}.{column}")).collect()
                }
                None => {
                    let named = named_tables(line);
                    // Columns of the tables in the query, or of `flows` if it names none yet.
                    let is_named = |name: &str| named.iter().any(|(of, _)| *of == name);
                    let mut of: Vec<_> = self.tables.iter().filter(|(name, _)| is_named(name)).collect();
                    if of.is_empty() {
                        of = self.tables.iter().take(1).collect();
                    }
                    let columns = of.into_iter().flat_map(|(_, columns)| columns).cloned();
                    let functions = self.functions.iter().map(|name| format!("{name}("));
                    columns.chain(tables()).chain(KEYWORDS.map(str::to_owned)).chain(functions).collect()
                }
            },
        }
    }
}

/// Returns each word with the word after it, which may be its alias.
fn named_tables(line: &str) -> Vec<(&str, &str)> {
    let words: Vec<&str> = line
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')'))
        .filter(|word| !word.is_empty())
        .collect();
    let after = |nr: usize| words.get(nr).copied().unwrap_or_default();
    let alias = |nr: usize| if after(nr).eq_ignore_ascii_case("AS") { after(nr + 1) } else { after(nr) };
    words.iter().enumerate().map(|(nr, word)| (*word, alias(nr + 1))).collect()
}

impl Completer for SqlCompleter {
    fn complete(&mut self, line: &str, pos: usize) -> Vec<Suggestion> {
        let typed = line.get(..pos).unwrap_or(line);
        let start = typed
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.') || c == '-' && typed.starts_with(".run ")))
            .map_or(0, |at| at + typed[at..].chars().next().map_or(1, char::len_utf8));
        let word = &typed[start..];
        let lower = word.to_lowercase();
        let mut seen = Vec::new();
        let is_text = typed.matches('\'').count() % 2 == 1;
        let candidates = if is_text { Vec::new() } else { self.candidates(&typed[..start], word, line) };
        for candidate in candidates {
            if candidate.to_lowercase().starts_with(&lower) && !seen.contains(&candidate) {
                seen.push(candidate);
            }
        }
        if seen.is_empty() {
            // Without a completion, the menu would say that there are no records.
            let (value, span) = (word.to_owned(), Span::new(start, pos.max(start)));
            return vec![Suggestion { value, span, ..Suggestion::default() }];
        }
        let is_column = |value: &str| {
            let column = value.rsplit('.').next().unwrap_or(value);
            !value.starts_with('.')
                && self.tables.iter().any(|(_, columns)| columns.iter().any(|known| known == column))
        };
        let suggestion = |value: String| Suggestion {
            // A comma mostly follows a column.
            append_whitespace: !is_column(&value) && !value.ends_with(['(', '=']),
            span: Span::new(start, pos.max(start)),
            value,
            ..Suggestion::default()
        };
        seen.into_iter().map(suggestion).collect()
    }
}

struct Colours;

impl Highlighter for Colours {
    fn highlight(&self, line: &str, _: usize) -> StyledText {
        let mut styled = StyledText::new();
        let (plain, keyword, text) = (Style::new(), Style::new().bold(), Style::new().fg(Color::Green));
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let (end, style) = match first {
                '\'' => (rest[1..].find('\'').map_or(rest.len(), |at| at + 2), text),
                _ if is_part(first) => {
                    let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                    let is_keyword =
                        |keyword: &&str| keyword.split(' ').any(|part| part.eq_ignore_ascii_case(&rest[..end]));
                    (end, if KEYWORDS.iter().any(is_keyword) { keyword } else { plain })
                }
                _ => (first.len_utf8(), plain),
            };
            styled.push((style, rest[..end].to_owned()));
            rest = &rest[end..];
        }
        styled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completer_at(names: &Names, line: &str, at: usize) -> Vec<String> {
        SqlCompleter::new(names, &[]).complete(line, at).into_iter().map(|suggestion| suggestion.value).collect()
    }

    #[test]
    fn completion_offers_what_may_stand_there() {
        let names = Names {
            tables: vec![
                ("flows".into(), vec!["time".into(), "dst_port".into()]),
                ("findings".into(), vec!["rank".into()]),
            ],
            functions: vec!["date_trunc".into()],
        };
        let mut completer = SqlCompleter::new(&names, &[]);
        let mut complete = |line: &str| -> Vec<String> {
            completer.complete(line, line.len()).into_iter().map(|suggestion| suggestion.value).collect()
        };
        assert_eq!(complete("SELECT d"), ["dst_port", "DISTINCT", "DESC", "DESCRIBE", "date_trunc("]);
        assert_eq!(complete("SELECT * FROM f"), ["flows", "findings"]);
        assert_eq!(complete("SELECT findings.r"), ["findings.rank"]);
        assert_eq!(complete("select * from findings where ra"), ["rank"]);
        assert_eq!(complete("select x from flows f where f.ti"), ["f.time"]);
        assert_eq!(complete(".ta"), [".tables"]);
        assert_eq!((complete("SELECT 'd"), complete("SELECT zz")), (vec!["d".to_owned()], vec!["zz".to_owned()]));
        let behind = |line: &str, at: usize| completer_at(&names, line, at);
        assert_eq!(behind("SELECT ra FROM findings", 9), ["rank"]);
    }
}
