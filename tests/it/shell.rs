//! The shell as a person has it: the real binary on a terminal that `pty.py` makes, with its screen read here.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use vt100::{Callbacks, Parser, Screen};

use crate::support::binary::{command, root};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const PROMPT: &str = "flowgap>";
const PATIENCE: Duration = Duration::from_secs(20);
const ROWS: u16 = 60;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_L: &str = "\x0c";
const ENTER: &str = "\r";
const UP: &str = "\x1b[A";

/// Questions of the program for the place of the cursor, with the answers that a terminal gives.
#[derive(Default)]
struct Replies(String);

impl Callbacks for Replies {
    fn unhandled_csi(&mut self, screen: &mut Screen, _: Option<u8>, _: Option<u8>, params: &[&[u16]], letter: char) {
        if letter == 'n' && *params == [[6]] {
            let ((row, column), (_, columns)) = (screen.cursor_position(), screen.size());
            self.0 += &format!("\x1b[{};{}R", row + 1, (column + 1).min(columns));
        }
    }
}

/// Ends with its child, which the end of the terminal ends.
pub struct Terminal {
    relay: Child,
    keys: ChildStdin,
    output: Receiver<Vec<u8>>,
    parser: Parser<Replies>,
}

impl Terminal {
    /// The shell over the planted archive, at its first prompt.
    pub fn open(state: &Path, columns: u16, has_color: bool) -> Self {
        Self::open_with(state, columns, has_color, &[], &[])
    }

    /// The same with variables and options.
    pub fn open_with(
        state: &Path,
        columns: u16,
        has_color: bool,
        variables: &[(&str, &str)],
        options: &[&str],
    ) -> Self {
        let mut terminal = Self::start(state, columns, has_color, variables, &[&["sql", ARCHIVE], options].concat());
        terminal.wait_for_prompt();
        terminal
    }

