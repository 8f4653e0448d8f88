//! Reads a file and returns text that begins like JSON. Knows no tags.

use std::borrow::Cow;
use std::path::Path;

use super::error::ServiceTagsError;
use crate::catalog::text_file::{self, NoText};

const FOLDER: ServiceTagsError = ServiceTagsError::Form("this is a folder: name the service-tag file in it");
const TOO_LONG: ServiceTagsError =
    ServiceTagsError::Form("the file is larger than 64 MiB, so it is not a ServiceTags_*.json, which has about 5 MiB");
const EMPTY: ServiceTagsError = ServiceTagsError::Form("the file is empty: download it again");
const COMPRESSED: ServiceTagsError = ServiceTagsError::Form("the file is compressed: unpack it first");
const BINARY: ServiceTagsError = ServiceTagsError::Form(
    "this is not text, so it is not a ServiceTags_*.json: that is UTF-8, or UTF-16 with a byte-order mark",
);
const WEB_PAGE: ServiceTagsError = ServiceTagsError::Form(
    "this is a web page, not the service-tag file: save the ServiceTags_*.json that the page links to",
);
const XML: ServiceTagsError = ServiceTagsError::Form(
    "this is XML, and Azure's XML address lists name no services: download ServiceTags_*.json instead",
);
const NO_JSON: ServiceTagsError = ServiceTagsError::Form(
    "this is not a JSON list of tags, so it is not a ServiceTags_*.json: az writes one with --output json",
);

/// Reads a whole file, or a pipe, of at most 64 MiB.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ServiceTagsError> {
    Ok(text_file::read(path)?)
}

/// Decodes UTF-8, or UTF-16 with a byte-order mark, and returns what begins with a JSON list or object.
pub(super) fn json_text(bytes: &[u8]) -> Result<Cow<'_, str>, ServiceTagsError> {
    let text = text_file::decode(bytes)?;
    let begins_json = |text: &str| text.trim_start().starts_with(['{', '[']);
    if begins_json(&text) {
        return Ok(text);
    }
    let start = text.trim_start();
    if start.is_empty() {
        return Err(EMPTY);
    }
    if start.starts_with('<') {
        let head = start.chars().take(1024).collect::<String>().to_ascii_lowercase();
        let is_page = head.starts_with("<!doctype html") || head.contains("<html");
        return Err(if is_page { WEB_PAGE } else { XML });
    }
    match text.lines().position(begins_json) {
        Some(before) => Err(ServiceTagsError::TextBefore { line: before + 1 }),
        None => Err(NO_JSON),
    }
}

impl From<NoText> for ServiceTagsError {
    fn from(reason: NoText) -> Self {
        match reason {
            NoText::Io(error) => error.into(),
            NoText::Folder => FOLDER,
            NoText::TooLong => TOO_LONG,
            NoText::Compressed => COMPRESSED,
            NoText::Binary => BINARY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_by_its_mark() {
        let little: Vec<u8> = "\u{feff}{é}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "\u{feff}{é}".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in ["{é}".as_bytes(), "\u{feff}{é}".as_bytes(), &little, &big] {
            assert_eq!(json_text(bytes).map_err(|e| e.to_string()).as_deref(), Ok("{é}"));
        }
        for bytes in [&little[..5], &little[2..], &b"\xff\xfe\x00\xd8"[..], b"{\xe9}", b"\0\0\0\0"] {
            let error = json_text(bytes).map_err(|e| e.to_string());
            assert_eq!(error, Err(BINARY.to_string()), "{bytes:?}");
        }
    }

    #[test]
    fn other_kinds_are_named() {
        for (text, says) in [
            ("", "empty"),
            (" \r\n\t", "empty"),
            ("<!DOCTYPE html>\n<HTML lang=en>", "web page"),
            ("<?xml version='1.0'?><AzurePublicIpAddresses/>", "XML"),
            ("PK\u{3}\u{4}...", "compressed"),
            ("cloud: Public\nvalues:\n- name: Sql", "not a JSON list"),
            ("null", "not a JSON list"),
            ("WARNING: a change.\n\n {\"values\": []}", "the JSON begins at line 3"),
        ] {
            let error = json_text(text.as_bytes()).map_err(|e| e.to_string());
            assert!(error.as_ref().is_err_and(|said| said.contains(says)), "{text}: {error:?}");
        }
    }
}
