//! `fix`: each rendering is parsed back by a small parser of its own and means the same rule; hostile text stays text.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Output, Stdio};

use flowgap::catalog::{Catalog, Requirement, RowDirection};
use flowgap::findings::Finding;
use flowgap::report::fix::{Target, plan, render};
use serde_json::{Value, json};

use crate::support::binary::{SUBNET, analyze, check_golden, command, flowgap, root, stderr, stdout};

/// Settings of a rule by name, in one spelling for every target.
type Parsed = BTreeMap<&'static str, Vec<String>>;

const NSG: &str = "/subscriptions/5e1f0a6c-2b7d-4c39-9a84-d30b6e7715f2/resourceGroups/rg(1)_a/providers/Microsoft.Network/networkSecurityGroups/nsg-a";

/// A finding of the golden analysis with some keys replaced.
fn finding(changes: &Value) -> Finding {
    let golden = std::fs::read(root().join("tests/golden/apim.json")).expect("a golden");
    let mut golden: Value = serde_json::from_slice(&golden).expect("JSON");
    let mut finding = golden["findings"][0].take();
    let merge = |into: &mut Value, from: &Value| {
        for (key, value) in from.as_object().expect("an object") {
            into[key] = value.clone();
        }
    };
    merge(&mut finding["fix"], changes.get("fix").unwrap_or(&json!({})));
    for (key, value) in changes.as_object().expect("an object").iter().filter(|(key, _)| *key != "fix") {
        finding[key] = value.clone();
    }
    serde_json::from_value(finding).expect("a finding")
}

/// The finding that a row of the port table would give.
fn blocked(row: &Requirement) -> Finding {
    let direction = match row.direction {
        RowDirection::Inbound => "inbound",
        RowDirection::Outbound => "outbound",
        _ => "inbound and outbound",
    };
    finding(&json!({
        "requirement": row.id, "purpose": row.purpose, "acl": NSG,
        "fix": {
            "direction": direction, "source": row.source.name(), "destination": row.destination.name(),
            "ports": row.printed_ports(), "protocol": row.protocol_text(),
        },
    }))
}

/// Words of a bash script of simple commands, with values for its variables. Comments are not expected.
fn shell_commands(script: &str, value: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut letters = script.chars().chain(['\n']);
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => word.get_or_insert_default().extend(letters.by_ref().take_while(|l| *l != '\'')),
            '"' => {
                let inside: String = letters.by_ref().take_while(|l| *l != '"').collect();
                assert!(inside.starts_with("${") && inside.contains(":?") && inside.ends_with('}'), "{inside}");
                word.get_or_insert_default().push_str(value);
            }
            '\\' => match letters.next() {
                Some('\n') => {}
                other => word.get_or_insert_default().extend(other),
            },
            ' ' => words.extend(word.take()),
            '\n' => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            plain => {
                assert!(plain.is_ascii_alphanumeric() || "_-./:,".contains(plain), "{plain:?} is not quoted: {script}");
                word.get_or_insert_default().push(plain);
            }
        }
    }
    commands.retain(|words| !words.is_empty());
    commands
}

/// What bash passes to `az`, with each variable set to `value`, or unset if it is empty.
fn bash(script: &str, value: &str) -> Output {
    let variables = script.split("${").skip(1).filter_map(|rest| rest.split_once(":?")).map(|(name, _)| name);
    let mut bash = Command::new("bash");
    for name in variables.filter(|name| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit()))
    {
        if value.is_empty() {
            bash.env_remove(name)
        } else {
            bash.env(name, value)
        };
    }
    let fake = format!("az() {{ printf '%s\\n' az \"$@\"; printf '=\\n'; }}\n{script}\n");
    bash.args(["-c", &fake]).output().expect("bash")
}

