//! Chooses the credential for a storage account, in a fixed order and without network requests. Secrets never print.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use object_store::azure::{AzureAccessKey, AzureConfigKey, MicrosoftAzureBuilder};
use url::form_urlencoded;

use super::cli_token::AzureCli;
use super::endpoint::{Cloud, Endpoint, Secret, StoreKey};
use super::likely::Used;
use crate::names::names;
use crate::remedy::Remedy;
use crate::source::SourceError;

/// Kind of credential to use, as named by `--auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// The first kind in `Auth::AUTOMATIC` for which a credential is available.
    #[default]
    Auto,
    /// A service principal: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`.
    Env,
    /// A workload identity: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_FEDERATED_TOKEN_FILE`.
    Workload,
    /// A managed identity. If there are several, `AZURE_CLIENT_ID` selects one.
    Managed,
    /// The account that `az login` signed in.
    Cli,
    /// A shared access signature, from the address or the environment.
    Sas,
    /// An account key.
    Key,
    /// No credential, for a container with anonymous access.
    Anonymous,
}

names!(Auth {
    Auto = "auto",
    Env = "env",
    Workload = "workload",
    Managed = "managed",
    Cli = "cli",
    Sas = "sas",
    Key = "key",
    Anonymous = "anonymous",
});

impl Auth {
    /// Credentials given for this account come before general identities, and cheap checks before slow ones.
    const AUTOMATIC: [Self; 6] = [Self::Sas, Self::Key, Self::Env, Self::Workload, Self::Managed, Self::Cli];

    /// Names of the kinds that the management API takes.
    pub const MANAGEMENT_NAMES: [&str; 5] =
        [Self::Auto.name(), Self::Env.name(), Self::Workload.name(), Self::Managed.name(), Self::Cli.name()];

    /// Returns the advice for a missing credential of this kind.
    fn needs(self) -> &'static str {
        match self {
            Self::Auto => {
                "give a SAS in the address, set AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_ACCOUNT_KEY or \
                 AZURE_STORAGE_CONNECTION_STRING, or sign in with az login; {auth} managed asks for a managed identity"
            }
            Self::Env => "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
            Self::Workload => "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE",
            Self::Managed | Self::Anonymous => "nothing is needed",
            Self::Cli => "install the Azure CLI (az must be on the PATH), and run az login",
            Self::Sas => "give it in the address, or set AZURE_STORAGE_SAS_TOKEN",
            Self::Key => "set AZURE_STORAGE_ACCOUNT_KEY",
        }
    }
}

/// Credential settings of the environment.
#[derive(Clone, Default)]
pub struct Environment {
    variables: HashMap<String, String>,
    /// True if the Azure CLI is on the `PATH`.
    has_cli: bool,
    /// True on a virtual machine in Azure, which can have an identity.
    is_azure_machine: bool,
}

/// Prints names only, because values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

const CONNECTION: &str = "AZURE_STORAGE_CONNECTION_STRING";
const ACCOUNT: [&str; 2] = ["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"];
const KEY: [&str; 2] = ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"];
const SAS: [&str; 1] = ["AZURE_STORAGE_SAS_TOKEN"];
/// Variables with the endpoint of the identity service. App Service, Functions, Container Apps and Azure Arc set the
/// first one.
const IDENTITY: [&str; 3] = ["IDENTITY_ENDPOINT", "AZURE_MSI_ENDPOINT", "MSI_ENDPOINT"];
const IDENTITY_HEADER: &str = "IDENTITY_HEADER";
/// Variable with another address of the management API, such as that of a test.
pub(super) const MANAGEMENT: &str = "FLOWGAP_MANAGEMENT_ENDPOINT";
/// Scope of the tokens for storage accounts.
const STORAGE_SCOPE: &str = "https://storage.azure.com/.default";

/// Key of the default account in Azurite and the older emulator. It is published, so it is not a secret.
const EMULATOR_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";

