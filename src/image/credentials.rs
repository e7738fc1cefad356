//! Credentials of registries, from where the docker CLI keeps them: `auths`, `credsStore` and `credHelpers`.
//!
//! Precedence is Docker's: a helper of the registry, then the store, then the file. A helper is run with a reduced
//! environment, and what it prints is never shown: it may be a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::engine::{bad_config, config_folder};
use crate::error::Failure;
use crate::settings::Env;

/// A helper may ask a keychain or a cloud, but not for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// What Docker's configuration calls `docker.io`.
pub const HUB: &str = "https://index.docker.io/v1/";

/// What opens a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// None; and if one was configured but could not be had, why.
    Anonymous(Option<String>),
    Password {
        user: String,
        password: String,
    },
    /// A refresh token for the registry's token service.
    Identity(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Login::Anonymous(why) => f.debug_tuple("Anonymous").field(why).finish(),
            Login::Password { user, .. } => write!(f, "Password({user}, …)"),
            Login::Identity(_) => f.write_str("Identity(…)"),
        }
    }
}

impl Login {
    /// As the engine wants it for a pull or push.
    pub fn for_engine(&self, host: &str) -> DockerCredentials {
        let serveraddress = Some(host.to_owned());
        match self {
            Login::Anonymous(_) => DockerCredentials::default(),
            Login::Password { user, password } => DockerCredentials {
                username: Some(user.clone()),
                password: Some(password.clone()),
                serveraddress,
                ..Default::default()
            },
            Login::Identity(token) => {
                DockerCredentials { identitytoken: Some(token.clone()), serveraddress, ..Default::default() }
            }
        }
    }
}

/// Docker's `config.json`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Value>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

pub struct Credentials {
    config: Config,
    file: PathBuf,
    env: Env,
}

impl Credentials {
    /// Reads the user's Docker configuration; a missing file means no credentials.
    pub fn load(env: &Env) -> anyhow::Result<Self> {
        let file = config_folder(env).unwrap_or_default().join("config.json");
        let config = match std::fs::read(&file) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Config::default(),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| bad_config(&file, e))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Config::default(),
            Err(e) => {
                let message = format!("read the Docker configuration {}", file.display());
                return Err(Failure::failed("unreadable-docker-config", message).source(e).into());
            }
        };
        Ok(Credentials { config, file, env: env.clone() })
    }

    /// The registries something is configured for.
    pub fn hosts(&self) -> Vec<String> {
        let bare = |key: &String| {
            let key = key.trim_start_matches("https://").trim_start_matches("http://");
            key.split('/').next().unwrap_or_default().to_owned()
        };
        let mut hosts: Vec<String> =
            self.config.auths.keys().chain(self.config.cred_helpers.keys()).map(bare).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// What opens `host`. A helper that is missing or fails is no error: public images need none.
    pub async fn login(&self, host: &str) -> Login {
        let key = if host == "docker.io" { HUB } else { host };
        let own = self.config.cred_helpers.get(key).or_else(|| self.config.cred_helpers.get(host));
        let (helper, config_key) = match (own, &self.config.creds_store) {
            (Some(helper), _) => (Some(helper), format!("credHelpers.{host}")),
            (None, Some(store)) => (Some(store), "credsStore".into()),
            (None, None) => (None, String::new()),
        };
        let mut why = None;
        if let Some(helper) = helper.filter(|h| !h.is_empty()) {
            match self.ask(helper, key).await {
                Ok(Some(login)) => return login,
                Ok(None) => {}
                Err(reason) => {
                    why = Some(format!(
                        "the credential helper docker-credential-{helper} ({config_key} of {}) {reason}",
                        self.file.display()
                    ));
                }
            }
        }
        match self.stored(key) {
            Ok(Some(login)) => login,
            Ok(None) => Login::Anonymous(why),
            Err(reason) => Login::Anonymous(Some(format!("auths of {}: {reason}", self.file.display()))),
        }
    }

    fn stored(&self, key: &str) -> Result<Option<Login>, String> {
        // Only `auths` is handed on: helpers were asked already.
        let auths = json!({ "auths": self.config.auths }).to_string();
        match docker_credential::get_credential_from_reader(auths.as_bytes(), key) {
            Ok(DockerCredential::IdentityToken(token)) if !token.is_empty() => {
                Ok(Some(Login::Identity(token)))
            }
            Ok(DockerCredential::UsernamePassword(user, password)) if user == "<token>" => {
                Ok(Some(Login::Identity(password)))
            }
            Ok(DockerCredential::UsernamePassword(user, password)) if !user.is_empty() => {
                Ok(Some(Login::Password { user, password }))
            }
            Ok(_) | Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
            Err(_) => Err(format!("the entry for {key} cannot be decoded")),
        }
    }

    /// Runs a credential helper; None when it knows no login for the registry.
    async fn ask(&self, helper: &str, key: &str) -> Result<Option<Login>, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            username: String,
            secret: String,
        }
        let path = self.env.get("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
        let name = format!("docker-credential-{helper}");
        let program = path.split(':').map(|p| std::path::Path::new(p).join(&name)).find(|p| p.is_file());
        let Some(program) = program else { return Err("is not installed".into()) };
        let mut command = tokio::process::Command::new(program);
        command.arg("get").env_clear().envs(self.env.iter().filter(|(name, _)| may_see(name.to_str())));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let run = async {
            let mut child = command.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                // A helper that answers without reading closes the pipe: its answer decides.
                let _ = stdin.write_all(key.as_bytes()).await;
            }
            child.wait_with_output().await
        };
        let output = match tokio::time::timeout(PATIENCE, run).await {
            Err(_) => return Err(format!("did not answer in {} s", PATIENCE.as_secs())),
            Ok(Err(error)) => return Err(format!("could not be run: {error}")),
            Ok(Ok(output)) => output,
        };
        if !output.status.success() {
            let none = String::from_utf8_lossy(&output.stdout).contains("credentials not found");
            return if none { Ok(None) } else { Err(format!("failed: {}", output.status)) };
        }
        let answer: Answer = serde_json::from_slice(&output.stdout)
            .map_err(|_| "gave an answer that is not its protocol's".to_owned())?;
        Ok(match (answer.username.as_str(), answer.secret.as_str()) {
            (_, "") => None,
            ("<token>", _) => Some(Login::Identity(answer.secret)),
            _ => Some(Login::Password { user: answer.username, password: answer.secret }),
        })
    }
}

