//! Commands of the shell, which begin with a dot.

use std::path::PathBuf;

use crate::report::rows::RowFormat;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Tables,
    Schema(Option<String>),
    Mode(Option<RowFormat>),
    Timer(bool),
    MaxRows(usize),
    Queries,
    Run {
        name: String,
        params: Vec<(String, String)>,
    },
    Explain(String),
    /// Writes the results of all later queries to a file, until it is called without one.
    Output(Option<PathBuf>),
    /// Writes the result of the next query to a file.
    Once(PathBuf),
    /// Runs the queries and commands of a file.
    Read(PathBuf),
    /// Width of tables; `None` for that of the terminal.
    Width(Option<usize>),
    /// Text for null; `None` for that of the format.
    NullValue(Option<String>),
    Pager(bool),
    Help,
    HelpFunctions,
    Quit,
}

/// Usage and help per command, for `.help` and completion.
pub const COMMANDS: [(&str, &str); 17] = [
    (".tables", "list tables with their columns"),
    (".schema [TABLE]", "list columns with their types"),
    (".queries", "list ready-made queries with their parameters"),
    (".run NAME [PARAM=VALUE]...", "run a ready-made query"),
    (".explain QUERY", "show the plan of a query, and what is pushed down to the scan"),
    (".mode [FORMAT]", "set the output format: table, lines, csv, tsv, json, ndjson, markdown"),
    (".maxrows N", "set the maximum number of rows that a table shows; 0 for all"),
    (".width [N]", "set the width of tables; that of the terminal by default"),
    (".nullvalue [TEXT]", "set the text for null; that of the format by default"),
    (".pager on|off", "page answers that are longer than the screen through PAGER"),
    (".once FILE", "write the result of the next query to a file"),
    (".output [FILE]", "write the results of all later queries to a file; without FILE, to the screen again"),
    (".read FILE", "run the queries and commands of a file"),
    (".timer on|off", "show row count and time after each result"),
    (".help", "show this help"),
    (".help functions", "list functions beyond standard SQL"),
    (".quit", "leave the shell, like Ctrl-D"),
];

impl Command {
    /// Parses a command. Returns `None` for a query, and an error if the command is unknown or its argument is wrong.
    pub fn parse(line: &str) -> Option<Result<Self, String>> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let name = line.split_whitespace().next()?;
        let rest = line[name.len()..].trim();
        match (name, rest) {
            ("quit" | "exit" | "\\q", "") => Some(Ok(Self::Quit)),
            ("help" | "?" | "\\?", "") => Some(Ok(Self::Help)),
            ("\\dt", "") | ("\\d", "") => Some(Ok(Self::Tables)),
            ("\\d", table) => Some(Ok(Self::Schema(Some(table.to_owned())))),
            ("\\i", _) => Some(file(".read", rest).map(Self::Read)),
            _ if name.starts_with('\\') => Some(Err(format!("there is no command {name}: .help lists them"))),
            _ => name.starts_with('.').then(|| Self::named(&name.to_lowercase(), rest)),
        }
    }

    fn named(name: &str, rest: &str) -> Result<Self, String> {
        let none = |command: Self| if rest.is_empty() { Ok(command) } else { Err(format!("{name} takes no argument")) };
        match name {
            ".tables" => none(Self::Tables),
            ".schema" => Ok(Self::Schema((!rest.is_empty()).then(|| rest.to_owned()))),
            ".queries" => none(Self::Queries),
            ".quit" | ".exit" => none(Self::Quit),
            ".help" if rest.is_empty() => Ok(Self::Help),
            ".help" if rest == "functions" => Ok(Self::HelpFunctions),
            ".help" => Err("write .help or .help functions".to_owned()),
            ".mode" if rest.is_empty() => Ok(Self::Mode(None)),
            ".mode" => match RowFormat::from_name(rest) {
                Some(format) if format.is_binary() => {
                    Err(format!("{rest} can only be written to a file: flowgap sql -c QUERY -o FILE"))
                }
                Some(format) => Ok(Self::Mode(Some(format))),
                None => Err(".mode takes table, lines, csv, tsv, json, ndjson or markdown".to_owned()),
            },
            ".timer" => switch(name, rest).map(Self::Timer),
            ".pager" => switch(name, rest).map(Self::Pager),
            ".output" if rest.is_empty() || rest == "stdout" => Ok(Self::Output(None)),
            ".output" => file(name, rest).map(|path| Self::Output(Some(path))),
            ".once" => file(name, rest).map(Self::Once),
            ".read" => file(name, rest).map(Self::Read),
            ".width" if rest.is_empty() || rest == "0" => Ok(Self::Width(None)),
            ".width" => {
                rest.parse().map(|width| Self::Width(Some(width))).map_err(|_| ".width takes a number".to_owned())
            }
            ".nullvalue" => Ok(Self::NullValue(words(rest).into_iter().next())),
            ".maxrows" => rest.parse().map(Self::MaxRows).map_err(|_| ".maxrows takes a number".to_owned()),
            ".run" => run(rest),
            ".explain" if rest.is_empty() => Err(".explain takes a query".to_owned()),
            ".explain" => Ok(Self::Explain(rest.to_owned())),
            _ => Err(format!("there is no command {name}: .help lists them")),
        }
    }
}