impl Environment {
    /// Reads the environment of this process and machine. Makes no network request.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| {
                name.starts_with("AZURE_")
                    || IDENTITY.contains(&name.as_str())
                    || [IDENTITY_HEADER, MANAGEMENT].contains(&name.as_str())
            });
        let az = if cfg!(windows) { "az.cmd" } else { "az" };
        let has_cli = std::env::var_os("PATH")
            .is_some_and(|paths| std::env::split_paths(&paths).any(|folder| folder.join(az).is_file()));
        // Every virtual machine in Azure has this chassis tag.
        let tag = std::fs::read_to_string(Path::new("/sys/class/dmi/id/chassis_asset_tag")).unwrap_or_default();
        Self { has_cli, is_azure_machine: tag.trim() == "7783-7084-3265-9085-8269-3286-77", ..Self::of(variables) }
    }

    /// Creates an environment from variables. Empty values are ignored. Neither a CLI nor an Azure machine is assumed.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        Self { variables, ..Self::default() }
    }

    fn get(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        names.iter().find_map(|name| Some((*name, self.variables.get(*name)?.as_str())))
    }

    /// Returns the endpoint of the account that the environment names.
    pub(in crate::source) fn endpoint(&self) -> Result<Option<Endpoint>, SourceError> {
        if let Some((_, account)) = self.get(&ACCOUNT) {
            return Ok(Endpoint::of_host(&format!("{account}.blob.core.windows.net"), None));
        }
        Ok(self.connection()?.map(|connection| connection.endpoint))
    }

    /// Returns the address that issues the tokens of a cloud.
    pub(super) fn authority(&self, cloud: Cloud) -> String {
        let set = self.get(&["AZURE_AUTHORITY_HOST"]).map(|(_, authority)| authority.trim_end_matches('/'));
        set.unwrap_or(cloud.authority()).to_owned()
    }

    /// Returns the address of a cloud's management API.
    pub(super) fn management(&self, cloud: Cloud) -> &str {
        self.get(&[MANAGEMENT]).map_or(cloud.management(), |(_, endpoint)| endpoint)
    }

    /// Returns the header value that the identity service of App Service, Functions and Container Apps asks for.
    pub(super) fn identity_header(&self) -> Option<&str> {
        self.get(&[IDENTITY_HEADER]).map(|(_, value)| value)
    }

    fn connection(&self) -> Result<Option<Connection>, SourceError> {
        self.get(&[CONNECTION]).map(|(_, text)| Connection::parse(text).ok_or(SourceError::Connection)).transpose()
    }

    /// Returns a variable's name and value, unless the environment names another account.
    fn of_account(&self, names: &[&'static str], account: &str) -> Option<(&'static str, &str)> {
        let is_another = self.get(&ACCOUNT).is_some_and(|(_, named)| !named.eq_ignore_ascii_case(account));
        self.get(names).filter(|_| !is_another)
    }
}

/// A parsed `AZURE_STORAGE_CONNECTION_STRING`.
struct Connection {
    endpoint: Endpoint,
    key: Option<Secret>,
    sas: Option<Secret>,
}

impl Connection {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = HashMap::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            parts.insert(name.trim().to_ascii_lowercase(), value.trim());
        }
        let part = |name: &str| parts.get(name).copied().filter(|value| !value.is_empty());
        if part("usedevelopmentstorage").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            let proxy = part("developmentstorageproxyuri").unwrap_or("http://127.0.0.1");
            let endpoint = Endpoint::of_url(&format!("{}:10000/{EMULATOR_ACCOUNT}", proxy.trim_end_matches('/')))?;
            return Some(Self { endpoint, key: Some(Secret(EMULATOR_KEY.to_owned())), sas: None });
        }
        let endpoint = match part("blobendpoint") {
            Some(endpoint) => Endpoint::of_url(endpoint)?,
            None => {
                let suffix = part("endpointsuffix").unwrap_or("core.windows.net");
                Endpoint::of_host(&format!("{}.blob.{suffix}", part("accountname")?), None)?
            }
        };
        let secret = |name| part(name).map(|value| Secret(value.to_owned()));
        Some(Self { endpoint, key: secret("accountkey"), sas: secret("sharedaccesssignature") })
    }
}

