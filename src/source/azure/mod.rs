//! Blob Storage: credentials, requests and lists.

pub(super) mod auth;
pub(super) mod cli_token;
pub(super) mod endpoint;
pub(super) mod http;
pub(super) mod pages;
