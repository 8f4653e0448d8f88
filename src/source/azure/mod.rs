//! Azure: credentials, requests and lists of Blob Storage, and the management API.

pub(super) mod auth;
pub(super) mod cli_token;
pub(super) mod containers;
pub(super) mod endpoint;
pub(super) mod http;
pub(super) mod likely;
pub(super) mod management;
pub(super) mod pages;
pub(super) mod sign_in;
pub(super) mod tag_list;
pub(super) mod token;
