//! How values are to be shown to people, as settings of a session say it. Knows no formats and no engine.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Display {
    /// What stands for null; `None` for what the format has.
    pub null: Option<String>,
    /// Of `chrono`, as all that follow; `None` for ISO 8601.
    pub date_format: Option<String>,
    pub time_format: Option<String>,
    pub timestamp_format: Option<String>,
    /// Zone that timestamps with a zone are shown in.
    pub time_zone: String,
}

impl Default for Display {
    fn default() -> Self {
        Self { null: None, date_format: None, time_format: None, timestamp_format: None, time_zone: "UTC".to_owned() }
    }
}
