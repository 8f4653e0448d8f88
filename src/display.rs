//! Settings for the text form of values. Knows no output formats and no engine.

/// Formats of values in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Display {
    /// Text for null; `None` for the default of the format.
    pub null: Option<String>,
    /// chrono format of dates; `None` for ISO 8601.
    pub date_format: Option<String>,
    /// chrono format of times of day; `None` for ISO 8601.
    pub time_format: Option<String>,
    /// chrono format of timestamps; `None` for ISO 8601.
    pub timestamp_format: Option<String>,
    /// Time zone in which timestamps with a zone are shown.
    pub time_zone: String,
}

impl Default for Display {
    fn default() -> Self {
        Self { null: None, date_format: None, time_format: None, timestamp_format: None, time_zone: "UTC".to_owned() }
    }
}