/// Credential that authorises requests.
#[derive(Debug)]
pub(in crate::source) struct Credential {
    pub(super) kind: Kind,
    /// Origin of the credential, as shown to the user.
    pub(in crate::source) origin: String,
}

#[derive(Debug)]
pub(super) enum Kind {
    Sas(Secret),
    Key(Secret),
    Secret { tenant: String, client: String, secret: Secret },
    Workload { tenant: String, client: String, token_file: String },
    Managed { client: Option<String>, endpoint: Option<String> },
    Cli,
    Anonymous,
}

impl Credential {
    /// Returns the credential for a store, of the kind `auth`. `sas` is the signature in the address. Fails if there
    /// is none, or if plain HTTP would expose it.
    pub(in crate::source) fn choose(
        auth: Auth,
        store: &StoreKey,
        sas: Option<&Secret>,
        environment: &Environment,
    ) -> Result<Self, SourceError> {
        let candidates = if auth == Auth::Auto { &Auth::AUTOMATIC[..] } else { &[auth][..] };
        for &candidate in candidates {
            if let Some(found) = Self::find(candidate, auth == Auth::Auto, store, sas, environment)? {
                let is_published = matches!(&found.kind, Kind::Key(Secret(key)) if key == EMULATOR_KEY);
                if store.is_readable_by_others() && !is_published && !matches!(found.kind, Kind::Anonymous) {
                    return Err(SourceError::PlainHttp { shown: store.endpoint() });
                }
                return Ok(found);
            }
        }
        Err(SourceError::NoCredential { shown: store.endpoint(), needs: Remedy::spell(auth.needs()) })
    }

    /// Returns the token credential of the kind `auth` for the place `shown`. Fails if there is none.
    pub(in crate::source) fn choose_token(
        auth: Auth,
        shown: &str,
        environment: &Environment,
    ) -> Result<Self, SourceError> {
        let is_automatic = auth == Auth::Auto;
        let candidates = if is_automatic { &Auth::AUTOMATIC[..] } else { &[auth][..] };
        let found = candidates.iter().find_map(|&candidate| Self::find_token(candidate, is_automatic, environment));
        found.ok_or_else(|| {
            let needs = match auth {
                Auth::Env | Auth::Workload | Auth::Managed | Auth::Cli => auth.needs(),
                _ => "sign in with az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
            };
            SourceError::NoCredential { shown: shown.to_owned(), needs: needs.to_owned() }
        })
    }

    fn find(
        auth: Auth,
        is_automatic: bool,
        store: &StoreKey,
        sas: Option<&Secret>,
        environment: &Environment,
    ) -> Result<Option<Self>, SourceError> {
        let account = store.account().map_or("", |(account, _)| account);
        let connection = || {
            let connection = environment.connection()?;
            Ok::<_, SourceError>(connection.filter(|c| c.endpoint.account().eq_ignore_ascii_case(account)))
        };
        let from = |kind, origin: &str| Ok(Some(Self { kind, origin: origin.to_owned() }));
        match auth {
            Auth::Sas => {
                if let Some(sas) = sas {
                    return from(Kind::Sas(sas.clone()), "SAS in the address");
                }
                if let Some((name, token)) = environment.of_account(&SAS, account) {
                    return from(Kind::Sas(Secret(token.to_owned())), &format!("SAS of {name}"));
                }
                match connection()?.and_then(|connection| connection.sas) {
                    Some(sas) => from(Kind::Sas(sas), &format!("SAS of {CONNECTION}")),
                    None => Ok(None),
                }
            }
            Auth::Key => {
                let (key, origin) = if let Some((name, key)) = environment.of_account(&KEY, account) {
                    (Secret(key.to_owned()), format!("account key of {name}"))
                } else if let Some(key) = connection()?.and_then(|connection| connection.key) {
                    (key, format!("account key of {CONNECTION}"))
                } else if account == EMULATOR_ACCOUNT && store.is_emulated() {
                    (Secret(EMULATOR_KEY.to_owned()), "published key of the emulator".to_owned())
                } else {
                    return Ok(None);
                };
                if AzureAccessKey::try_new(&key.0).is_err() {
                    return Err(SourceError::NoKey { origin });
                }
                from(Kind::Key(key), &origin)
            }
            Auth::Anonymous => from(Kind::Anonymous, "none (anonymous)"),
            _ => Ok(Self::find_token(auth, is_automatic, environment)),
        }
    }

