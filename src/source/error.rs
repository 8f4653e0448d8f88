//! Errors of sources, with remedies. No text of a service that may hold a secret is shown.

use super::list::others::Others;

use crate::remedy::{Advice, Remedy};

/// Reason why a source cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The local path does not exist.
    #[error("'{0}' does not exist")]
    Missing(String),
    /// The file pattern has no match.
    #[error("no file or folder matches '{0}'")]
    NoMatch(String),
    /// The file pattern is invalid.
    #[error("'{pattern}' is not a valid file pattern: {reason}")]
    Pattern {
        /// Pattern as typed.
        pattern: String,
        /// Reason why it is invalid.
        reason: &'static str,
    },
    /// Standard input cannot be copied to a temporary file.
    #[error("cannot store standard input in the temporary folder (TMPDIR): {0}")]
    Pipe(std::io::Error),
    /// The local path cannot be opened.
    #[error("'{source_text}' cannot be opened: {reason}")]
    Local {
        /// Path as typed, without secrets.
        source_text: String,
        /// Error of the system.
        reason: std::io::Error,
    },
    /// The address names no container, and its scheme needs one.
    #[error("'{shown}' names no container: write abfss://CONTAINER@ACCOUNT.dfs.core.windows.net[/PREFIX]")]
    NoContainer {
        /// Place as shown to the user, without secrets.
        shown: String,
    },
    /// The text is not an address of Blob Storage.
    #[error(
        "'{shown}' is not an address of Blob Storage: write https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX], az://CONTAINER[/PREFIX] or abfss://CONTAINER@ACCOUNT.dfs.core.windows.net[/PREFIX]"
    )]
    NotBlobStorage {
        /// Place as shown to the user, without secrets.
        shown: String,
    },
    /// Neither the address nor the environment names an account.
    #[error(
        "'{shown}' names no account: set AZURE_STORAGE_ACCOUNT_NAME, or write https://ACCOUNT.blob.core.windows.net/CONTAINER"
    )]
    NoAccount {
        /// Place as shown to the user, without secrets.
        shown: String,
    },
    /// Plain HTTP would expose the credential.
    #[error("'{shown}': plain http would send the credential unencrypted: write https://")]
    PlainHttp {
        /// Place as shown to the user, without secrets.
        shown: String,
    },
    /// The connection string cannot be parsed.
    #[error("AZURE_STORAGE_CONNECTION_STRING is not a connection string: copy it again from the account's access keys")]
    Connection,
    /// The account key is not base64.
    #[error("the {origin} is not valid: it must be base64, as shown under the account's access keys")]
    NoKey {
        /// Origin of the credential.
        origin: String,
    },
    /// No credential of the chosen kind is available.
    #[error("there is no credential for {shown}: {needs}")]
    NoCredential {
        /// Place as shown to the user, without secrets.
        shown: String,
        /// Advice on how to provide one.
        needs: String,
    },
    /// Two sources of one container have different signatures.
    #[error("{shown} is given with two different SAS tokens: give one that covers both places")]
    TwoSignatures {
        /// Place as shown to the user, without secrets.
        shown: String,
    },
    /// The store refused the request or failed.
    #[error("'{shown}': {reason}")]
    Store {
        /// Place as shown to the user, without secrets.
        shown: String,
        /// Reason and remedy.
        reason: String,
        /// Class of the refusal.
        refusal: Refusal,
    },
    /// The place contains no flow log.
    #[error("there is no flow log blob (*.json) in {shown}{instead}")]
    Empty {
        /// Place as shown to the user, without secrets.
        shown: String,
        /// Other files found and a remedy, to follow the place.
        instead: String,
    },
    /// The place contains no document.
    #[error("there is no *.json in {shown}: name a file, or a folder or prefix with exports")]
    NoDocument {
        /// Place as shown to the user, without secrets.
        shown: String,
    },
    /// The account has none of the default containers.
    #[error(
        "{account} has neither of the containers that flow logs are written to, {}: name the container as {account}/CONTAINER",
        super::path::CONTAINERS.join(" and ")
    )]
    NoLogs {
        /// Address of the account.
        account: String,
    },
    /// Flow logs exist, but the selection excludes them all.
    #[error("no blob in {shown} has the chosen prefix or interface: {} shows what is there", Advice::Inspect(.shown))]
    NotChosen {
        /// Place as shown to the user, without secrets.
        shown: String,
    },
}

/// Reason why a response is rejected, regardless of its content.
#[derive(Debug, thiserror::Error)]
pub(in crate::source) enum Untaken {
    #[error(
        "{by} answered with a redirect ({status}), which Azure never does here and which is not followed: check the address, and whether a proxy or login page answers in its place"
    )]
    Redirect {
        /// Scheme, host and port.
        by: String,
        status: u16,
    },
    #[error("the response does not match the request: it is longer than {most} bytes")]
    TooLong { most: usize },
    #[error("the pages of its blob list form a loop, so the list cannot be completed: a proxy may have changed them")]
    Circle,
}

