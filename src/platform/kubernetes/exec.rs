//! Credential plugins (`users[].user.exec`): run once, and again only when the API server says 401 or they expire.

use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use serde::Deserialize;

use crate::error::Failure;

/// A plugin that asks nothing has no reason to take longer.
const LIMIT: Duration = Duration::from_secs(60);

/// What a plugin answered; held in memory only.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    pub token: Option<String>,
    pub client_certificate_data: Option<String>,
    pub client_key_data: Option<String>,
    pub expiration_timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Answer {
    status: Option<Credential>,
}

/// Runs the plugin. It may talk to the person only when `interactive`.
pub async fn run(plugin: &ExecConfig, interactive: bool) -> anyhow::Result<Credential> {
    let command = plugin.command.clone().unwrap_or_default();
    let failed = |message: String| {
        let failure = Failure::failed("credential-plugin", message).object(command.clone());
        match &plugin.install_hint {
            Some(hint) => failure.hint(hint.trim()),
            None => failure.hint("it is named by the kubeconfig's `exec`; run it by hand to see more"),
        }
    };
    let may_ask = interactive && plugin.interactive_mode != Some(ExecInteractiveMode::Never);
    if !may_ask && plugin.interactive_mode == Some(ExecInteractiveMode::Always) {
        return Err(failed(format!("credential plugin {command:?} wants to ask, and there is no terminal"))
            .hint("sign in once on a terminal, or use a token")
            .into());
    }
    let output = prepared(plugin, may_ask)?.spawn().map(|child| child.wait_with_output());
    let output = match output {
        Ok(output) if may_ask => output.await,
        Ok(output) => tokio::time::timeout(LIMIT, output).await.unwrap_or_else(|_| {
            Err(std::io::Error::other(format!("no answer within {} s", LIMIT.as_secs())))
        }),
        Err(e) => Err(e),
    };
    let output =
        output.map_err(|e| failed(format!("credential plugin {command:?} cannot be run")).source(e))?;
    if !output.status.success() {
        // Its stdout may hold a secret; its last words on stderr are for people.
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("it said nothing").to_owned();
        return Err(failed(format!("credential plugin {command:?} failed: {}: {said}", output.status)).into());
    }
    let answer: Option<Answer> = serde_json::from_slice(&output.stdout).ok();
    let credential =
        answer.and_then(|a| a.status).filter(|c| c.token.is_some() || c.client_key_data.is_some());
    credential.ok_or_else(|| {
        failed(format!("credential plugin {command:?} printed no ExecCredential with a token or certificate"))
            .into()
    })
}

fn prepared(plugin: &ExecConfig, may_ask: bool) -> anyhow::Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(plugin.command.as_deref().unwrap_or_default());
    command.args(plugin.args.iter().flatten());
    for variable in plugin.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    let info = serde_json::json!({
        "apiVersion": plugin.api_version, "kind": "ExecCredential",
        "spec": { "interactive": may_ask, "cluster": plugin.cluster },
    });
    command.env("KUBERNETES_EXEC_INFO", serde_json::to_string(&info)?);
    for name in plugin.drop_env.iter().flatten() {
        command.env_remove(name);
    }
    command.stdin(if may_ask { Stdio::inherit() } else { Stdio::null() });
    command.stderr(if may_ask { Stdio::inherit() } else { Stdio::piped() });
    command.stdout(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error;

    fn plugin(script: &str) -> ExecConfig {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script],
            "env": [{"name": "WORD", "value": "open-sesame"}], "interactiveMode": "IfAvailable",
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_token_comes_out_and_stdin_is_closed() {
        let script = r#"test -z "$(cat)" && echo "{\"status\": {\"token\": \"$WORD\"}}""#;
        let credential = run(&plugin(script), false).await.unwrap();
        assert_eq!(credential.token.as_deref(), Some("open-sesame"));
    }

    #[tokio::test]
    async fn failures_name_the_plugin_and_never_its_answer() {
        for (script, word) in [
            ("echo hidden; echo 'log in first' >&2; exit 3", "log in first"),
            ("echo '{\"status\": {\"hidden\": 1}}'", "printed no ExecCredential"),
        ] {
            let Err(error) = run(&plugin(script), false).await else { panic!("{script}") };
            let report = error::report(&error);
            let text = format!("{} {:?}", report.message, report.causes);
            assert!(text.contains(word) && text.contains("\"sh\"") && !text.contains("hidden"), "{text}");
            assert_eq!(report.reason, "credential-plugin");
        }
    }
}