fn switch(name: &str, rest: &str) -> Result<bool, String> {
    match rest {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("write {name} on or {name} off")),
    }
}

fn file(name: &str, rest: &str) -> Result<PathBuf, String> {
    match words(rest).as_slice() {
        [path] => Ok(PathBuf::from(path)),
        _ => Err(format!("{name} takes a file; a name with blanks goes in quotes")),
    }
}

fn run(rest: &str) -> Result<Command, String> {
    let words = words(rest);
    let mut words = words.iter().map(String::as_str);
    let name = words.next().ok_or(".run takes the name of a query: .queries lists them")?;
    let param = |word: &str| {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("{word} is not of the form PARAM=VALUE"))?;
        Ok::<_, String>((name.trim_start_matches('$').to_owned(), value.to_owned()))
    };
    Ok(Command::Run { name: name.to_owned(), params: words.map(param).collect::<Result<_, _>>()? })
}

/// Splits at white space outside quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for letter in text.chars() {
        match letter {
            '\'' | '"' if quote.is_none() => quote = Some(letter),
            _ if quote == Some(letter) => quote = None,
            _ if letter.is_whitespace() && quote.is_none() => words.push(String::new()),
            _ => words.last_mut().into_iter().for_each(|word| word.push(letter)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_or_queries() {
        assert_eq!(Command::parse("SELECT 1"), None);
        assert_eq!(Command::parse(".quit;"), Some(Ok(Command::Quit)));
        assert_eq!(Command::parse(".mode csv"), Some(Ok(Command::Mode(Some(RowFormat::Csv)))));
        assert_eq!(words("a b='c d' \"e\"f"), ["a", "b=c d", "ef"]);
        assert_eq!(Command::parse("exit"), Some(Ok(Command::Quit)));
        assert_eq!(Command::parse("\\d flows"), Some(Ok(Command::Schema(Some("flows".to_owned())))));
        assert_eq!(Command::parse(".once 'a b.csv'"), Some(Ok(Command::Once("a b.csv".into()))));
        let params = vec![("ip".to_owned(), "10.0.0.1".to_owned())];
        assert_eq!(
            Command::parse(".run about-address ip=10.0.0.1"),
            Some(Ok(Command::Run { name: "about-address".to_owned(), params }))
        );
        for wrong in
            [".mode parquet", ".timer maybe", ".once", ".read a b", ".width x", "\\x", ".run", ".tabels", ".run x y"]
        {
            assert!(matches!(Command::parse(wrong), Some(Err(_))), "{wrong}");
        }
    }
}