impl From<Untaken> for object_store::Error {
    fn from(why: Untaken) -> Self {
        Self::Generic { store: "MicrosoftAzure", source: why.into() }
    }
}

impl Untaken {
    fn of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(why) = error.downcast_ref() {
                return Some(why);
            }
            cause = error.source();
        }
        None
    }
}

/// Class of a store's refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The place does not exist.
    Absent,
    /// The place exists, but this credential may not read it.
    Forbidden,
    /// Any other failure.
    Other,
}

impl SourceError {
    /// Creates an error from a store's response about the place `shown`. `origin` is the origin of the credential, and
    /// `weakness` a known fault of it.
    pub(in crate::source) fn of(
        error: &object_store::Error,
        shown: &str,
        origin: Option<&str>,
        weakness: Option<String>,
    ) -> Self {
        let (is_refused, is_absent) = (is_refused(error), is_absent(error));
        let words = weakness.filter(|_| is_refused && !is_absent).unwrap_or_else(|| remedy_for(error, shown));
        let reason = match origin {
            Some(origin) if is_refused => format!("{words} (credential: {origin})"),
            _ => words,
        };
        let refusal = match (is_absent, is_forbidden(error)) {
            (true, _) => Refusal::Absent,
            (_, true) => Refusal::Forbidden,
            _ => Refusal::Other,
        };
        Self::Store { reason, refusal, shown: shown.to_owned() }
    }

    /// Creates the error for a place without flow logs, given the other files found.
    pub(in crate::source) fn empty(shown: String, others: &Others) -> Self {
        let list = |names: &[String]| names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
        const FOLDER: &str = "name a folder or prefix that contains PT1H.json files";
        let files = if others.files == 1 { "file" } else { "files" };
        let instead = match (others.closed_names(), others.names()) {
            ([], []) => format!(": {FOLDER}"),
            ([], names) => {
                format!(", only {} {files} with other names, such as {}: {FOLDER}", others.files, list(names))
            }
            (closed, _) => format!(
                ", only {} {files} with other names, among them {}: name an archive as a source of its own, and unpack nested archives and unsupported compression formats",
                others.files,
                list(closed)
            ),
        };
        Self::Empty { shown, instead }
    }

    /// Creates the error for a place that cannot be read, with the reason.
    pub(in crate::source) fn unread(shown: &str, why: &str) -> Self {
        Self::Store { shown: shown.to_owned(), reason: why.to_owned(), refusal: Refusal::Other }
    }

    /// Creates the error for a container that does not exist, with the reason.
    pub(in crate::source) fn absent(shown: &str, reason: String) -> Self {
        Self::Store { shown: shown.to_owned(), reason, refusal: Refusal::Absent }
    }

    /// Creates the error for a credential that is unusable by its own fields.
    pub(in crate::source) fn weak(shown: &str, weakness: &str, origin: &str) -> Self {
        let reason = format!("{weakness} (credential: {origin})");
        Self::Store { shown: shown.to_owned(), reason, refusal: Refusal::Other }
    }
}