fn az(script: &str) -> Vec<Parsed> {
    let checked = Command::new("bash").args(["-n", "-c", script]).output().expect("bash");
    assert!(checked.status.success(), "{script}: {}", stderr(&checked));
    let commands = shell_commands(script, "190");
    let passed = bash(script, "190");
    let passed: Vec<Vec<String>> = stdout(&passed)
        .split("=\n")
        .filter(|c| !c.is_empty())
        .map(|c| c.lines().map(str::to_owned).collect())
        .collect();
    assert_eq!(commands, passed, "bash and the parser differ: {script}");
    let parse = |words: &Vec<String>| {
        assert_eq!(words[..5], ["az", "network", "nsg", "rule", "create"]);
        let mut parsed = Parsed::new();
        let mut key = "";
        for word in &words[5..] {
            match word.starts_with('-') {
                true => key = known(word),
                false => parsed.entry(key).or_default().push(word.clone()),
            }
        }
        parsed
    };
    commands.iter().map(parse).collect()
}

/// The common name of a setting.
fn known(name: &str) -> &'static str {
    let name: String = name.to_lowercase().chars().filter(|letter| letter.is_ascii_alphabetic()).collect();
    match name.as_str() {
        "subscription" => "subscription",
        "g" | "resourcegroupname" => "resource group",
        "nsgname" | "networksecuritygroupname" => "nsg",
        "n" | "name" => "name",
        "priority" => "priority",
        "direction" => "direction",
        "access" | "action" => "access",
        "protocol" => "protocol",
        "sourceaddressprefix" | "sourceaddressprefixes" | "sourceservicetag" | "sourceipaddresses" => "source",
        "sourceportrange" | "sourceportranges" => "source ports",
        "destinationaddressprefix"
        | "destinationaddressprefixes"
        | "destinationservicetag"
        | "destinationipaddresses" => "destination",
        "destinationportrange" | "destinationportranges" => "ports",
        "description" => "description",
        _ => "other",
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    Text(String),
    Word(String),
    Sign(char),
}

/// Tokens of Bicep, Terraform or PowerShell.
fn tokens(code: &str, target: Target) -> Vec<Token> {
    let quote = if target == Target::Terraform { '"' } else { '\'' };
    let is_powershell = target == Target::PowerShell;
    let is_quote =
        |letter: char| letter == quote || is_powershell && "\u{2018}\u{2019}\u{201a}\u{201b}".contains(letter);
    let letters: Vec<char> = code.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(&letter) = letters.get(at) {
        let ahead = |skip: usize| letters.get(at + skip).copied().unwrap_or('\n');
        if is_quote(letter) {
            let (mut text, mut end) = (String::new(), at + 1);
            loop {
                let (one, two, three) = (letters[end], letters.get(end + 1).copied(), letters.get(end + 2).copied());
                match one {
                    _ if is_powershell && is_quote(one) && two.is_some_and(is_quote) => end += 1,
                    _ if is_quote(one) => break,
                    '\\' if !is_powershell => end += 1,
                    '$' | '%' if target == Target::Terraform && two == Some(one) && three == Some('{') => end += 1,
                    '$' => assert!(is_powershell || two != Some('{'), "an expression in {code}"),
                    '\n' => panic!("a line break in a string: {code}"),
                    _ => {}
                }
                text.push(letters[end]);
                end += 1;
            }
            tokens.push(Token::Text(text));
            at = end + 1;
        } else if letter == '$' && ahead(1) == '(' {
            let throw: String = letters[at..].iter().take_while(|l| **l != ')').collect();
            assert!(throw.starts_with("$(throw '") && throw.ends_with('\''), "{throw}");
            tokens.push(Token::Word("?".to_owned()));
            at += throw.chars().count() + 1;
        } else if letter.is_ascii_alphanumeric() || "$_".contains(letter) {
            let word: String =
                letters[at..].iter().take_while(|l| l.is_ascii_alphanumeric() || "$_.-".contains(**l)).collect();
            at += word.len();
            tokens.push(Token::Word(word));
        } else {
            if !letter.is_whitespace() {
                tokens.push(Token::Sign(letter));
            }
            at += 1;
        }
    }
    tokens
}

