//! Help: examples and exit statuses of each verb, options from the environment, and text that fits the terminal.

use std::ffi::OsString;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, CommandFactory};

use super::Cli;
use super::pages::{PAGES, statuses};
use crate::answer::print;
use crate::report::sink::{say, shell_word, visible};
use crate::shell::terminal_width;

/// Bounds of the width of help.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=100;
/// Width of help that does not go to a terminal.
const WIDTH: usize = 80;
/// Options that are no settings.
const NO_VARIABLE: [&str; 4] = ["command", "file", "help", "version"];

/// Returns the command line with the options that the environment sets, and the examples of each verb.
pub fn command(arguments: &[OsString]) -> Command {
    let command = Cli::command().mut_subcommands(|verb| with_variables(verb, arguments));
    command.mut_subcommands(|verb| {
        let name = verb.get_name().to_owned();
        match PAGES.iter().find(|page| page.verb == name) {
            Some(page) => verb.after_help(format!("{}\n{}", page.examples(), statuses(page.statuses))),
            None => verb,
        }
        .mut_args(|arg| arg.ignore_case(true))
    })
}

/// Makes every option of a verb also settable by a variable, such as `--fail-on` by `FLOWGAP_FAIL_ON`. An option of the
/// command line wins over a variable that contradicts it.
fn with_variables(verb: Command, arguments: &[OsString]) -> Command {
    let verb = verb.mut_subcommands(|verb| with_variables(verb, arguments));
    let all: Vec<Arg> = verb.get_arguments().cloned().collect();
    let is_given = |arg: &Arg| {
        let long = arg.get_long().map(|long| format!("--{long}"));
        let short = arg.get_short().map(|short| format!("-{short}"));
        arguments.iter().filter_map(|given| given.to_str()).any(|given| {
            let name = given.split_once('=').map_or(given, |(name, _)| name);
            long.as_deref() == Some(name) || short.as_deref() == Some(name)
        })
    };
    let contradicts = |one: &Arg, other: &Arg| {
        let declared = |one: &Arg, other: &Arg| {
            verb.get_arg_conflicts_with(one).iter().any(|found| found.get_id() == other.get_id())
        };
        declared(one, other) || declared(other, one)
    };
    let is_open = |arg: &Arg| !all.iter().any(|other| is_given(other) && contradicts(arg, other));
    let open: Vec<clap::Id> = all.iter().filter(|arg| is_open(arg)).map(|arg| arg.get_id().clone()).collect();
    verb.mut_args(|arg| if open.contains(arg.get_id()) { with_variable(arg) } else { arg })
}

fn with_variable(arg: Arg) -> Arg {
    let Some(long) = arg.get_long().filter(|long| !NO_VARIABLE.contains(long)) else { return arg };
    let name = format!("FLOWGAP_{}", long.replace('-', "_").to_uppercase());
    if arg.get_env().is_some() || std::env::var_os(&name).is_none_or(|value| value.is_empty()) {
        return arg;
    }
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    // clap keeps names for as long as the process runs.
    let arg = arg.env(&*name.leak()).hide_env(true);
    if is_switch { arg.value_parser(BoolishValueParser::new()) } else { arg }
}

/// Prints help or an error of the command line, and ends the process.
pub fn leave(error: &clap::Error) -> ! {
    if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        if let Some(way) = meant(error) {
            say(way);
            std::process::exit(error.exit_code());
        }
        error.exit();
    }
    let width = terminal_width().unwrap_or(WIDTH).clamp(*WIDTHS.start(), *WIDTHS.end());
    let has_color = terminal_width().is_some() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let help = error.render();
    let help = if has_color { help.ansi().to_string() } else { help.to_string() };
    let wrapped: String = help.lines().map(|line| wrapped(line, width)).collect();
    match error.use_stderr() {
        true => eprint_plain(&help, width),
        false => print(|out| out.write_all(wrapped.as_bytes())).unwrap_or_else(say),
    }
    std::process::exit(error.exit_code())
}

/// Prints help on stderr, where it is without colours.
fn eprint_plain(help: &str, width: usize) {
    let plain: String = help.lines().map(|line| wrapped(&uncoloured(line), width)).collect();
    say(plain.trim_end());
}