    /// Returns the credential of the kind `auth` if it is a token that is available.
    fn find_token(auth: Auth, is_automatic: bool, environment: &Environment) -> Option<Self> {
        let one = |name: &'static str| environment.get(&[name]).map(|(_, value)| value.to_owned());
        let (kind, origin) = match auth {
            Auth::Env => {
                let (tenant, client) = (one("AZURE_TENANT_ID")?, one("AZURE_CLIENT_ID")?);
                let secret = Secret(one("AZURE_CLIENT_SECRET")?);
                (Kind::Secret { tenant, client, secret }, "service principal of AZURE_CLIENT_ID")
            }
            Auth::Workload => {
                let (tenant, client) = (one("AZURE_TENANT_ID")?, one("AZURE_CLIENT_ID")?);
                let token_file = one("AZURE_FEDERATED_TOKEN_FILE")?;
                (Kind::Workload { tenant, client, token_file }, "workload identity of AZURE_FEDERATED_TOKEN_FILE")
            }
            Auth::Managed => {
                let endpoint = environment.get(&IDENTITY).map(|(_, endpoint)| endpoint.to_owned());
                // Elsewhere, only a timeout would show that there is no identity service.
                if is_automatic && endpoint.is_none() && !environment.is_azure_machine {
                    return None;
                }
                (Kind::Managed { client: one("AZURE_CLIENT_ID"), endpoint }, "managed identity")
            }
            Auth::Cli if environment.has_cli => (Kind::Cli, "Azure CLI"),
            _ => return None,
        };
        Some(Self { kind, origin: origin.to_owned() })
    }

    /// Returns whether the credential is a token, which is valid for every store of the same cloud.
    pub(in crate::source) fn is_token(&self) -> bool {
        matches!(self.kind, Kind::Secret { .. } | Kind::Workload { .. } | Kind::Managed { .. } | Kind::Cli)
    }

    /// Returns the kind of credential that requests carry.
    pub(in crate::source) fn used(&self) -> Used {
        match &self.kind {
            Kind::Sas(_) => Used::Signature,
            Kind::Key(_) => Used::Key,
            Kind::Anonymous => Used::Nothing,
            _ => Used::Token,
        }
    }

    /// Returns the shared access signature that requests carry.
    pub(in crate::source) fn signature(&self) -> Option<&Secret> {
        match &self.kind {
            Kind::Sas(signature) => Some(signature),
            _ => None,
        }
    }

    /// Configures a store with the credential. `retry` limits the run time of the Azure CLI.
    pub(in crate::source) fn apply(
        self,
        builder: MicrosoftAzureBuilder,
        store: &StoreKey,
        environment: &Environment,
        retry: Duration,
    ) -> MicrosoftAzureBuilder {
        let authority = environment.authority(store.url().host_str().and_then(Cloud::of_host).unwrap_or(Cloud::Public));
        match self.kind {
            Kind::Sas(Secret(query)) => builder.with_config(AzureConfigKey::SasKey, query),
            Kind::Key(Secret(key)) => builder.with_access_key(key),
            Kind::Secret { tenant, client, secret } => {
                builder.with_client_secret_authorization(client, secret.0, tenant).with_authority_host(authority)
            }
            Kind::Workload { tenant, client, token_file } => builder
                .with_client_id(client)
                .with_tenant_id(tenant)
                .with_federated_token_file(token_file)
                .with_authority_host(authority),
            Kind::Managed { client, endpoint } => {
                let builder = match client {
                    Some(client) => builder.with_client_id(client),
                    None => builder,
                };
                match endpoint {
                    Some(endpoint) => builder.with_msi_endpoint(endpoint),
                    None => builder,
                }
            }
            Kind::Cli => builder.with_credentials(Arc::new(AzureCli::new(retry, STORAGE_SCOPE))),
            Kind::Anonymous => builder.with_skip_signature(true),
        }
    }
}