/// The rules of Bicep, Terraform or PowerShell.
fn code(code: &str, target: Target) -> Vec<Parsed> {
    let tokens = tokens(code, target);
    let (mut rules, mut nsg) = (Vec::<Parsed>::new(), Vec::new());
    let mut is_nsg = false;
    let mut at = 0;
    while at < tokens.len() {
        let begins = match (&tokens[at], tokens.get(at + 1), tokens.get(at + 2)) {
            (Token::Word(word), Some(_), Some(Token::Text(kind))) if word == "resource" && target == Target::Bicep => {
                is_nsg = !kind.contains("/securityRules@");
                !is_nsg
            }
            (Token::Word(word), Some(Token::Text(kind)), _) if word == "resource" => {
                kind == "azurerm_network_security_rule"
            }
            (Token::Word(word), Some(Token::Sign('=')), Some(Token::Sign('@'))) => word.starts_with("$rule"),
            _ => false,
        };
        if begins {
            rules.push(Parsed::new());
        }
        if let (Token::Word(key), Some(Token::Sign(':' | '='))) = (&tokens[at], tokens.get(at + 1)) {
            let mut values = Vec::new();
            let mut next = at + 2;
            let is_list = tokens.get(next) == Some(&Token::Sign('['));
            next += usize::from(is_list);
            loop {
                match tokens.get(next) {
                    Some(Token::Text(text)) => values.push(text.clone()),
                    Some(Token::Word(word)) if word.starts_with(|l: char| l.is_ascii_digit()) => {
                        values.push(word.clone())
                    }
                    Some(Token::Word(word)) => values.push(asked(word, code, target)),
                    Some(Token::Sign(',')) => {}
                    _ => break,
                }
                let goes_on = is_list
                    || matches!(tokens.get(next + 1), Some(Token::Sign(',')))
                    || tokens[next] == Token::Sign(',');
                next += 1;
                if !goes_on {
                    break;
                }
            }
            if is_nsg && !values.is_empty() {
                nsg = values;
            } else if let (Some(rule), false) = (rules.last_mut(), values.is_empty()) {
                rule.entry(known(key)).or_insert(values);
            }
        }
        at += 1;
    }
    for rule in &mut rules {
        match target {
            Target::Bicep => drop(rule.insert("nsg", nsg.clone())),
            Target::PowerShell => {
                rule.insert("nsg", after_option(&tokens, "Name").unwrap_or_default());
                rule.insert("resource group", after_option(&tokens, "ResourceGroupName").unwrap_or_default());
                rule.insert("subscription", after_option(&tokens, "Subscription").unwrap_or_default());
            }
            _ => {}
        }
    }
    rules
}

/// Value of an option of PowerShell, such as `-Name 'x'`.
fn after_option(tokens: &[Token], name: &str) -> Option<Vec<String>> {
    let start = tokens.iter().position(|token| *token == Token::Word("Set-AzContext".to_owned()))?;
    let is_option = |pair: &[Token]| pair[0] == Token::Sign('-') && pair[1] == Token::Word(name.to_owned());
    let at = start + tokens[start..].windows(2).position(is_option)?;
    match &tokens[at + 2] {
        Token::Text(text) => Some(vec![text.clone()]),
        _ => Some(vec!["190".to_owned()]),
    }
}

/// Checks that a name is a parameter without a default.
fn asked(name: &str, code: &str, target: Target) -> String {
    match target {
        Target::Bicep if name != "nsg" => {
            let line = code
                .lines()
                .find(|line| line.starts_with(&format!("param {name} ")))
                .unwrap_or_else(|| panic!("{name}"));
            assert!(!line.contains('='), "{line}");
        }
        Target::Terraform if name.starts_with("var.") => {
            let block =
                code.split(&format!("variable \"{}\" {{", &name[4..])).nth(1).unwrap_or_else(|| panic!("{name}"));
            assert!(!block.split('}').next().expect("a block").contains("default"), "{block}");
        }
        _ => {}
    }
    "190".to_owned()
}

