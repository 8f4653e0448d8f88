//! Settings that say how values are shown. Knows no output formats and no engine.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Display {
    /// Text for null; `None` for the default of the format.
    pub null: Option<String>,
    /// chrono format string; `None` means ISO 8601. The same for the fields below.
    pub date_format: Option<String>,
    pub time_format: Option<String>,
    pub timestamp_format: Option<String>,
    /// Time zone in which timestamps with a zone are shown.
    pub time_zone: String,
}

impl Default for Display {
    fn default() -> Self {
        Self { null: None, date_format: None, time_format: None, timestamp_format: None, time_zone: "UTC".to_owned() }
    }
}
