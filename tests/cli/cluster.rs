//! A cluster that cannot be used: what is said, and with which exit code, before anything is written.

use crate::run::Home;

const KUBECONFIG: &str = "
current-context: production
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin, interactiveMode: Never, installHint: get it from the intranet}}}]
contexts:
- {name: staging, context: {cluster: c}}
- {name: production, context: {cluster: c, user: u}}
";

fn home() -> Home {
    let home = Home::new();
    let write = |name: &str, text: &str| std::fs::write(home.dir.path().join(name), text).unwrap();
    write("kubeconfig", KUBECONFIG);
    write("broken", "clusters: 7\n");
    let digest = "a".repeat(64);
    let environments =
        "lab: {context: stagin}\n  staging: {context: staging}\n  production: {context: production}";
    write(
        "msctl.yaml",
        &format!("service: orders\nimage: r.test/orders@sha256:{digest}\nenvironments:\n  {environments}\n"),
    );
    home
}

#[test]
fn every_command_names_the_cause_and_the_next_move() {
    let home = home();
    for (kubeconfig, environment, reason, words, hint) in [
        ("missing", "staging", "no-kubeconfig", "no kubeconfig was found", "--kubeconfig"),
        ("broken", "staging", "bad-kubeconfig", "is not a kubeconfig", ""),
        ("kubeconfig", "lab", "unknown-context", "no context \"stagin\"", "did you mean \"staging\"?"),
        ("kubeconfig", "staging", "unreachable", "no connection to http://127.0.0.1:1", ""),
        (
            "kubeconfig",
            "production",
            "credential-plugin",
            "\"no-such-plugin\" cannot be run",
            "get it from the intranet",
        ),
    ] {
        for command in
            [vec!["status", "-o", "json"], vec!["diff", "-o", "json"], vec!["deploy", "--yes", "-o", "json"]]
        {
            let mut run = home.command(&[command.as_slice(), &["-e", environment]].concat());
            run.env("KUBECONFIG", home.dir.path().join(kubeconfig));
            let ran = crate::run::Ran::of(run.output().unwrap());
            let what = format!("{command:?} -e {environment} with {kubeconfig}: {ran:#?}");
            let error = &ran.json()["error"];
            // diff keeps 1 for differences.
            assert_eq!(ran.code, if command[0] == "diff" { 2 } else { 1 }, "{what}");
            assert_eq!(error["reason"], reason, "{what}");
            let text = format!("{} {}", error["message"], error["causes"]).replace("\\\"", "\"");
            assert!(text.contains(words), "{what}");
            assert!(error["hints"].to_string().replace("\\\"", "\"").contains(hint), "{what}");
        }
    }
}

#[test]
fn logs_are_lines() {
    let home = home();
    let ran = home.run(&["logs", "-o", "json"]);
    assert_eq!((ran.code, ran.json()["error"]["reason"].as_str()), (2, Some("no-json")), "{ran:#?}");
    for (args, words) in [
        (["logs", "--slot=red", "-q"], "neither blue nor green"),
        (["logs", "--since=soon", "-q"], "--since"),
        (["logs", "--tail=-1", "-q"], "not negative"),
    ] {
        let ran = home.run(&args);
        assert_eq!(ran.code, 2, "{ran:#?}");
        assert!(ran.stderr.contains(words), "{ran:#?}");
    }
}
