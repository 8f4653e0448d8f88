//! Fetches tokens from the Azure CLI. If the caller is cancelled, the program is ended.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Local, NaiveDateTime, Utc};
use object_store::CredentialProvider;
use object_store::azure::AzureCredential;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// Interval for checking whether the program has exited, after its output ended.
const LOOK: Duration = Duration::from_millis(10);
/// Remaining lifetime below which a token is renewed. A token is kept for at least `LEAST`, which limits the rate of
/// renewals.
const REST: Duration = Duration::from_secs(300);
const LEAST: Duration = Duration::from_secs(30);

/// Tokens of the account that `az login` signed in.
#[derive(Debug)]
pub(in crate::source) struct AzureCli {
    retry: Duration,
    scope: &'static str,
    /// Cached result. The lock is held while the program runs, so that concurrent callers share one run.
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
enum Held {
    Token {
        token: Arc<AzureCredential>,
        until: Instant,
    },
    /// Error and its time. Callers that asked before that time have waited for the same run, so they get the same
    /// error.
    Failure {
        why: String,
        at: Instant,
    },
}

impl AzureCli {
    /// Creates the source of tokens for a scope. `retry` limits the run time of the program.
    pub(in crate::source) fn new(retry: Duration, scope: &'static str) -> Self {
        Self { retry, scope, held: Mutex::default() }
    }
}

#[async_trait]
impl CredentialProvider for AzureCli {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        let asked = Instant::now();
        let mut held = self.held.lock().await;
        match &*held {
            Some(Held::Token { token, until }) if Instant::now() < *until => return Ok(Arc::clone(token)),
            Some(Held::Failure { why, at }) if asked < *at => return Err(failed(why)),
            _ => {}
        }
        let answer = timeout(self.retry, ask(self.scope)).await;
        match answer.unwrap_or_else(|_| Err("az did not answer in time".to_owned())) {
            Ok(answer) => {
                let lasts = answer.lasts().unwrap_or_default().saturating_sub(REST).max(LEAST);
                let token = Arc::new(AzureCredential::BearerToken(answer.access_token));
                *held = Some(Held::Token { token: Arc::clone(&token), until: Instant::now() + lasts });
                Ok(token)
            }
            Err(why) => {
                let error = failed(&why);
                *held = Some(Held::Failure { why, at: Instant::now() });
                Err(error)
            }
        }
    }
}

/// Output of `az account get-access-token`.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct CliToken {
    access_token: String,
    /// Local time. The newer field `expires_on` is in seconds since 1970.
    expires_on: Option<String>,
    #[serde(rename = "expires_on")]
    expires_at: Option<i64>,
}

impl CliToken {
    fn lasts(&self) -> Option<Duration> {
        let at = self.expires_at.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        let local = || {
            let time = NaiveDateTime::parse_from_str(self.expires_on.as_deref()?, "%Y-%m-%d %H:%M:%S%.f").ok()?;
            Some(time.and_local_timezone(Local).latest()?.with_timezone(&Utc))
        };
        (at.or_else(local)? - Utc::now()).to_std().ok()
    }
}

async fn ask(scope: &str) -> Result<CliToken, String> {
    let mut running = start(scope).map_err(|error| format!("az cannot be started: {error}"))?;
    let (said, complaint) = (read(running.0.stdout.take()), read(running.0.stderr.take()));
    let (said, complaint) = tokio::join!(said, complaint);
    let status = running.ended().await.map_err(|error| error.to_string())?;
    match serde_json::from_slice(&said) {
        Ok(answer) if status.success() => Ok(answer),
        // Unknown text of the program is never shown.
        _ => Err(String::from_utf8_lossy(&complaint).into_owned()),
    }
}

/// Starts the program in its own process group, so that Ctrl-C at the terminal does not reach it.
fn start(scope: &str) -> io::Result<Running> {
    let mut command = if cfg!(windows) { Command::new("cmd") } else { Command::new("az") };
    if cfg!(windows) {
        command.args(["/C", "az"]);
    }
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.args(["account", "get-access-token", "--output", "json", "--scope", scope]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map(Running)
}

/// The running program, which is ended on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        // `az` is a script whose children are in its group. If the group cannot be ended, the script is.
        if cfg!(unix) {
            let group = format!("-{}", self.0.id());
            let kill =
                Command::new("kill").args(["-KILL", "--", &group]).stdout(Stdio::null()).stderr(Stdio::null()).status();
            kill.ok();
        }
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Running {
    async fn ended(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            sleep(LOOK).await;
        }
    }
}

/// Reads a pipe to its end on a blocking thread.
async fn read(pipe: Option<impl Read + Send + 'static>) -> Vec<u8> {
    let Some(mut pipe) = pipe else { return Vec::new() };
    let all = move || {
        let mut bytes = Vec::new();
        // A truncated answer fails to parse later.
        pipe.read_to_end(&mut bytes).ok();
        bytes
    };
    spawn_blocking(all).await.unwrap_or_default()
}

fn failed(what: &str) -> object_store::Error {
    let source = format!("'az account get-access-token': {what}").into();
    object_store::Error::Generic { store: "MicrosoftAzure", source }
}
