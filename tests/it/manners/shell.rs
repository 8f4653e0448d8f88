//! The shell on a terminal of 80 columns.

use crate::shell::Terminal;
use crate::support::binary::{check_golden, root};

const WIDTH: u16 = 80;

fn open() -> (tempfile::TempDir, Terminal) {
    let state = tempfile::tempdir().expect("a folder");
    let mut terminal = Terminal::open(state.path(), WIDTH, false);
    terminal.ask(".timer off");
    (state, terminal)
}

#[test]
fn named_queries_are_tables_that_fit() {
    let (_state, mut terminal) = open();
    let mut text = String::new();
    for query in [
        "about_address ip=10.20.1.4 limit=3",
        "backends_refused limit=3",
        "capture_gaps",
        "denied_timeline",
        "denied_timeline step=day",
        "double_captured",
        "east_west limit=3",
        "encryption_summary",
        "inbound_scanners limit=3",
        "new_destinations since=2026-05-05 limit=3",
        "port_matrix subnet=10.20.1.0/24 limit=3",
        "rekeyed_flows limit=3",
        "rules_not_matched from=2026-05-05",
        "top_denied_destinations limit=3",
        "top_denied_rules limit=3",
        "top_talkers limit=3",
        "unanswered_flows limit=3",
        "was port=1433",
    ] {
        let shown = terminal.ask(&format!(".run {query}"));
        assert!(!shown.contains("-- row 1"), "{query} is shown as lines:\n{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= usize::from(WIDTH)), "{query} is too wide:\n{shown}");
        text += &format!("{query}\n{}\n\n", shown.lines().take(6).collect::<Vec<_>>().join("\n"));
    }
    std::fs::create_dir_all(root().join("tests/golden/manners")).expect("a folder");
    check_golden("manners/named-queries.txt", &text);
    terminal.quit();
}

#[test]
fn commands_work_while_a_query_is_open() {
    let (_state, mut terminal) = open();
    terminal.type_keys("SELECT 40\r.mode csv\r");
    terminal.wait_for(".mode csv\nflowgap> SELECT 40\n     ->");
    terminal.type_keys("+ 2 AS answer;\r");
    terminal.wait_for("answer\n42");
    for word in ["exit", "help", "\\d", "\\q"] {
        terminal.ask(".mode csv");
        terminal.type_keys(&format!("SELECT 1\r{word}\r"));
        terminal.wait_for("; ends the query, Ctrl-C drops it\nflowgap> SELECT 1\n     ->");
        terminal.type_keys("\x03");
        terminal.wait_for_prompt();
    }
    terminal.quit();
}

#[test]
fn aliases_and_settings_answer() {
    let (state, mut terminal) = open();
    terminal.check_answers("\\dt", "\nrequirement_ports");
    terminal.check_answers("\\d requirement_ports", "requirement_ports\n  id ");
    terminal.check_answers("\\x", "there is no command \\x: .help lists them");
    terminal
        .check_answers("SELECT count(*) AS n FROM flows WHERE decision = 'Deny';", "note: decision is never 'Deny'");
    assert_eq!(terminal.ask(".nullvalue -"), "");
    terminal.check_answers("SELECT NULL AS x;", "x\n-\n-");
    assert_eq!(terminal.ask(".nullvalue"), "");
    terminal.check_answers("SELECT NULL AS x;", "x\n----\nNULL");
    assert_eq!(terminal.ask(".width 40"), "");
    let narrow = terminal.ask("SELECT acl, dst_port FROM denied_flows LIMIT 1;");
    assert!(narrow.lines().all(|line| line.chars().count() <= 60) && narrow.contains("…"), "{narrow}");
    assert_eq!(terminal.ask(".width"), "");
    terminal.check_answers(".pager on", "there is no pager: set PAGER");
    let file = state.path().join("out.csv");
    assert_eq!(terminal.ask(&format!(".output {}", file.display())), "");
    assert_eq!(terminal.ask("SELECT 1 AS a;"), "");
    assert!(!file.exists(), "the file is there before it is complete");
    assert_eq!(terminal.ask(".output"), "");
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "a\r\n1\r\n");
    terminal.check_answers("CREATE TEMP VIEW few AS FROM requirements LIMIT 2;", "");
    terminal.check_answers("SELECT count(*) AS n FROM few;", "n\n-\n2");
    terminal.quit();
}

#[test]
fn long_answers_go_through_the_pager() {
    let state = tempfile::tempdir().expect("a folder");
    let paged = state.path().join("paged.txt");
    let pager = format!("cat > {}", paged.display());
    let mut terminal = Terminal::open_with(state.path(), WIDTH, false, &[("PAGER", &pager)], &["--maxrows", "0"]);
    terminal.check_answers("SELECT value FROM range(3);", "value\n-----\n    0\n    1\n    2");
    assert!(!paged.exists(), "a short answer is paged");
    terminal.check_answers("SELECT value FROM range(300);", "300 rows in ");
    let text = std::fs::read_to_string(&paged).expect("the pager ran");
    assert_eq!(text.lines().count(), 302, "{text}");
    assert_eq!(terminal.ask(".pager off"), "");
    terminal.check_answers("SELECT value FROM range(100);", "   99\n100 rows in ");
    terminal.quit();
}
