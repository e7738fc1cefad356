//! What deploy, diff and delete say before they reach any cluster.

use crate::run::Home;

const SERVICE: &str = "service: orders\nimage: localhost:1/orders@sha256:0000000000000000000000000000000000000000000000000000000000000000\n";

fn home(yaml: &str) -> Home {
    let home = Home::new();
    std::fs::write(home.dir.path().join("msctl.yaml"), yaml).unwrap();
    home
}

/// A kubeconfig whose cluster is not there.
fn with_context(home: &Home) {
    let folder = home.dir.path().join(".kube");
    std::fs::create_dir_all(&folder).unwrap();
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: gone\n\
        clusters: [{name: gone, cluster: {server: 'http://127.0.0.1:1'}}]\n\
        users: [{name: me, user: {}}]\n\
        contexts: [{name: gone, context: {cluster: gone, user: me, namespace: shop}}]\n";
    std::fs::write(folder.join("config"), text).unwrap();
}

#[test]
fn a_missing_secret_is_named_and_its_value_never_said() {
    let home = home(&format!(
        "{SERVICE}secrets: {{TOKEN: {{fromEnv: ORDERS_TOKEN}}, CERT: {{fromFile: cert.pem}}}}\n"
    ));
    with_context(&home);
    let ran = home.run(&["deploy", "-e", "gone"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("secret CERT") && ran.stderr.contains("cert.pem"), "{ran:#?}");
    std::fs::write(home.dir.path().join("cert.pem"), "hunter2\n").unwrap();
    let ran = home.run(&["deploy", "-e", "gone", "-o", "json"]);
    let error = &ran.json()["error"];
    assert_eq!((ran.code, &error["reason"]), (2, &"missing-secret".into()), "{ran:#?}");
    assert!(error["hints"][0].as_str().unwrap().contains("ORDERS_TOKEN"), "{ran:#?}");
    assert!(!format!("{ran:?}").contains("hunter2"));
}

#[test]
fn a_cluster_that_is_not_there_is_1_and_2_for_diff() {
    let home = home(SERVICE);
    with_context(&home);
    for (command, code) in [("deploy", 1), ("diff", 2)] {
        let ran = home.run(&[command, "-e", "gone", "-o", "json"]);
        assert_eq!(ran.code, code, "{command}: {ran:#?}");
        assert_eq!(ran.json()["error"]["code"], code, "{ran:#?}");
        assert!(ran.stdout.contains("127.0.0.1:1"), "{command} names the address: {ran:#?}");
    }
}

#[test]
fn a_driver_in_the_cluster_needs_an_image_that_somebody_named() {
    let home = home(SERVICE);
    with_context(&home);
    let error = |args: &[&str]| {
        let ran = home.run(&[&["deploy", "-e", "gone", "--detach", "-o", "json"], args].concat());
        let error = ran.json()["error"].clone();
        assert_eq!(error["reason"], "driver-image", "{ran:#?}");
        (
            ran.code,
            error["message"].as_str().unwrap().to_owned(),
            error["hints"][0].as_str().unwrap().to_owned(),
        )
    };
    let (code, message, hint) = error(&[]);
    assert_eq!(code, 2, "{message}");
    assert!(
        message.contains("none is named") && hint.contains("`driverImage: REF` in msctl.yaml"),
        "{message}\n{hint}"
    );
    // The strongest that is given: user config, then msctl.yaml, then the flag.
    let config = home.dir.path().join(".config/msctl");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("config.yaml"), "driverImage: localhost:1/user:1\n").unwrap();
    let said = |args: &[&str], image: &str| {
        let (code, message, _) = error(args);
        assert!(code == 1 && message.contains(image), "{message}");
    };
    said(&[], "localhost:1/user:1");
    std::fs::write(home.dir.path().join("msctl.yaml"), format!("{SERVICE}driverImage: localhost:1/file:1\n"))
        .unwrap();
    said(&[], "localhost:1/file:1");
    said(&["--driver-image", "localhost:1/flag:1"], "localhost:1/flag:1");
}

#[test]
fn several_environments_win_over_the_variable_that_names_one() {
    let home = home(&format!(
        "{SERVICE}environments:\n  a: {{context: gone}}\n  b: {{context: gone, namespace: b}}\n"
    ));
    with_context(&home);
    let mut command = home.command(&["deploy", "--envs", "a,b", "-o", "json"]);
    let ran = crate::run::Ran::of(command.env("MSCTL_ENV", "nowhere").output().unwrap());
    assert_eq!((ran.code, &ran.json()["error"]["reason"]), (1, &"unreachable".into()), "{ran:#?}");
    let both = home.run(&["deploy", "-e", "a", "--envs", "b", "-o", "json"]);
    assert_eq!((both.code, &both.json()["error"]["reason"]), (2, &"usage".into()), "{both:#?}");
}

#[test]
fn a_protected_environment_wants_its_name() {
    let home = home(&format!(
        "{SERVICE}environments:\n  prod: {{context: gone, protected: true}}\n  lab: {{context: gone}}\n"
    ));
    with_context(&home);
    for (args, code, says) in [
        (&["deploy", "-e", "prod"] as &[&str], 2, "--yes=prod"),
        (&["deploy", "-e", "prod", "--yes"], 2, "--yes=prod"),
        (&["deploy", "-e", "prod", "--yes=lab"], 2, "another environment"),
        (&["deploy", "-e", "prod", "--yes=prod"], 1, "127.0.0.1:1"),
        (&["delete", "-e", "prod", "--yes"], 2, "--yes=prod"),
        (&["delete", "-e", "lab"], 2, "--yes"),
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:#?}");
        assert!(ran.stderr.contains(says), "{args:?}: {ran:#?}");
    }
}

#[test]
fn what_a_cluster_would_not_take_is_wrong_usage() {
    for (yaml, says) in [
        ("needs: {x: {kind: oracle}}\n", "needs.x.kind"),
        ("secrets: {A: {fromSecret: vault}}\n", "NAME/KEY"),
    ] {
        let home = home(&format!("{SERVICE}{yaml}"));
        with_context(&home);
        let ran = home.run(&["deploy", "-e", "gone"]);
        assert_eq!(ran.code, 2, "{ran:#?}");
        assert!(ran.stderr.contains(says), "{ran:#?}");
    }
}

#[test]
fn a_workspace_goes_in_order_and_not_in_circles() {
    let home = Home::new();
    let write = |path: &str, text: &str| {
        let path = home.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("msctl.yaml", "workspace: [services/*]\n");
    write("services/a/msctl.yaml", "service: a\ndependsOn: [b]\n");
    write("services/b/msctl.yaml", "service: b\ndependsOn: [a]\n");
    with_context(&home);
    let ran = home.run(&["deploy", "-e", "gone"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("circle: a, b"), "{ran:#?}");
    let ran = home.run(&["deploy", "-e", "gone", "--image", "x"]);
    assert!(ran.code == 2 && ran.stderr.contains("--image"), "{ran:#?}");
}