/// Returns the reason if a shared access signature does not allow reading and listing. A signature with a stored
/// policy does not name its permissions, so there is none.
pub(in crate::source) fn lacks_permission(signature: &Secret) -> Option<String> {
    let permissions = field(signature, "sp")?;
    let lacks = !(permissions.contains('r') && permissions.contains('l'));
    lacks.then(|| "the SAS does not allow reading and listing: create one with sp=rl".to_owned())
}

fn field<'a>(signature: &'a Secret, name: &str) -> Option<Cow<'a, str>> {
    let query = signature.0.trim_start_matches('?');
    form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, value)| value)
}

/// Returns the reason why a shared access signature does not open a container, as far as its own fields show it.
pub(in crate::source) fn weakness(signature: &Secret, now: DateTime<Utc>) -> Option<String> {
    let field = |name: &str| field(signature, name);
    let time = |name: &str| {
        let text = field(name)?;
        // The time of day is optional.
        let time =
            DateTime::parse_from_rfc3339(&text).or_else(|_| DateTime::parse_from_rfc3339(&format!("{text}T00:00:00Z")));
        Some(time.ok()?.with_timezone(&Utc))
    };
    if let Some(end) = time("se").filter(|end| *end <= now) {
        return Some(format!("the SAS expired on {}: create a new one", end.format("%Y-%m-%d %H:%M UTC")));
    }
    if let Some(start) = time("st").filter(|start| *start > now) {
        return Some(format!("the SAS is not valid before {}", start.format("%Y-%m-%d %H:%M UTC")));
    }
    field("sp")?;
    if let Some(lack) = lacks_permission(signature) {
        return Some(lack);
    }
    // Account signatures must cover the blob service, containers and blobs.
    let lacks =
        |name: &str, letters: &[char]| field(name).is_some_and(|found| !letters.iter().all(|&l| found.contains(l)));
    if lacks("ss", &['b']) || lacks("srt", &['c', 'o']) {
        return Some("the SAS does not cover containers and blobs: create one with ss=b and srt=co".to_owned());
    }
    (field("sr").as_deref() == Some("b"))
        .then(|| "the SAS covers a single blob: create one for the container (sr=c)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    #[test]
    fn a_signature_tells_what_it_lacks() {
        let now = DateTime::from_timestamp_millis(1_777_878_000_000).expect("a time");
        let check = |query: &str, says: Option<&str>| {
            let found = weakness(&Secret(query.to_owned()), now);
            assert_eq!(found.is_some(), says.is_some(), "{query}: {found:?}");
            assert!(says.is_none_or(|says| found.as_ref().is_some_and(|f| f.contains(says))), "{query}: {found:?}");
        };
        check("?sp=rl&se=2026-05-05&sig=x", None);
        check("sp=rl&st=2026-05-04T00%3A00%3A00Z&se=2026-05-05T00:00:00Z&sr=c&sig=x", None);
        check("sp=rl&se=2026-05-04T00%3A00%3A00Z&sig=x", Some("expired on 2026-05-04 00:00 UTC"));
        check("sp=rl&se=2026-06-04&st=2026-06-01&sig=x", Some("not valid before 2026-06-01"));
        check("sp=r&se=2026-06-04&sig=x", Some("sp=rl"));
        check("ss=bf&srt=s&sp=rl&sig=x", Some("srt=co"));
        check("ss=f&srt=sco&sp=rl&sig=x", Some("ss=b"));
        check("sr=b&sp=rl&sig=x", Some("sr=c"));
        check("nonsense", None);
    }

    const PRINCIPAL: [(&str, &str); 3] =
        [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", "S3CR3T")];

    /// Returns the origin of the chosen credential, or the error as text.
    fn serves(address: &str, auth: Auth, variables: &[(&str, &str)]) -> String {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = Environment::of(variables);
        let source: Source = address.parse().expect("an address");
        match Credential::choose(auth, &source.store, source.sas.as_ref(), &environment) {
            Ok(credential) => {
                assert!(!format!("{credential:?} {environment:?}").contains("S3CR3T"));
                credential.origin
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_nearest_credential_serves() {
        let (plain, signed) =
            ("https://acct.blob.core.windows.net/c", "https://acct.blob.core.windows.net/c?sig=S3CR3T");
        let check = |address, variables: &[&[(&str, &str)]], says: &str| {
            assert_eq!(serves(address, Auth::Auto, &variables.concat()), says, "{variables:?}");
        };
        let key = [("AZURE_STORAGE_KEY", "a2V5")];
        let sas = [("AZURE_STORAGE_SAS_TOKEN", "sig=S3CR3T")];
        let connection = [(CONNECTION, "AccountName=acct;AccountKey=a2V5")];
        let elsewhere = [("AZURE_STORAGE_ACCOUNT", "another")];
        let workload = [("AZURE_FEDERATED_TOKEN_FILE", "/f")];
        check(signed, &[&key, &sas, &PRINCIPAL], "SAS in the address");
        check(plain, &[&key, &sas, &PRINCIPAL], "SAS of AZURE_STORAGE_SAS_TOKEN");
        check(plain, &[&key, &PRINCIPAL], "account key of AZURE_STORAGE_KEY");
        check(plain, &[&connection, &PRINCIPAL], "account key of AZURE_STORAGE_CONNECTION_STRING");
        check(plain, &[&key, &sas, &elsewhere, &PRINCIPAL], "service principal of AZURE_CLIENT_ID");
        check(plain, &[&PRINCIPAL, &workload], "service principal of AZURE_CLIENT_ID");
        check(plain, &[&PRINCIPAL[..2], &workload], "workload identity of AZURE_FEDERATED_TOKEN_FILE");
        check(plain, &[&[("IDENTITY_ENDPOINT", "http://127.0.0.1:1")]], "managed identity");
        check("http://127.0.0.1:1/devstoreaccount1/c", &[], "published key of the emulator");
        let nothing = serves(plain, Auth::Auto, &[]);
        assert!(nothing.contains("AZURE_STORAGE_SAS_TOKEN") && nothing.contains("az login"), "{nothing}");
    }

    #[test]
    fn what_is_asked_for_serves_or_is_missed() {
        let plain = "https://acct.blob.core.windows.net/c";
        for (auth, says) in [
            (Auth::Env, "AZURE_CLIENT_SECRET"),
            (Auth::Workload, "AZURE_FEDERATED_TOKEN_FILE"),
            (Auth::Cli, "az login"),
            (Auth::Sas, "AZURE_STORAGE_SAS_TOKEN"),
            (Auth::Key, "AZURE_STORAGE_ACCOUNT_KEY"),
            (Auth::Managed, "managed identity"),
            (Auth::Anonymous, "anonymous"),
        ] {
            let said = serves(plain, auth, &[]);
            assert!(said.contains(says), "{auth:?}: {said}");
        }
        let wrong = serves(plain, Auth::Key, &[("AZURE_STORAGE_ACCOUNT_KEY", "S3CR3T!")]);
        assert!(wrong.contains("AZURE_STORAGE_ACCOUNT_KEY") && !wrong.contains("S3CR3T"), "{wrong}");
        for (at, name) in Auth::NAMES.iter().enumerate() {
            assert_eq!(Auth::from_name(name), Some(Auth::ALL[at]));
        }
    }

    #[test]
    fn secrets_are_not_sent_where_others_can_read_them() {
        let sent = |host: &str| serves(&format!("http://{host}/acct/c"), Auth::Key, &[("AZURE_STORAGE_KEY", "a2V5")]);
        assert_eq!(sent("127.0.0.1:10000"), "account key of AZURE_STORAGE_KEY");
        assert!(sent("192.0.2.1:10000").contains("https"), "{}", sent("192.0.2.1:10000"));
        assert_eq!(serves("http://azurite:10000/devstoreaccount1/c", Auth::Auto, &[]), "published key of the emulator");
    }
}
