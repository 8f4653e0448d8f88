//! The options and commands that advice names. This is the only place below the command line that spells them.

use std::fmt;

/// An option that a message, a notice or a fix tells the user to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Every cause.
    All,
    /// Credential for the storage account.
    Auth,
    /// Cloud of the management API.
    Cloud,
    /// Number of concurrent requests.
    Concurrency,
    /// The long form of the text report.
    Details,
    /// Output format.
    Format,
    /// Start of the time window.
    From,
    /// Network security group to check.
    Group,
    /// List of the editions of the port table.
    ListEditions,
    /// Region of the management API.
    Location,
    /// Memory of a query.
    Memory,
    /// Share of required dependencies that need evidence.
    MinCoverage,
    /// Value of a parameter of a query.
    Param,
    /// Start of the names of blobs.
    Prefix,
    /// Making the cursors of a lake again.
    RebuildCursors,
    /// Service-tag file.
    ServiceTags,
    /// Date of the service-tag file.
    ServiceTagsDate,
    /// Subnet of the API Management instance.
    Subnet,
    /// Seconds without progress.
    Timeout,
    /// Number of findings that are shown.
    Top,
    /// Address space of the virtual network.
    Vnet,
    /// Mode of the API Management instance.
    VnetMode,
}

impl Remedy {
    /// Every option.
    pub const ALL: [Self; 22] = [
        Self::All,
        Self::Auth,
        Self::Cloud,
        Self::Concurrency,
        Self::Details,
        Self::Format,
        Self::From,
        Self::Group,
        Self::ListEditions,
        Self::Location,
        Self::Memory,
        Self::MinCoverage,
        Self::Param,
        Self::Prefix,
        Self::RebuildCursors,
        Self::ServiceTags,
        Self::ServiceTagsDate,
        Self::Subnet,
        Self::Timeout,
        Self::Top,
        Self::Vnet,
        Self::VnetMode,
    ];

    /// Returns the option as users type it.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::All => "--all",
            Self::Auth => "--auth",
            Self::Cloud => "--cloud",
            Self::Concurrency => "--concurrency",
            Self::Details => "--details",
            Self::Format => "--format",
            Self::From => "--from",
            Self::Group => "--group",
            Self::ListEditions => "--list-editions",
            Self::Location => "--location",
            Self::Memory => "--memory",
            Self::MinCoverage => "--min-coverage",
            Self::Param => "--param",
            Self::Prefix => "--prefix",
            Self::RebuildCursors => "--rebuild-cursors",
            Self::ServiceTags => "--service-tags",
            Self::ServiceTagsDate => "--service-tags-date",
            Self::Subnet => "--subnet",
            Self::Timeout => "--timeout",
            Self::Top => "--top",
            Self::Vnet => "--vnet",
            Self::VnetMode => "--vnet-mode",
        }
    }

    /// Replaces each `{name}` in fixed words by the option of that name, such as `{auth}` by `--auth`.
    pub fn spell(words: &str) -> String {
        let spelled = |words: String, remedy: &Self| {
            let flag = remedy.flag();
            words.replace(&format!("{{{}}}", flag.trim_start_matches('-')), flag)
        };
        Self::ALL.iter().fold(words.to_owned(), spelled)
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.flag())
    }
}

/// A command that a message tells the user to run, with the place that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice<'a> {
    /// Makes a lake.
    Ingest(&'a str),
    /// Shows what a source holds.
    Inspect(&'a str),
    /// Makes the cursors of a lake again.
    Rebuild(&'a str),
    /// Checks a lake.
    Verify(&'a str),
}

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ingest(lake) => write!(f, "flowgap ingest SOURCE --to {}", shell_word(lake)),
            Self::Inspect(source) => write!(f, "flowgap inspect {}", shell_word(source)),
            Self::Rebuild(lake) => {
                write!(f, "flowgap lake verify {} SOURCE {}", shell_word(lake), Remedy::RebuildCursors)
            }
            Self::Verify(lake) => write!(f, "flowgap lake verify {}", shell_word(lake)),
        }
    }
}

/// Quotes a word for a shell such as bash.
pub fn shell_word(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:,".contains(letter);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (text, shown) in [
            ("a-b_c.d/1", "a-b_c.d/1"),
            ("*", "'*'"),
            ("", "''"),
            ("a'b", r"'a'\''b'"),
            ("$(x) `y` \\", r"'$(x) `y` \'"),
        ] {
            assert_eq!(shell_word(text), shown);
        }
    }

    #[test]
    fn words_name_options_in_braces() {
        assert_eq!(Remedy::spell("add {auth} cli, or {service-tags-date}"), "add --auth cli, or --service-tags-date");
        assert_eq!(Remedy::spell("no {option}"), "no {option}");
    }
}