    /// Any command.
    pub fn start(state: &Path, columns: u16, has_color: bool, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let flowgap = command(arguments);
        let mut relay = Command::new("python3");
        relay.current_dir(root()).arg("tests/it/support/pty.py").args([columns, ROWS].map(|size| size.to_string()));
        relay.arg(flowgap.get_program()).args(flowgap.get_args());
        for (name, value) in flowgap.get_envs() {
            match value {
                Some(value) => relay.env(name, value),
                None => relay.env_remove(name),
            };
        }
        let temporary = state.join("tmp");
        std::fs::create_dir_all(&temporary).expect("a folder");
        relay.env("XDG_STATE_HOME", state).env("TMPDIR", temporary);
        relay.env("TERM", "xterm-256color").env_remove("NO_COLOR").env_remove("PAGER").env_remove("TZ");
        relay.envs(variables.iter().copied());
        if !has_color {
            relay.env("NO_COLOR", "1");
        }
        let mut relay = relay.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 starts");
        let keys = relay.stdin.take().expect("piped");
        let mut shown = relay.stdout.take().expect("piped");
        let (chunks, output) = mpsc::channel();
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(len @ 1..) = shown.read(&mut chunk) {
                if chunks.send(chunk[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { relay, keys, output, parser: Parser::new_with_callbacks(ROWS, columns, 0, Replies::default()) }
    }

    /// All that the screen shows, one after the other, until the command ends; and its exit status.
    pub fn watch(mut self) -> (Vec<String>, Option<i32>) {
        let mut screens = Vec::new();
        while self.look(Instant::now() + PATIENCE) {
            screens.push(self.screen());
        }
        screens.dedup();
        (screens, self.end())
    }

    pub fn type_keys(&mut self, keys: &str) {
        let typed = self.keys.write_all(keys.as_bytes());
        typed.unwrap_or_else(|error| panic!("{keys:?}: {error}: {}", self.screen()));
    }

    /// Without blanks at the ends of lines, and without empty lines at its end.
    fn screen(&self) -> String {
        let contents = self.parser.screen().contents();
        contents.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    /// Takes in what comes until `until`; false if nothing comes any more.
    fn look(&mut self, until: Instant) -> bool {
        let Ok(chunk) = self.output.recv_timeout(until.saturating_duration_since(Instant::now())) else {
            return false;
        };
        self.parser.process(&chunk);
        let replies = std::mem::take(&mut self.parser.callbacks_mut().0);
        if !replies.is_empty() {
            self.type_keys(&replies);
        }
        true
    }

    fn wait_until(&mut self, what: &str, is_there: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_there(&self.screen()) {
            assert!(self.look(deadline), "waited for {what:?} on\n{}", self.screen());
        }
    }

    pub fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |screen| screen.contains(text));
    }

    /// A prompt below what was shown, with nothing typed.
    pub fn wait_for_prompt(&mut self) {
        self.wait_until("a prompt", |screen| screen.ends_with(&format!("\n{PROMPT}")));
    }

    /// Clears the screen, enters a line, and gives what is shown between it and the next prompt.
    pub fn ask(&mut self, line: &str) -> String {
        self.type_keys(CTRL_L);
        self.wait_until("an empty screen", |screen| screen == PROMPT);
        self.type_keys(line);
        self.type_keys(ENTER);
        self.wait_for_prompt();
        let screen = self.screen();
        let answer = screen.trim_end_matches(PROMPT).trim_end();
        let typed = format!("{PROMPT} {line}");
        answer.strip_prefix(typed.trim_end()).unwrap_or(answer).trim_start_matches('\n').to_owned()
    }

    pub fn check_answers(&mut self, line: &str, answer: &str) {
        let said = self.ask(line);
        assert!(said.contains(answer), "{line:?} says\n{said}");
    }

    /// The process of the shell.
    fn shell(&self) -> u32 {
        let relay = self.relay.id();
        let children = std::fs::read_to_string(format!("/proc/{relay}/task/{relay}/children")).expect("its children");
        children.trim().parse().unwrap_or_else(|_| panic!("one child, not {children:?}"))
    }

    /// The exit status of a shell that is about to end.
    fn end(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while self.look(deadline) {}
        assert!(Instant::now() < deadline, "it does not end: {}", self.screen());
        self.relay.wait().expect("the relay ends").code()
    }

    pub fn quit(mut self) {
        self.wait_for_prompt();
        self.type_keys(".quit\r");
        assert_eq!(self.end(), Some(0));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        self.relay.kill().unwrap_or_default();
        self.relay.wait().map(drop).unwrap_or_default();
    }
}

fn state() -> tempfile::TempDir {
    tempfile::tempdir().expect("folder")
}

#[test]
fn the_first_screen_says_what_is_open_and_its_queries_run() {
    let state = state();
    let mut terminal = Terminal::open(state.path(), 140, false);
    let screen = terminal.screen();
    assert!(screen.contains(&format!("Opened {ARCHIVE}: 62 blobs\n")), "{screen}");
    assert!(screen.ends_with(&format!("\n{PROMPT}")), "{screen}");
    let queries: Vec<&str> = screen.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(queries.len(), 3, "{screen}");
    for query in queries {
        terminal.check_answers(query, " rows in ");
    }
    terminal.wait_for_prompt();
    terminal.type_keys(CTRL_D);
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn a_query_runs_only_at_its_semicolon() {
    let state = state();
    let mut terminal = Terminal::open(state.path(), 100, false);
    terminal.type_keys("SELECT ';' AS a,\r");
    terminal.wait_for("AS a,\n     ->");
    terminal.type_keys("2 AS b -- not yet;\r");
    terminal.wait_for("not yet;\n     ->");
    terminal.type_keys(";\r");
    terminal.wait_for("\n;  2\n1 row in ");
    terminal.wait_for_prompt();
    // As pasted: both run, one after the other.
    terminal.check_answers("SELECT 3 AS c; SELECT 4 AS d;", "c\n-\n3\n");
    assert!(terminal.screen().contains("d\n-\n4\n"), "{}", terminal.screen());
    assert_eq!(terminal.ask(""), "");
    terminal.quit();
}

#[test]
fn pasted_text_runs_as_pasted() {
    let state = state();
    let mut terminal = Terminal::open(state.path(), 100, false);
    assert!(terminal.parser.screen().bracketed_paste(), "the terminal is not asked to mark what is pasted");
    // Tabs of a paste indent, and do not complete.
    terminal.type_keys("\x1b[200~SELECT\n\tdst_port,\n\trule\nFROM flows\nORDER BY time LIMIT 1;\x1b[201~");
    terminal.wait_for("LIMIT 1;");
    terminal.type_keys(ENTER);
    terminal.wait_for("\ndst_port  rule\n");
    terminal.wait_for("\n1 row in ");
    terminal.quit();
}

#[test]
fn the_history_comes_back_in_the_next_session() {
    let state = state();
    let mut terminal = Terminal::open(state.path(), 100, false);
    terminal.check_answers("SELECT 'first' AS line;", "first");
    terminal.check_answers("SELECT 'second' AS line;", "second");
    // Kept already, should the terminal be closed.
    let history = std::fs::read_to_string(state.path().join("flowgap/history")).expect("history");
    assert_eq!(history, "SELECT 'first' AS line;\nSELECT 'second' AS line;\n");
    terminal.wait_for_prompt();
    terminal.type_keys(CTRL_D);
    assert_eq!(terminal.end(), Some(0));

    let mut terminal = Terminal::open(state.path(), 100, false);
    terminal.type_keys(UP);
    terminal.wait_for("flowgap> SELECT 'second' AS line;");
    terminal.type_keys(UP);
    terminal.wait_for("flowgap> SELECT 'first' AS line;");
    terminal.type_keys(ENTER);
    terminal.wait_for("line\n-----\nfirst\n1 row in ");
    terminal.quit();
}

#[test]
fn tab_completes() {
    let state = state();
    let mut terminal = Terminal::open(state.path(), 100, false);
    for (typed, completed) in [
        ("SELECT dst_p", "SELECT dst_port"),
        ("SELECT rule FROM den", "SELECT rule FROM denied_flows"),
        ("SELECT rank FROM findings WHERE fing", "SELECT rank FROM findings WHERE fingerprint"),
        ("SELECT findings.sev", "SELECT findings.severity"),
        (".sch", ".schema"),
        (".run denied_t", ".run denied_timeline"),
        (".run denied_timeline st", ".run denied_timeline step="),
        (".mode mark", ".mode markdown"),
    ] {
        terminal.type_keys(&format!("{typed}\t"));
        let line = format!("{PROMPT} {completed}");
        terminal.wait_until(completed, |screen| screen.ends_with(&line));
        terminal.type_keys(CTRL_C);
        terminal.wait_for_prompt();
    }
    // Columns are of the tables that stand behind, too.
    terminal.type_keys(&format!("SELECT  FROM findings{}fingerp\t", "\x1b[D".repeat(" FROM findings".len())));
    terminal.wait_for("SELECT fingerprint");
    terminal.type_keys(CTRL_C);
    terminal.wait_for_prompt();
    terminal.type_keys("SELECT dst_\t");
    // The menu below the line has the chosen one in capitals where there are no colours.
    terminal.wait_until("a menu", |screen| {
        screen.lines().last().is_some_and(|line| line.contains("DST_IP") && line.contains("dst_port"))
    });
    terminal.type_keys(CTRL_C);
    terminal.wait_for_prompt();
    terminal.quit();
}

#[test]
fn ctrl_c_clears_a_line_and_cancels_a_query() {
    let state = state();
    let mut terminal = Terminal::open(state.path(), 120, false);
    terminal.type_keys("SELECT mistaken");
    terminal.wait_for("mistaken");
    terminal.type_keys(CTRL_C);
    terminal.wait_for(&format!("mistaken\n{PROMPT}"));
    // The first one yields to others now and then, the second one never: it has the threads of the engine for itself,
    // and whatever comes after it needs some.
    let yielding = "SELECT count(*) FROM range(1000000000000) WHERE value % 7 = 8;";
    let greedy = "SELECT count(*) FROM flows a, flows b, flows c WHERE a.src_port + b.src_port + c.src_port < 0;";
    // The third one is never done with being planned.
    let deaf = "SELECT levenshtein(repeat('a', 300000), repeat('b', 300000));";
    for endless in [yielding, greedy, deaf, greedy] {
        terminal.check_answers("SELECT 1+1 AS two;", "two\n---\n  2\n1 row in ");
        terminal.type_keys(endless);
        terminal.type_keys(ENTER);
        // Pressed again, for a key that comes before the query runs is one for the editor.
        let deadline = Instant::now() + PATIENCE;
        while !terminal.screen().contains("\ncancelled") {
            assert!(Instant::now() < deadline, "{endless} is not cancelled:\n{}", terminal.screen());
            terminal.type_keys(CTRL_C);
            let pause = Instant::now() + Duration::from_millis(200);
            while terminal.look(pause) {}
        }
    }
    terminal.check_answers("SELECT count(*) AS flows FROM flows;", "flows\n-----\n 9546\n1 row in ");
    terminal.quit();
}

#[test]
fn the_shell_ends_on_a_signal_or_without_its_terminal() {
    let endless = "SELECT count(*) FROM generate_series(1, 100000000000) a WHERE value % 7 = 8;";
    // Planning takes all of the thread.
    let deaf = "SELECT levenshtein(repeat('a', 300000), repeat('b', 300000));";
    for query in ["", endless, deaf] {
        for signals in [&["TERM"][..], &["HUP"], &["INT", "INT"], &[]] {
            // Ctrl-C ends a query, and the shell goes on.
            if signals.contains(&"INT") && !query.is_empty() {
                continue;
            }
            let state = state();
            let mut terminal = Terminal::open(state.path(), 100, false);
            let shell = terminal.shell();
            if !query.is_empty() {
                terminal.type_keys(query);
                terminal.type_keys(ENTER);
                let pause = Instant::now() + Duration::from_millis(700);
                while terminal.look(pause) {}
            }
            let asked = Instant::now();
            for signal in signals {
                let kill = Command::new("kill").args(["-s", signal, &shell.to_string()]).status().expect("kill");
                assert!(kill.success());
                thread::sleep(Duration::from_millis(50));
            }
            if signals.is_empty() {
                // The terminal goes with the relay.
                terminal.relay.kill().expect("the relay ends");
            }
            let stat = || std::fs::read_to_string(format!("/proc/{shell}/stat")).unwrap_or_default();
            while !(stat().is_empty() || stat().contains(") Z ")) {
                let elapsed = asked.elapsed();
                assert!(elapsed < Duration::from_secs(3), "{signals:?} during {query:?}: it still runs: {}", stat());
                while terminal.look(Instant::now() + Duration::from_millis(5)) {}
            }
            if !signals.is_empty() {
                assert_eq!(terminal.end(), Some(130), "{signals:?} during {query:?}");
            }
            let left: Vec<_> = std::fs::read_dir(state.path().join("tmp")).expect("a folder").collect();
            assert!(left.is_empty(), "{signals:?} during {query:?}: {left:?}");
        }
    }
}

#[test]
fn every_command_of_the_shell_answers() {
    let state = state();
    let mut terminal = Terminal::open(state.path(), 120, false);
    terminal.check_answers(".tables", "\nrequirement_ports id, direction, protocol,");
    terminal.check_answers(".schema flows", "flows\n  time                timestamp, UTC, never null\n");
    terminal.check_answers(".schema flow", "no such table");
    terminal.check_answers(".mode", "table");
    assert_eq!(terminal.ask(".mode csv"), "");
    terminal.check_answers("SELECT 1 AS one, 'a,b' AS two;", "one,two\n1,\"a,b\"\n1 row in ");
    assert_eq!(terminal.ask(".timer off"), "");
    assert_eq!(terminal.ask("SELECT 1 AS one, 2 AS two;"), "one,two\n1,2");
    terminal.check_answers(".mode xml", ".mode takes table,");
    terminal.check_answers(".timer", "write .timer on or .timer off");
    terminal.check_answers(".queries", "\ndenied_timeline         Denied flows over time,");
    terminal.check_answers(".run denied_timeline step=day", "\n2026-05-04T00:00:00.000Z,2428,1724,704,");
    terminal.check_answers(".run denied_timeline port=x", "port");
    terminal.check_answers(".run denied", "there is no query denied: .queries lists them");
    terminal.check_answers(".explain SELECT count(*) FROM flows WHERE dst_port = 443", "pushed=[dst_port=443]");
    assert_eq!(terminal.ask(".mode table"), "");
    assert_eq!(terminal.ask(".maxrows 2"), "");
    terminal.check_answers("SELECT value FROM range(9);", "    0\n    1\n(the first 2 rows;");
    let help = terminal.ask(".help");
    for command in [".tables", ".schema", ".queries", ".run", ".explain", ".mode", ".maxrows", ".timer", ".quit"] {
        assert!(help.lines().any(|line| line.starts_with(command)), "{command} is not in\n{help}");
    }
    terminal.check_answers(".help functions", "\nservice_tag(ip) ");
    terminal.check_answers(".tabels", "there is no command .tabels: .help lists them");
    terminal.quit();
}

#[test]
fn errors_are_printed_and_the_shell_continues() {
    let state = state();
    let mut terminal = Terminal::open(state.path(), 100, false);
    terminal.check_answers("SELECT dst_prt FROM flows;", "there is no column dst_prt: did you mean dst_port?");
    terminal.check_answers("SELECT 1 FROM denied_flow;", "did you mean denied_flows?");
    terminal.check_answers("SELEC 1;", "SELEC");
    terminal.check_answers("SELECT 1 / (src_port - src_port) FROM flows;", "division by zero");
    terminal.check_answers("DROP TABLE flows;", "DROP TABLE is refused");
    terminal.check_answers("COPY flows TO 'flows.csv';", "COPY is refused");
    terminal.check_answers("SELECT count(*) AS flows FROM flows;", "flows\n-----\n 9546\n1 row in ");
    terminal.quit();
}

#[test]
fn what_does_not_fit_a_narrow_terminal_is_shown_line_by_line() {
    let state = state();
    let mut terminal = Terminal::open(state.path(), 40, false);
    terminal.check_answers("SELECT 1 AS one, 2 AS two;", "one  two\n---  ---\n  1    2\n");
    let wide = terminal.ask("SELECT time, src_ip, dst_ip, src_port, protocol FROM flows LIMIT 2;");
    let wide = wide.split_once("-- row 1\n").map(|(_, rows)| rows).unwrap_or_else(|| panic!("{wide}"));
    assert!(wide.starts_with("time      2026-05-0") && wide.contains("\n-- row 2\ntime "), "{wide}");
    assert!(wide.lines().all(|line| line.chars().count() <= 40), "{wide}");
    terminal.quit();
}

#[test]
fn colours_are_for_those_who_want_them() {
    let state = state();
    for has_color in [true, false] {
        let mut terminal = Terminal::open(state.path(), 100, has_color);
        terminal.type_keys("SELECT rule");
        terminal.wait_until("what was typed", |screen| screen.ends_with("flowgap> SELECT rule"));
        let (row, _) = terminal.parser.screen().cursor_position();
        let is_bold = |column: usize| {
            let cell = terminal.parser.screen().cell(row, u16::try_from(column).expect("narrow"));
            cell.expect("on the screen").bold()
        };
        let (keyword, name) = (PROMPT.len() + 1, PROMPT.len() + 8);
        assert_eq!((is_bold(keyword), is_bold(name)), (has_color, false));
        terminal.type_keys(CTRL_C);
        terminal.wait_for(&format!("SELECT rule\n{PROMPT}"));
        terminal.quit();
    }
}
