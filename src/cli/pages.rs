//! Examples and exit statuses of each verb, for help and manual pages.

use super::Status;

/// Parts of the help of a verb.
pub struct Page {
    pub verb: &'static str,
    /// Commands, each with what it does.
    examples: &'static [(&'static str, &'static str)],
    /// Exit statuses that the verb may have.
    pub statuses: &'static [Status],
}

use Status::{Clean, CouldNotTell, Findings, Internal, Interrupted, Source, Usage};

const SAVED: &[Status] = &[Clean, Findings, Usage, CouldNotTell, Internal, Interrupted];
const READ: &[Status] = &[Clean, Usage, CouldNotTell, Source, Internal, Interrupted];
const PLAIN: &[Status] = &[Clean, Usage, Internal];

/// Pages of all verbs.
pub const PAGES: [Page; 25] = [
    Page {
        verb: "analyze",
        examples: &[
            ("flowgap analyze logs/ --subnet 10.20.1.0/24", "is anything blocked that this subnet needs?"),
            (
                "flowgap analyze logs/ --last 1d -o report.html -o report.json",
                "the last day, as a web page and as data",
            ),
            (
                "flowgap analyze https://ACCOUNT.blob.core.windows.net --auth cli --from yesterday",
                "from a storage account, signed in with az login",
            ),
        ],
        statuses: &[Clean, Findings, Usage, CouldNotTell, Source, Internal, Interrupted],
    },
    Page {
        verb: "explain",
        examples: &[
            ("flowgap explain 1", "cause 1 of the last analysis, at length"),
            ("flowgap explain 2 report.json", "cause 2 of a saved analysis"),
        ],
        statuses: READ,
    },
    Page {
        verb: "fix",
        examples: &[
            ("flowgap fix 1", "the az commands that open what cause 1 blocks"),
            ("flowgap fix --all --format terraform", "the same for every cause, for Terraform"),
        ],
        statuses: READ,
    },
    Page {
        verb: "sql",
        examples: &[
            ("flowgap sql logs/", "an interactive shell"),
            ("flowgap sql logs/ -c \"FROM flows WHERE dst_port = 1433 LIMIT 5\"", "one query"),
            ("flowgap sql logs/ --table owners=owners.csv -f report.sql -o report.csv", "with a table of yours"),
        ],
        statuses: READ,
    },
    Page {
        verb: "query",
        examples: &[
            ("flowgap query --list", "all names and parameters"),
            ("flowgap query denied_timeline logs/ --param step=day", "denied flows per day"),
        ],
        statuses: READ,
    },
    Page {
        verb: "serve",
        examples: &[
            ("flowgap serve --users users --add-user grafana", "add a user, or change the password"),
            ("flowgap serve logs/ --users users --refresh 5m", "on 127.0.0.1:5432, for psql and Grafana"),
        ],
        statuses: &[Clean, Usage, Source, Internal, Interrupted],
    },
    Page { verb: "scheduler", examples: &[("flowgap scheduler", "on 127.0.0.1:50050")], statuses: PLAIN },
    Page {
        verb: "executor",
        examples: &[
            ("flowgap executor --scheduler http://127.0.0.1:50050", "with all cores of this machine"),
            ("flowgap analyze logs/ --cluster http://127.0.0.1:50050", "an analysis whose logs the executors read"),
        ],
        statuses: PLAIN,
    },
    Page { verb: "was", examples: WAS, statuses: READ },
    Page {
        verb: "doctor",
        examples: &[
            ("flowgap doctor logs/", "are the logs complete and fresh?"),
            ("flowgap doctor https://ACCOUNT.blob.core.windows.net", "and does access work?"),
        ],
        statuses: READ,
    },
    Page {
        verb: "inspect",
        examples: &[("flowgap inspect logs/", "subnets, interfaces, rules and gaps in the logs")],
        statuses: READ,
    },
    Page {
        verb: "ingest",
        examples: &[("flowgap ingest logs/ --to lake", "copy what is new, each flow once")],
        statuses: READ,
    },
    Page {
        verb: "lake",
        examples: &[
            ("flowgap lake status lake", "versions, files, rows, gaps and lag"),
            ("flowgap lake verify lake logs/", "compare each blob with what the lake holds of it"),
        ],
        statuses: READ,
    },
    Page {
        verb: "check",
        examples: &[("flowgap check --nsg nsg.json --subnet 10.20.1.0/24", "what do the rules refuse?")],
        statuses: SAVED,
    },
    Page {
        verb: "report",
        examples: &[("flowgap report report.json --format markdown", "a saved analysis in another format")],
        statuses: SAVED,
    },
    Page {
        verb: "tags",
        examples: &[
            ("flowgap tags fetch --location westeurope", "service tags into the cache, where analyze finds them"),
            ("flowgap tags show 192.0.2.20", "the tags of an address"),
        ],
        statuses: &[Clean, Usage, Source, Internal, Interrupted],
    },
    Page {
        verb: "diff",
        examples: &[("flowgap diff monday.json tuesday.json", "what is new, worse, back or over")],
        statuses: SAVED,
    },
    Page {
        verb: "run",
        examples: &[("flowgap run --config flowgap.toml --dry-run", "everything but delivering and saving")],
        statuses: &[Clean, Findings, Usage, CouldNotTell, Source, Internal, Interrupted],
    },
    Page {
        verb: "config",
        examples: &[("flowgap config example > flowgap.toml", "a configuration to start with")],
        statuses: PLAIN,
    },
    Page {
        verb: "schema",
        examples: &[("flowgap schema analysis > analysis.schema.json", "keys and words of --format json")],
        statuses: PLAIN,
    },
    Page {
        verb: "requirements",
        examples: &[("flowgap requirements --edition 2025-06-r2", "the port table of an edition")],
        statuses: PLAIN,
    },
    Page {
        verb: "generate",
        examples: &[("flowgap generate archive/", "a realistic archive with planted faults")],
        statuses: PLAIN,
    },
    Page {
        verb: "completions",
        examples: &[("flowgap completions bash > /etc/bash_completion.d/flowgap", "completion for bash")],
        statuses: PLAIN,
    },
    Page { verb: "man", examples: &[("flowgap man analyze | man -l -", "the page of a verb")], statuses: PLAIN },
    Page { verb: "help", examples: &[], statuses: PLAIN },
];