/// Known phrases of error texts, each group with its remedy. `@` stands for the place and `%` for the sign-in code.
/// The first match counts.
const REMEDIES: [(&[&str], &str); 31] = [
    (&["Signed expiry time", "Signed expiry must be after"], "the SAS has expired: create a new one"),
    (&["Signed start"], "the SAS is not valid yet: wait, or create one that starts earlier"),
    (
        &["Request date header too old", "RequestTimeTooSkewed"],
        "this machine's clock is wrong: set it, for example with NTP",
    ),
    (&["Signature not valid in the specified time frame"], "the SAS has expired or is not valid yet: create a new one"),
    (
        &["Signature fields not well formed", "Signature did not match"],
        "the SAS is damaged or belongs to another place: copy all of it again",
    ),
    (
        &["The MAC signature found"],
        "the account key is wrong or was rotated: copy it again from the account's access keys",
    ),
    (
        &["KeyBasedAuthenticationNotPermitted"],
        "the account accepts neither account keys nor a SAS signed with one: sign in with az login and add {auth} cli",
    ),
    (
        &["AuthorizationSourceIPMismatch"],
        "the SAS is restricted to other IP addresses: create one without that restriction, or one that includes this machine",
    ),
    (
        &[
            "AuthorizationPermissionMismatch",
            "AuthorizationResourceTypeMismatch",
            "AuthorizationServiceMismatch",
            "InsufficientAccountPermissions",
        ],
        "no permission to read: assign the role Storage Blob Data Reader on @, or use a SAS with read and list (sp=rl)",
    ),
    (
        &["AuthorizationFailure", "This request is not authorized to perform this operation"],
        "the account's firewall blocks this network, or the SAS is damaged or lacks read and list: allow this network under Networking, or run in a network that may reach the account",
    ),
    (
        &["Issuer validation failed", "InvalidAuthenticationInfo", "AADSTS50020", "WrongTenant"],
        "the token belongs to another tenant or has expired: run az login --tenant TENANT, or set AZURE_TENANT_ID to the account's tenant",
    ),
    (
        &["az did not answer in time"],
        "the Azure CLI does not answer: run az account get-access-token to see what it waits for, or raise {timeout}",
    ),
    (
        &["az login", "'az account get-access-token'"],
        "the Azure CLI returned no token: run az login, with --tenant if there are several",
    ),
    (&["AADSTS90002", "AADSTS900023"], "there is no such tenant: check AZURE_TENANT_ID"),
    (&["AADSTS700016"], "the tenant has no such application: check AZURE_CLIENT_ID and AZURE_TENANT_ID"),
    (
        &["AADSTS7000215", "AADSTS7000222", "invalid_client"],
        "the client secret is wrong or has expired: make a new one and set AZURE_CLIENT_SECRET",
    ),
    (
        &["AADSTS70021", "AADSTS700024", "AADSTS700027"],
        "the tenant does not trust the identity's token file (%): compare it with the federated credential of AZURE_CLIENT_ID, and check that it is renewed",
    ),
    (
        &["AADSTS"],
        "the identity was given no token (%): check AZURE_TENANT_ID, AZURE_CLIENT_ID, and its secret or token file",
    ),
    (&["Error reading federated token file"], "the file named by AZURE_FEDERATED_TOKEN_FILE cannot be read"),
    (
        &["Identity not found", "token request", "Error getting token response"],
        "the identity service returned no token: check the identity's settings, or choose another credential with {auth}",
    ),
    (
        &["PublicAccessNotPermitted", "NoAuthenticationInformation"],
        "the container does not allow anonymous access: drop {auth} anonymous and sign in",
    ),
    (&["AccountIsDisabled"], "the account is disabled: check it in the portal"),
    (&["BlobArchived", "BlobBeingRehydrated"], "it is in the archive tier: move it to the hot or cool tier first"),
    (
        &["ContainerBeingDeleted", "ContainerNotFound"],
        "there is no such container: check its name, or name the account alone to find the containers with flow logs",
    ),
    (
        &["dns error", "failed to lookup address"],
        "there is no such host: check its name, and that this machine is online and can reach its network",
    ),
    (
        &["certificate not valid for name"],
        "its certificate belongs to another host: check the address, and whether a proxy answers in its place",
    ),
    (
        &["certificate expired", "certificate not valid yet"],
        "its certificate has expired or is not valid yet: check this machine's clock, and whether a proxy replaced the certificate",
    ),
    (
        &["InvalidContentType", "corrupt message"],
        "the server does not speak TLS: check the port, and whether a proxy answers in its place",
    ),
    (
        &["tunnel", "status code: 407"],
        "the proxy named by HTTPS_PROXY, HTTP_PROXY or ALL_PROXY rejected the connection: check its address, user and password, or exempt the host with NO_PROXY",
    ),
    (
        &["certificate", "invalid peer"],
        "its certificate is not trusted: a proxy may have replaced it; if you trust that proxy, name its certificate with SSL_CERT_FILE",
    ),
    (
        &["Connection refused", "ConnectionRefused"],
        "the connection was refused: check host and port, the proxy if HTTPS_PROXY or HTTP_PROXY is set, and firewalls in between",
    ),
];