/// Returns what a user meant who names a folder or a file in place of a verb, or the end of a window by `--to` of
/// `ingest`.
fn meant(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    };
    let lake = |arg: &String| arg == "--to <LAKE>";
    if [ContextKind::InvalidArg, ContextKind::PriorArg].into_iter().all(|kind| text(kind).is_some_and(lake)) {
        return Some("flowgap: --to names the lake, once: write --until for the end of the window".to_owned());
    }
    let word = text(ContextKind::InvalidSubcommand)?;
    let is_source = word.contains("://") || std::path::Path::new(word).exists();
    is_source.then(|| {
        format!("flowgap: '{}' is no verb: write flowgap analyze {}", visible(word), shell_word(&visible(word)))
    })
}

/// Wraps a line of help. Its further lines begin below the description, which is after two blanks or more.
fn wrapped(line: &str, width: usize) -> String {
    let plain: Vec<char> = uncoloured(line).chars().collect();
    if plain.len() <= width {
        return format!("{line}\n");
    }
    let indent = plain.iter().take_while(|letter| **letter == ' ').count();
    let gap = plain.windows(3).skip(indent).position(|three| three[0] != ' ' && three[1] == ' ' && three[2] == ' ');
    let column = gap.map(|gap| {
        let after = indent + gap + 1;
        after + plain[after..].iter().take_while(|letter| **letter == ' ').count()
    });
    let (start, column) = match column {
        Some(column) if column <= width / 2 => (byte_of(line, column), column),
        // The description goes on lines of its own.
        Some(column) => {
            let head = &line[..byte_of(line, column)];
            return format!("{}\n{}", head.trim_end(), fill(&line[byte_of(line, column)..], "", 10, width));
        }
        None => (byte_of(line, indent), indent),
    };
    fill(&line[start..], &line[..start], column, width)
}

/// Writes words after `head`, and below it at a column.
fn fill(words: &str, head: &str, column: usize, width: usize) -> String {
    let blanks = " ".repeat(column);
    let mut lines = String::new();
    let (mut line, mut length) = (if head.is_empty() { blanks.clone() } else { head.to_owned() }, column);
    let mut is_first = true;
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        let own = uncoloured(word).chars().count();
        if !is_first && length + 1 + own > width {
            lines += line.trim_end();
            lines.push('\n');
            (line, length, is_first) = (blanks.clone(), column, true);
        }
        if !is_first {
            line.push(' ');
            length += 1;
        }
        line += word;
        length += own;
        is_first = false;
    }
    lines + line.trim_end() + "\n"
}

/// Returns the byte at which the letter `nr` begins, escape sequences not counted.
fn byte_of(line: &str, nr: usize) -> usize {
    let (mut seen, mut is_escape) = (0, false);
    for (at, letter) in line.char_indices() {
        match (letter, is_escape) {
            ('\u{1b}', _) => is_escape = true,
            ('m', true) => is_escape = false,
            (_, true) => {}
            _ if seen == nr => return at,
            _ => seen += 1,
        }
    }
    line.len()
}

/// Returns a line without escape sequences.
fn uncoloured(line: &str) -> String {
    let mut is_escape = false;
    let shown = |letter: &char| match (letter, is_escape) {
        ('\u{1b}', _) => {
            is_escape = true;
            false
        }
        ('m', true) => {
            is_escape = false;
            false
        }
        (_, escape) => !escape,
    };
    line.chars().filter(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_stay_in_their_column() {
        let line = "  -o, --output <FILE>  Write to a file instead of stdout; repeatable, each in its format";
        assert_eq!(
            wrapped(line, 60),
            "  -o, --output <FILE>  Write to a file instead of stdout;\n                       repeatable, each in its format\n"
        );
        let coloured = line.replace("--output", "\u{1b}[1m--output\u{1b}[0m");
        assert_eq!(uncoloured(&wrapped(&coloured, 60)), wrapped(line, 60));
        let long = format!("      --{} <TEXT>  A description", "x".repeat(40));
        assert_eq!(wrapped(&long, 60), format!("      --{} <TEXT>\n          A description\n", "x".repeat(40)));
        assert_eq!(wrapped("short", 60), "short\n");
    }

    #[test]
    fn every_verb_has_a_page() {
        for verb in Cli::command().get_subcommands() {
            assert!(PAGES.iter().any(|page| page.verb == verb.get_name()), "{} has no page", verb.get_name());
        }
    }
}