const WAS: &[(&str, &str)] = &[
    ("flowgap was \"10.20.1.4 -> 10.30.0.5:1433\" logs/", "was it tried, let through or refused, and by whom?"),
    ("flowgap was \"10.20.1.0/24 -> Sql:1433\" logs/", "a subnet to a service tag"),
];

impl Page {
    /// Returns the examples as a section.
    pub fn examples(&self) -> String {
        let lines = self.examples.iter().map(|(command, what)| format!("  {command}\n      {what}\n"));
        format!("Examples:\n{}", lines.collect::<String>())
    }

    /// Returns the examples, each a command and what it does.
    pub fn lines(&self) -> &'static [(&'static str, &'static str)] {
        self.examples
    }
}

/// Returns exit statuses as a section.
pub fn statuses(statuses: &[Status]) -> String {
    let lines = statuses.iter().map(|status| format!("  {:<5}{}\n", *status as u8, meaning(*status)));
    format!("Exit status:\n{}", lines.collect::<String>())
}

/// Returns what an exit status means.
pub fn meaning(status: Status) -> &'static str {
    match status {
        Clean => "success, and nothing to report",
        Findings => "a finding is at least as severe as --fail-on",
        Usage => "an option, a file that it names, a query or the output is wrong",
        CouldNotTell => "too little or incomplete input to call anything fine",
        Source => "a source cannot be opened or has no blob",
        Internal => "an internal error",
        Interrupted => "interrupted by a signal",
    }
}