/// What a helper needs: its user's home and session, the network, its cloud's own settings.
fn may_see(name: Option<&str>) -> bool {
    let exact =
        ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "DISPLAY", "WAYLAND_DISPLAY", "GNUPGHOME"];
    let families = [
        "XDG_",
        "DBUS_",
        "DOCKER_CONFIG",
        "AWS_",
        "GOOGLE_",
        "CLOUDSDK_",
        "AZURE_",
        "ECR_",
        "PASSWORD_STORE_",
        "SSL_CERT_",
        "LC_",
    ];
    name.is_some_and(|n| {
        exact.contains(&n)
            || families.iter().any(|f| n.starts_with(f))
            || n.to_lowercase().ends_with("_proxy")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Home(tempfile::TempDir);

    impl Home {
        fn with(config: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(dir.path().join(".docker")).unwrap();
            std::fs::create_dir_all(dir.path().join("bin")).unwrap();
            std::fs::write(dir.path().join(".docker/config.json"), config).unwrap();
            Home(dir)
        }
        fn helper(&self, name: &str, script: &str) {
            let file = self.0.path().join("bin").join(format!("docker-credential-{name}"));
            std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        async fn login(&self, host: &str) -> Login {
            let home = self.0.path().display().to_string();
            let path = format!("{home}/bin:/usr/bin:/bin");
            let env = Env::of([
                ("HOME", home),
                ("PATH", path),
                ("MY_TOKEN", "t".into()),
                ("AWS_PROFILE", "p".into()),
            ]);
            Credentials::load(&env).unwrap().login(host).await
        }
    }

    fn password(user: &str, password: &str) -> Login {
        Login::Password { user: user.into(), password: password.into() }
    }

    #[tokio::test]
    async fn the_file_knows_hosts_by_any_spelling() {
        let home = Home::with(
            r#"{"auths": {
                "localhost:5001": {"auth": "bGFiOnNlY3JldA=="},
                "https://index.docker.io/v1/": {"auth": "bWU6aHViOnB3"},
                "https://r.example.com": {"username": "u", "password": "p"},
                "id.example.com": {"auth": "", "identitytoken": "refresh"},
                "empty.example.com": {},
                "broken.example.com": {"auth": "%%%"}}}"#,
        );
        assert_eq!(home.login("localhost:5001").await, password("lab", "secret"));
        assert_eq!(home.login("docker.io").await, password("me", "hub:pw"));
        assert_eq!(home.login("r.example.com").await, password("u", "p"));
        assert_eq!(home.login("id.example.com").await, Login::Identity("refresh".into()));
        assert_eq!(home.login("empty.example.com").await, Login::Anonymous(None));
        assert_eq!(home.login("other.example.com").await, Login::Anonymous(None));
        let Login::Anonymous(Some(why)) = home.login("broken.example.com").await else { panic!() };
        assert!(why.contains("broken.example.com") && !why.contains("%%%"), "{why}");
    }

    #[tokio::test]
    async fn helpers_come_first_and_see_little() {
        let home = Home::with(
            r#"{"auths": {"a.example.com": {"auth": "ZmlsZTpmaWxl"}}, "credsStore": "store",
                "credHelpers": {"h.example.com": "own", "gone.example.com": "missing", "bad.example.com": "bad"}}"#,
        );
        home.helper("store", r#"read host; case $host in a.*) echo '{"Username":"<token>","Secret":"idt"}';; *) echo credentials not found in native keychain; exit 1;; esac"#);
        home.helper(
            "own",
            r#"read host; echo "{\"Username\":\"$host\",\"Secret\":\"${MY_TOKEN:-none}/$AWS_PROFILE\"}""#,
        );
        home.helper("bad", "echo s3cr3t; exit 3");
        assert_eq!(home.login("h.example.com").await, password("h.example.com", "none/p"));
        assert_eq!(home.login("a.example.com").await, Login::Identity("idt".into()));
        assert_eq!(home.login("b.example.com").await, Login::Anonymous(None));
        let Login::Anonymous(Some(why)) = home.login("gone.example.com").await else { panic!() };
        assert!(
            why.contains("docker-credential-missing") && why.contains("credHelpers.gone.example.com"),
            "{why}"
        );
        let Login::Anonymous(Some(why)) = home.login("bad.example.com").await else { panic!() };
        assert!(why.contains("failed") && !why.contains("s3cr3t"), "{why}");
    }

    #[test]
    fn nothing_secret_is_debugged() {
        let text = format!("{:?} {:?}", password("u", "hunter2"), Login::Identity("hunter3".into()));
        assert!(!text.contains("hunter"), "{text}");
    }
}
