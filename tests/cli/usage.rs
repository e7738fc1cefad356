//! What the binary says when it is asked wrongly.

use crate::run::Home;

#[test]
fn version_and_help_answer_on_stdout() {
    let home = Home::new();
    let version = home.run(&["--version"]);
    assert_eq!((version.code, version.stderr.as_str()), (0, ""));
    assert_eq!(version.stdout.trim(), concat!("msctl ", env!("CARGO_PKG_VERSION")));
    let help = home.run(&["--help"]);
    assert_eq!(help.code, 0);
    assert!(help.stdout.contains("Usage: msctl"), "{help:#?}");
}

#[test]
fn a_misspelt_command_gets_a_suggestion() {
    let ran = Home::new().run(&["deplay"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("deploy"), "{ran:#?}");
}

#[test]
fn clap_errors_are_error_documents_too() {
    let ran = Home::new().run(&["deploy", "-o", "json", "--nope"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    let document = ran.json();
    assert_eq!(document["schema"], "msctl.dev/error/v1");
    assert_eq!(document["error"]["code"], 2);
}

#[test]
fn flags_read_their_variable() {
    let home = Home::new();
    let ran = home.run(&["config", "show", "-o", "json"]);
    assert_eq!(ran.json()["target"]["environment"], "local", "{ran:#?}");
    let mut command = home.command(&["config", "show", "--origin"]);
    let output = command.env("MSCTL_OUTPUT", "json").env("MSCTL_NAMESPACE", "shop").output().unwrap();
    let document = crate::run::Ran::of(output).json();
    assert_eq!(document["target"]["namespace"], "shop");
}