fn portal(text: &str) -> Vec<Parsed> {
    let mut rules = Vec::<Parsed>::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("  ") {
            None => {
                let (nsg, rest) = line.split_once(", ").expect("a place");
                let direction = rest.split(' ').next().expect("a direction");
                rules.push(Parsed::from([("direction", vec![direction.to_owned()]), ("nsg", vec![nsg.to_owned()])]));
            }
            Some(setting) => {
                let (name, value) = (setting[..24].trim(), setting[25..].to_owned());
                let rule = rules.last_mut().expect("a place");
                let values = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
                match (name, value.as_str()) {
                    ("Source", "Any") => drop(rule.insert("source", vec!["*".to_owned()])),
                    ("Destination", "Any") => drop(rule.insert("destination", vec!["*".to_owned()])),
                    ("Description" | "Name", _) => drop(rule.insert(known(name), vec![value])),
                    ("Priority", _) => drop(rule.insert("priority", vec!["190".to_owned()])),
                    _ => drop(rule.insert(known(name), values(&value))),
                }
            }
        }
    }
    rules
}

/// The rules of a rendering, with the settings that every target shows.
fn parse(change: &str, target: Target) -> Vec<Parsed> {
    let rules = match target {
        Target::Az => az(change),
        Target::Portal => portal(change),
        _ => code(change, target),
    };
    let common = "name priority direction access protocol source destination ports description nsg";
    let shown = |rule: Parsed| {
        for needed in common.split(' ').chain(["source ports"]) {
            assert!(rule.contains_key(needed), "{target}: no {needed} in {rule:?}: {change}");
        }
        let is_shown = |name: &str| common.split(' ').any(|known| known == name) || name == "source ports";
        let lower = |values: Vec<String>| values.iter().map(|value| value.to_lowercase()).collect();
        let spelled = |(name, values)| (name, if name == "protocol" { lower(values) } else { values });
        rule.into_iter().filter(|(name, _)| is_shown(name)).map(spelled).collect()
    };
    rules.into_iter().map(shown).collect()
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn every_row_of_the_port_table_is_the_same_rule_in_every_target() {
    let catalog = Catalog::built_in().expect("the port table");
    let mut seen = BTreeSet::new();
    for row in catalog.rows().iter().filter(|row| row.analyzed) {
        let finding = blocked(row);
        if !seen.insert(format!("{} {:?}", row.id, finding.fix)) {
            continue;
        }
        let directions: &[&str] = match row.direction {
            RowDirection::Inbound => &["Inbound"],
            RowDirection::Outbound => &["Outbound"],
            _ => &["Inbound", "Outbound"],
        };
        let place = |name: &str| texts(&[if name == "subnet" { SUBNET } else { name }]);
        let ports: Vec<String> = row.ports.split(';').filter(|port| !port.contains('[')).map(str::to_owned).collect();
        let (protocols, directions) = (row.protocols.iter(), directions.iter());
        let expected: Vec<Parsed> = directions
            .flat_map(|direction| protocols.clone().map(move |protocol| (direction, protocol.name().to_lowercase())))
            .map(|(direction, protocol)| {
                Parsed::from([
                    ("direction", texts(&[direction])),
                    ("access", texts(&["Allow"])),
                    ("protocol", vec![protocol]),
                    ("source", place(row.source.name())),
                    ("source ports", texts(&["*"])),
                    ("destination", place(row.destination.name())),
                    ("ports", ports.clone()),
                    ("priority", texts(&["190"])),
                    ("nsg", texts(&["nsg-a"])),
                ])
            })
            .collect();
        let mut names = BTreeSet::new();
        for target in Target::ALL {
            let rendered = render(&finding, target).unwrap_or_else(|| panic!("{} {target}", row.id));
            let mut rules = parse(&rendered.change, target);
            let named: Vec<String> = rules.iter_mut().flat_map(|rule| rule.remove("name").expect("a name")).collect();
            rules.iter_mut().for_each(|rule| {
                let description = rule.remove("description").expect("a description").concat();
                assert!(description.starts_with("flowgap F-bc6e6bea: ") && description.len() <= 140, "{description}");
            });
            assert_eq!(rules, expected, "{} {target}: {}", row.id, rendered.change);
            assert_eq!(named.iter().collect::<BTreeSet<_>>().len(), named.len(), "{named:?}");
            if let [one] = named.as_slice() {
                assert_eq!(*one, format!("Allow-{}", row.id));
            }
            named.iter().for_each(|name| {
                assert!(
                    rendered.undo.to_lowercase().replace('_', "-").contains(&name.to_lowercase()),
                    "{target}: {}",
                    rendered.undo
                )
            });
            names.insert(named);
        }
        assert_eq!(names.len(), 1, "{names:?}");
    }
    assert!(seen.len() >= 40, "{} rows", seen.len());
}

#[test]
fn hostile_text_stays_text() {
    let purpose = "it's \"x\" ${y} $(touch z) `id` \\ %{if} ’;&|\n\r\t\u{1b}[31m\u{2028}\u{202e}end'";
    let shown = "flowgap F-bc6e6bea: it's \"x\" ${y} $(touch z) `id` \\ %{if} ’;&| [31m end'";
    let finding = finding(&json!({
        "purpose": purpose, "acl": NSG, "rule": "UserRule_a\"}; id", "rule_name": "a\"}; id", "requirement": "X'; id #",
        "fix": { "source": "Virtual${Network}", "destination": "Sql'" },
    }));
    for target in Target::ALL {
        let rendered = render(&finding, target).expect("a rule");
        let [rule] = &parse(&rendered.change, target)[..] else { panic!("{target}: {}", rendered.change) };
        assert_eq!(rule["description"], [shown], "{target}");
        for words in [
            "a free number below that of the refusing rule",
            "a name for the rule",
            "a service tag or an address prefix",
        ] {
            assert!(rendered.change.contains(words), "{target}: {}", rendered.change);
        }
    }
}

#[test]
fn bash_rejects_a_placeholder() {
    let finding = finding(&json!({ "acl": null, "acl_name": null }));
    let rendered = render(&finding, Target::Az).expect("a rule");
    for script in [&rendered.change, &rendered.undo] {
        let output = bash(script, "");
        assert!(!output.status.success() && output.stdout.is_empty(), "{script}: {}", stdout(&output));
        assert!(stderr(&output).contains("the subscription of the network security group"), "{}", stderr(&output));
    }
    let known = self::finding(&json!({}));
    let output = bash(&render(&known, Target::Az).expect("a rule").change, "");
    assert!(stderr(&output).contains("PRIORITY: a free number below that of deny-all-outbound"), "{}", stderr(&output));
}

#[test]
fn an_az_command_breaks_only_between_words() {
    for finding in [finding(&json!({})), finding(&json!({ "acl": null }))] {
        let broken = render(&finding, Target::Az).expect("a rule").change;
        let lines = flowgap::report::fix::az_lines(&finding);
        assert_eq!(shell_commands(&broken, "1"), shell_commands(&lines.join("\n"), "1"));
        for line in broken.lines() {
            let is_one_word = shell_commands(line, "1").concat().len() <= 1;
            assert!(line.chars().count() <= 80 || is_one_word, "{line}");
        }
    }
}

#[test]
fn the_group_is_read_from_any_form_of_the_acl() {
    let id = "5e1f0a6c-2b7d-4c39-9a84-d30b6e7715f2";
    let check = |acl: Value, expected: [Option<&str>; 3]| {
        let script = render(&finding(&json!({ "acl": acl })), Target::Az).expect("a rule").change;
        let [rule] = &az(&script)[..] else { panic!("{script}") };
        let got = ["subscription", "resource group", "nsg"].map(|name| rule[name].concat());
        assert_eq!(got, expected.map(|known| known.unwrap_or("190").to_owned()), "{acl}");
    };
    check(json!(NSG), [Some(id), Some("rg(1)_a"), Some("nsg-a")]);
    check(
        json!(NSG.replace("rg(1)_a", "rg(é)_1").to_uppercase()),
        [Some(&id.to_uppercase()), Some("RG(É)_1"), Some("NSG-A")],
    );
    check(json!("nsg-a"), [None, None, Some("nsg-a")]);
    check(json!(id), [None; 3]);
    check(json!(null), [None; 3]);
    check(json!(NSG.replace("networkSecurityGroups", "networkManagers")), [None; 3]);
    check(json!(NSG.replace("nsg-a", "a$(id)").replace("rg(1)_a", "rg b")), [Some(id), None, None]);
}

#[test]
fn other_changes_are_words() {
    for kind in ["admin-rule", "route", "encryption", "load-service-tags", "none"] {
        let finding = finding(&json!({ "fix": { "kind": kind, "note": "Look there." } }));
        assert!(Target::ALL.into_iter().all(|target| render(&finding, target).is_none()), "{kind}");
        assert_eq!(plan([&finding]).in_words[0].words, "Look there.");
    }
    for (key, value, says) in [
        ("ports", json!(["[80]"]), "No port is known"),
        ("ports", json!(["80; id"]), "is not a port"),
        ("protocol", json!("47"), "protocol 47"),
        ("source", json!("10.0.0.1, fd00::1"), "IPv4 and IPv6"),
    ] {
        let advice = plan([&finding(&json!({ "fix": { key: value } }))]).in_words;
        assert!(advice[0].words.contains(says), "{}", advice[0].words);
    }
}

#[test]
fn rules_of_one_group_have_distinct_names_and_twins_are_one() {
    let sql = finding(&json!({}));
    let other = finding(&json!({ "fix": { "destination": "192.0.2.1, 192.0.2.2" } }));
    let plan = plan([&sql, &sql, &other]);
    let [group] = &plan.groups[..] else { panic!("{plan:?}") };
    assert_eq!(group.rules.len(), 2);
    for target in Target::ALL {
        let rules = parse(&group.render(target).change, target);
        let names: Vec<String> = rules.iter().map(|rule| rule["name"].concat()).collect();
        assert_eq!(names, ["Allow-APIM-OUT-SQL", "Allow-APIM-OUT-SQL-2"], "{target}");
        assert_eq!(rules[1]["destination"], ["192.0.2.1", "192.0.2.2"], "{target}");
    }
}

#[test]
fn the_binary_prints_the_fixes_of_an_analysis() {
    let archive = "testdata/apim/insights-logs-flowlogflowevent";
    let tags = "testdata/tags/ServiceTags_Example_20260504.json";
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("analysis.json");
    std::fs::write(&path, analyze(&[archive, "--service-tags", tags, "--format", "json"]).stdout).expect("a file");
    let path = path.to_str().expect("UTF-8");
    for target in Target::NAMES {
        let output = flowgap(&["fix", path, "--all", "--as", target]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        check_golden(&format!("fix-{target}.txt"), &stdout(&output));
    }
    let first = stdout(&flowgap(&["fix", path]));
    assert!(first.contains("F-bc6e6bea") && first.contains("F-a7863307") && !first.contains("F-ff9f3bb4"), "{first}");
    assert_eq!(first, stdout(&flowgap(&["fix", path, "1", "--as", "az"])));
    let second = stdout(&flowgap(&["fix", path, "F-ff9f3bb4"]));
    assert_eq!(second, stdout(&flowgap(&["fix", path, "2"])));
    // All that is printed runs as one script, and the undo does not.
    let output = bash(&stdout(&flowgap(&["fix", path, "--all"])), "200");
    assert_eq!((stdout(&output).matches("=\n").count(), stdout(&output).contains("delete")), (3, false));

    let mut child = command(&["fix", "-", "1"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("flowgap");
    let json = std::fs::read(path).expect("a file");
    child.stdin.take().expect("a pipe").write_all(&[b"\xef\xbb\xbf", json.as_slice()].concat()).expect("written");
    assert_eq!(stdout(&child.wait_with_output().expect("an end")), first);

    for (arguments, status, says) in [
        (&[path, "9"][..], 2, "the analysis has no cause 9: it has causes 1 to 3"),
        (&[path, "0"], 2, "the analysis has no cause 0"),
        (&[path, "x\u{1b}"], 2, "is neither the number of a cause nor the id of a finding"),
        (&[path, "F-00000000"], 2, "the analysis has no finding 'F-00000000'"),
        (&["no-such.json"], 4, "'no-such.json' does not exist"),
        (&["README.md"], 4, "README.md is neither a saved analysis nor a flow log"),
        (&["testdata/apim-truth.json"], 4, "is neither a saved analysis nor a flow log"),
        (&[path, "--as", "chef"], 2, "possible values: az, bicep, terraform, powershell, portal"),
    ] {
        let output = flowgap(&[&["fix"], arguments].concat());
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        assert!(
            stderr(&output).contains(says) && !stderr(&output).contains('\u{1b}'),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}