/// Returns the reason and a remedy for a store's error; `shown` names the place. Never prints an address's query.
pub fn remedy_for(error: &object_store::Error, shown: &str) -> String {
    use object_store::Error::*;
    if let Some(why) = Untaken::of(error) {
        return why.to_string();
    }
    let text = in_full(error);
    if let Some((_, words)) = REMEDIES.iter().find(|(signs, _)| signs.iter().any(|sign| text.contains(sign))) {
        return Remedy::spell(words).replace('%', sign_in_code(&text)).replace('@', shown);
    }
    match error {
        NotFound { .. } => NOT_FOUND.to_owned(),
        _ if is_status(&text, 404) => NOT_FOUND.to_owned(),
        Unauthenticated { .. } => UNAUTHENTICATED.to_owned(),
        _ if is_status(&text, 401) => UNAUTHENTICATED.to_owned(),
        PermissionDenied { .. } => NOT_ALLOWED.replace('@', shown),
        _ if is_status(&text, 403) => NOT_ALLOWED.replace('@', shown),
        Precondition { .. } => "it changed while it was read: run again".to_owned(),
        _ if is_status(&text, 412) => "it changed while it was read: run again".to_owned(),
        _ if is_status(&text, 429) || is_status(&text, 503) => {
            format!("the account kept answering 429 or 503: try again later or lower {}", Remedy::Concurrency)
        }
        _ if is_status(&text, 500) || is_status(&text, 502) || is_status(&text, 504) => {
            "the service kept failing: try again later".to_owned()
        }
        _ if text.contains("contained empty path segment") => {
            format!("{}: a blob with such a name cannot be read; select others with {}", path_of(&text), Remedy::Prefix)
        }
        _ if let Some((_, words)) = text.rsplit_once("HTTP error: ") => {
            format!("the connection failed on every attempt: {}", first_line(words))
        }
        _ if text.contains("list response") || text.contains("list request") => {
            "the response is not a list of blobs: a proxy or login page may answer in place of the account".to_owned()
        }
        _ if let Some(words) = text.strip_prefix("Generic MicrosoftAzure error: ") => {
            format!("the response does not match the request, as if a proxy had changed it: {}", first_line(words))
        }
        _ if text.contains("Permission denied") => "no permission to read it: change its permissions".to_owned(),
        _ => first_line(text.strip_prefix("Generic LocalFileSystem error: ").unwrap_or(&text)),
    }
}

const NOT_FOUND: &str = "there is no such container or path: check its name, or name the account alone to find the containers with flow logs";
const UNAUTHENTICATED: &str =
    "the account does not accept the credential: it may belong to another tenant or have expired";
const NOT_ALLOWED: &str =
    "no permission to read: assign the role Storage Blob Data Reader on @, or use a valid SAS with read and list";

/// Returns whether an error concerns the credential.
fn is_refused(error: &object_store::Error) -> bool {
    let text = in_full(error);
    is_status(&text, 401) || is_status(&text, 403) || is_status(&text, 409) || text.contains("oken")
}

/// Returns whether the place does not exist.
pub(in crate::source) fn is_absent(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. }) || is_status(&in_full(error), 404)
}

/// Returns whether the place exists but the credential may not read it.
pub(in crate::source) fn is_forbidden(error: &object_store::Error) -> bool {
    use object_store::Error::{PermissionDenied, Unauthenticated};
    let text = in_full(error);
    matches!(error, PermissionDenied { .. } | Unauthenticated { .. }) || is_status(&text, 401) || is_status(&text, 403)
}

/// Returns whether the blob changed since it was listed.
pub(in crate::source) fn is_changed(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::Precondition { .. }) || is_status(&in_full(error), 412)
}

/// Returns whether an error text names a status. Because list errors are generic, the text is the only place to find
/// it.
fn is_status(text: &str, status: u16) -> bool {
    text.contains(&format!("status code: {status}"))
}

/// Returns the sign-in code, such as AADSTS50034, which Microsoft documents. Holds no secret.
fn sign_in_code(text: &str) -> &str {
    let code = text.find("AADSTS").map_or("", |at| &text[at..]);
    let end = code.char_indices().skip("AADSTS".len()).find(|(_, c)| !c.is_ascii_digit());
    &code[..end.map_or(code.len(), |(at, _)| at)]
}

/// Joins the texts of an error and its causes.
pub(in crate::source) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// Returns the quoted path in an error text.
fn path_of(text: &str) -> &str {
    text.split('"').nth(1).unwrap_or("a blob")
}

/// Returns the first line of a text, with query strings removed.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split(' ').map(|word| word.split('?').next().unwrap_or_default()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the message for a failed token request with this text.
    fn said_of(text: &str) -> String {
        remedy_for(&object_store::Error::Generic { store: "MicrosoftAzure", source: text.into() }, "place")
    }

    #[test]
    fn a_sign_in_that_fails_is_said_of_who_signs_in() {
        for (text, says) in [
            (
                "token request: {\"error_description\":\"AADSTS50034: no S3CR3T\"}",
                "given no token (AADSTS50034): check",
            ),
            ("token request: AADSTS700213: No matching federated identity", "(AADSTS700213): compare"),
            ("'az account get-access-token': AADSTS50076: you must use multi-factor", "run az login"),
            ("'az account get-access-token': AADSTS700016: not found", "run az login"),
            ("token request: AADSTS700016: not found", "AZURE_CLIENT_ID"),
            ("'az account get-access-token': az did not answer in time", "--timeout"),
        ] {
            let said = said_of(text);
            assert!(said.contains(says) && !said.contains("S3CR3T"), "{text}: {said}");
            assert!(said.contains("az login") == says.contains("az login"), "{text}: {said}");
        }
    }

    #[test]
    fn the_first_line_holds_no_query() {
        assert_eq!(first_line("Get https://x/y?sig=SECRET failed\nmore"), "Get https://x/y failed");
    }
}
