//! `msctl new`: what it makes, what it refuses, and that nothing is ever half-done.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Home, Ran};

const HEAD: &str = "apiVersion: msctl.dev/template/v1\nname: mini\nversion: 0.2.0\ndescription: small\n";

/// Everything in a folder by name, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Writes a template into the folder `t` of `home`.
pub fn template(home: &Home, yaml: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = home.dir.path().join("t");
    fs::create_dir_all(folder.join("files")).unwrap();
    fs::write(folder.join("template.yaml"), format!("{HEAD}{yaml}")).unwrap();
    for (path, content) in files {
        let place = folder.join("files").join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
    }
    folder
}

#[test]
fn the_default_is_a_committed_go_service() {
    let home = Home::new();
    let ran = home.run(&["new", "orders", "-o", "json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let document = ran.json();
    assert_eq!(document["schema"], "msctl.dev/new/v1");
    assert_eq!((&document["name"], &document["dryRun"]), (&"orders".into(), &false.into()));
    assert_eq!(document["template"]["name"], "go");
    assert!(document["template"]["digest"].as_str().unwrap().starts_with("sha256:"));
    let folder = home.dir.path().join("orders");
    assert_eq!(Path::new(document["folder"].as_str().unwrap()), folder);
    for file in document["files"].as_array().unwrap() {
        let place = folder.join(file["path"].as_str().unwrap());
        let found = fs::metadata(&place).unwrap();
        assert_eq!(found.len(), file["size"].as_u64().unwrap(), "{place:?}");
        let mode = format!("{:04o}", found.permissions().mode() & 0o777);
        assert_eq!(mode, file["mode"].as_str().unwrap(), "{place:?}");
    }
    let service = fs::read_to_string(folder.join("msctl.yaml")).unwrap();
    assert!(service.contains("service: orders") && service.contains("localhost:5000/orders"), "{service}");
    let repository = git2::Repository::open(&folder).unwrap();
    let head = repository.head().unwrap();
    assert_eq!(head.shorthand().unwrap(), "main");
    let commit = head.peel_to_commit().unwrap();
    assert_eq!(document["git"]["commit"], commit.id().to_string());
    assert_eq!(commit.author().email().unwrap(), "msctl@localhost");
    let mut options = git2::StatusOptions::new();
    let dirty = repository.statuses(Some(options.include_untracked(true))).unwrap();
    assert_eq!(dirty.len(), 0);
    assert_eq!(names(home.dir.path()), ["orders"]);
}

#[test]
fn people_get_a_tree_and_the_next_commands() {
    let home = Home::new();
    fs::create_dir(home.dir.path().join("services")).unwrap();
    let ran = home.run(&["new", "orders", "--into", "services", "--template", "go", "--defaults"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    for wanted in ["Created services/orders", "msctl.yaml", "cd services/orders", "msctl deploy"] {
        assert!(ran.stdout.contains(wanted), "{wanted}: {ran:#?}");
    }
}

#[test]
fn the_next_command_is_one_to_type() {
    let home = Home::new();
    for (dir, args, wanted) in [
        ("sub", &["new", "orders", "-C", "sub"][..], "cd sub/orders"),
        ("a b", &["new", "orders", "--into", "a b"], "cd 'a b/orders'"),
        ("c", &["new", "others", "-C", "c", "--into", "../a b"], "cd 'c/../a b/others'"),
    ] {
        fs::create_dir_all(home.dir.path().join(dir)).unwrap();
        let ran = home.run(args);
        assert!(ran.code == 0 && ran.stdout.contains(wanted), "{wanted}: {ran:#?}");
    }
}

#[test]
fn the_authors_name_comes_from_gits_configuration() {
    let home = Home::new();
    fs::write(home.dir.path().join(".gitconfig"), "[user]\nname = Ada\nemail = ada@example.com\n").unwrap();
    assert_eq!(home.run(&["new", "orders"]).code, 0);
    let repository = git2::Repository::open(home.dir.path().join("orders")).unwrap();
    let commit = repository.head().unwrap().peel_to_commit().unwrap();
    assert_eq!(commit.author().name().unwrap(), "Ada");
}

#[test]
fn inside_a_repository_and_with_no_git_there_is_no_second_one() {
    let home = Home::new();
    let ran = home.run(&["new", "plain", "--no-git", "-o", "json"]);
    assert_eq!((ran.code, ran.json()["git"].is_null()), (0, true), "{ran:#?}");
    git2::Repository::init(home.dir.path()).unwrap();
    let ran = home.run(&["new", "orders", "-o", "json"]);
    assert_eq!((ran.code, ran.json()["git"].is_null()), (0, true), "{ran:#?}");
    for name in ["plain", "orders"] {
        assert!(!home.dir.path().join(name).join(".git").exists(), "{name}");
    }
}

#[test]
fn a_dry_run_writes_nothing_and_shows_contents_with_v() {
    let home = Home::new();
    let ran = home.run(&["new", "orders", "--dry-run", "-o", "json"]);
    let document = ran.json();
    assert_eq!(
        (ran.code, &document["dryRun"], &document["git"]),
        (0, &true.into(), &serde_json::Value::Null)
    );
    assert!(document["files"].as_array().unwrap().len() > 10);
    let ran = home.run(&["new", "orders", "--dry-run"]);
    assert!(ran.stdout.contains("msctl.yaml") && !ran.stdout.contains("service: orders"), "{ran:#?}");
    let ran = home.run(&["new", "orders", "--dry-run", "-v"]);
    assert!(ran.stdout.contains("service: orders"), "{ran:#?}");
    assert_eq!(names(home.dir.path()), Vec::<String>::new());
}

#[test]
fn answers_come_from_flags_then_the_file_then_defaults() {
    let home = Home::new();
    let yaml = "variables: [{name: a, type: string, default: d}, {name: b, type: int, default: 1}, {name: c, type: bool, default: false}]\n";
    template(&home, yaml, &[("out.tera", "@{ a }@ @{ b }@ @{ c }@ @{ name }@ @{ registry }@")]);
    fs::write(
        home.dir.path().join("answers.yaml"),
        "\u{feff}a: from file\r\nb: 2\r\nregistry: r.example/shop\r\n",
    )
    .unwrap();
    let ran = home.run(&["new", "x", "-t", "./t", "--answers", "answers.yaml", "--set", "b=3", "--no-git"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let out = || fs::read_to_string(home.dir.path().join("x/out")).unwrap();
    assert_eq!(out(), "from file 3 false x r.example/shop");
    let state = fs::read_to_string(home.dir.path().join("x/.msctl/service.yaml")).unwrap();
    assert!(state.contains("a: from file") && state.contains("version: \"0.2.0\""), "{state}");
    let mut command = home.command(&["new", "y", "-t", "./t", "--no-git"]);
    let ran = Ran::of(command.env("MSCTL_REGISTRY", "env.example").output().unwrap());
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(fs::read_to_string(home.dir.path().join("y/out")).unwrap(), "d 1 false y env.example");
}

#[test]
fn wrong_answers_are_refused_with_the_reason() {
    let home = Home::new();
    fs::write(home.dir.path().join("bad.yaml"), "port: 1\n  ci: [\n").unwrap();
    for (args, words) in [
        (&["--set", "prt=1"][..], &["prt", "did you mean \"port\"?"][..]),
        (&["--set", "port=x"], &["port", "whole number"]),
        (&["--set", "port=99999"], &["port"]),
        (&["--set", "ci=githb"], &["ci", "did you mean \"github\"?"]),
        (&["--set", "port"], &["KEY=VALUE"]),
        (&["--set", "registry=a b"], &["no registry"]),
        (&["--answers", "none.yaml"], &["none.yaml"]),
        (&["--answers", "bad.yaml"], &["bad.yaml:"]),
        (&["--template", "goo"], &["goo", "did you mean \"go\"?"]),
        (&["--template", "./nope"], &["./nope"]),
        (&["--template", ""], &["template"]),
    ] {
        let ran = home.run(&[&["new", "orders"], args].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}: {ran:#?}");
        for word in words {
            assert!(ran.stderr.contains(word), "{args:?}: {word} is not in {ran:#?}");
        }
    }
    assert_eq!(names(home.dir.path()), ["bad.yaml"]);
}

#[test]
fn what_must_be_answered_names_the_flag() {
    let home = Home::new();
    let yaml = "variables: [{name: team, type: string, prompt: Who owns it?}, {name: key, type: string, secret: true}]\n";
    template(&home, yaml, &[("out.tera", "@{ team }@"), ("secret.tera", "@{ key }@")]);
    let ran = home.run(&["new", "x", "-t", "./t", "-o", "json"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert_eq!(ran.json()["error"]["reason"], "needs-answer");
    assert!(ran.json()["error"]["hints"][0].as_str().unwrap().contains("--set team="), "{ran:#?}");
    let ran = home.run(&["new", "x", "-t", "./t", "--set", "team=a", "--set", "key=hunter2"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("--answers") && !ran.stderr.contains("hunter2"), "{ran:#?}");
    fs::write(home.dir.path().join("a.yaml"), "team: a\nkey: hunter2\n").unwrap();
    let ran = home.run(&["new", "x", "-t", "./t", "--answers", "a.yaml"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let secret = home.dir.path().join("x/secret");
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    for kept in ["service.yaml", "base.tar"] {
        let text = fs::read(home.dir.path().join("x/.msctl").join(kept)).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("hunter2"), "{kept}");
    }
}

#[test]
fn bad_names_are_usage_errors_and_leave_nothing() {
    let home = Home::new();
    let long = "a".repeat(300);
    for name in [
        "", &long, "../x", "größe", "Orders", "a/b", "/etc", ".", "a b", "1st", "-", "a-", "func", "nul\u{1}",
    ] {
        let ran = home.run(&["new", "--no-input", "-t", "go", "--", name]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{name:?}: {ran:#?}");
        assert!(ran.stderr.starts_with("error: "), "{name:?}: {ran:#?}");
        assert!(ran.stderr.len() < 600, "{name:?}: {ran:#?}");
    }
    assert_eq!(names(home.dir.path()), Vec::<String>::new());
    let ran = home.run(&["new", "Order Items"]);
    assert!(ran.stderr.contains("\"order-items\" would do"), "{ran:#?}");
}

#[test]
fn what_is_there_stays_as_it_is() {
    let home = Home::new();
    let at = |name: &str| home.dir.path().join(name);
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/mine"), "precious").unwrap();
    fs::write(at("file"), "precious").unwrap();
    std::os::unix::fs::symlink("full", at("link")).unwrap();
    fs::create_dir(at("empty")).unwrap();
    for name in ["full", "file", "link"] {
        let ran = home.run(&["new", name, "-o", "json"]);
        assert_eq!(
            (ran.code, ran.json()["error"]["reason"].as_str()),
            (1, Some("already-exists")),
            "{ran:#?}"
        );
    }
    let ran = home.run(&["new", "orders", "--into", "nowhere"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("nowhere") && ran.stderr.contains("create it first"), "{ran:#?}");
    assert_eq!(home.run(&["new", "orders", "--into", "file"]).code, 1);
    assert_eq!(home.run(&["new", "empty"]).code, 0);
    assert_eq!(names(home.dir.path()), ["empty", "file", "full", "link"]);
    assert_eq!(names(&at("full")), ["mine"]);
    assert!(at("empty/msctl.yaml").is_file());
}

#[test]
fn a_templates_mistakes_have_a_place_and_leave_nothing() {
    let home = Home::new();
    for (yaml, path, body, wanted) in [
        ("", "a.txt.tera", "x\n  @{ nope }@\n", "files/a.txt.tera:2:6"),
        ("", "a.txt.tera", "@% if %@", "files/a.txt.tera:1:"),
        ("", "@{ name | nope }@", "", "nope"),
        ("varables: []\n", "a", "", "template.yaml:5:1"),
        ("files: [{src: a, dest: ../../x}]\n", "a", "", "\"../../x\""),
        ("files: [{src: a, dest: /etc/x}]\n", "a", "", "absolute"),
        ("", ".git/hooks/post-commit", "", "git's own"),
        ("", "com1.txt", "", "device"),
        ("", "msctl.yaml", "apiVersion: msctl.dev/v1\nservice: x\nprot: 1\n", "msctl.yaml:3:1"),
    ] {
        let folder = template(&home, yaml, &[(path, body)]);
        let ran = home.run(&["new", "x", "-t", "./t"]);
        assert_eq!(ran.code, 2, "{yaml}{path}: {ran:#?}");
        assert!(ran.stderr.contains(wanted), "{yaml}{path}: {wanted} is not in {ran:#?}");
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(names(home.dir.path()), Vec::<String>::new());
    }
    let folder = template(&home, "", &[]);
    std::os::unix::fs::symlink("/etc/passwd", folder.join("files/link")).unwrap();
    let ran = home.run(&["new", "x", "-t", "./t"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("symbolic link"), "{ran:#?}");
    fs::create_dir(home.dir.path().join("none")).unwrap();
    let ran = home.run(&["new", "x", "-t", "./none"]);
    assert!(ran.code == 2 && ran.stderr.contains("has no template.yaml"), "{ran:#?}");
}

#[test]
fn a_template_in_git_is_taken_at_its_ref() {
    let home = Home::new();
    let folder = home.dir.path().join("upstream");
    let repository = git2::Repository::init(&folder).unwrap();
    let write = |version: &str| {
        let yaml = HEAD.replace("0.2.0", version);
        fs::create_dir_all(folder.join("svc/files")).unwrap();
        fs::write(folder.join("svc/template.yaml"), yaml).unwrap();
        fs::write(folder.join("svc/files/version.tera"), version).unwrap();
        let mut index = repository.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        let author = git2::Signature::now("a", "a@example.com").unwrap();
        let parent = repository.head().ok().map(|h| h.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        repository.commit(Some("HEAD"), &author, &author, version, &tree, &parents).unwrap()
    };
    let first = write("1.0.0");
    repository.tag_lightweight("v1", &repository.find_object(first, None).unwrap(), false).unwrap();
    write("2.0.0");
    let url = format!("file://{}", folder.display());
    let short = first.to_string()[..10].to_owned();
    for (index, (place, version)) in [
        (format!("{url}//svc"), "2.0.0"),
        (format!("{url}//svc@v1"), "1.0.0"),
        (format!("{url}//svc@{short}"), "1.0.0"),
        ("upstream//svc@v1".to_owned(), "1.0.0"),
        ("./upstream/svc".to_owned(), "2.0.0"),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("made{index}");
        let ran = home.run(&["new", &name, "--no-git", "-t", place]);
        assert_eq!(ran.code, 0, "{place}: {ran:#?}");
        assert_eq!(
            fs::read_to_string(home.dir.path().join(&name).join("version")).unwrap(),
            *version,
            "{place}"
        );
    }
    let state = fs::read_to_string(home.dir.path().join("made1/.msctl/service.yaml")).unwrap();
    assert!(state.contains(&first.to_string()), "{state}");
    for (place, word) in
        [("//svc@v9", "v9"), ("//nope", "nope"), ("-none//svc", "cannot read the repository")]
    {
        let ran = home.run(&["new", "x", "-t", &format!("{url}{place}")]);
        assert!(ran.code != 0 && ran.stderr.contains(word), "{place}: {ran:#?}");
    }
}

/// Serves the files of `folder` over HTTP, as git's plain protocol wants them; returns the address.
fn serve(folder: PathBuf) -> String {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let asked = lines.next().and_then(Result::ok).unwrap_or_default();
            while lines.next().and_then(Result::ok).is_some_and(|l| !l.is_empty()) {}
            let path = asked
                .split(' ')
                .nth(1)
                .unwrap_or("/")
                .split('?')
                .next()
                .unwrap()
                .trim_start_matches("/t.git/");
            let (status, body) = match fs::read(folder.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    format!("http://{address}/t.git")
}

#[test]
fn a_remote_template_is_fetched_with_git() {
    let home = Home::new();
    let folder = template(&home, "", &[("version.tera", "@{ name }@ 1")]);
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(args).current_dir(&folder);
        command.output().map(|o| o.status.success()).unwrap_or(false)
    };
    assert!(git(&["init", "-q"]), "git can be run");
    assert!(git(&["add", "-A"]) && git(&["commit", "-qm", "1"]) && git(&["tag", "v1"]));
    assert!(git(&["repack", "-adq"]) && git(&["update-server-info"]));
    let url = serve(folder.join(".git"));
    let ran = home.run(&["new", "x", "--no-git", "-t", &format!("{url}@v1")]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(fs::read_to_string(home.dir.path().join("x/version")).unwrap(), "x 1");
    let ran = home.run(&["new", "y", "-t", "https://me:hunter2@h.example/a"]);
    assert!(ran.code == 2 && !ran.stderr.contains("hunter2"), "{ran:#?}");
    let ran = home.run(&["new", "y", "--no-git", "-t", &format!("{url}/none"), "-o", "json"]);
    assert_eq!((ran.code, ran.json()["error"]["reason"].as_str()), (1, Some("no-repository")), "{ran:#?}");
}

fn terminal(home: &Home, args: &[&str], env: &[(&str, &str)]) -> rexpect::session::PtySession {
    let mut command = home.command(args);
    command.env("TERM", "xterm").envs(env.iter().copied()).stdin(std::process::Stdio::inherit());
    rexpect::session::spawn_command(command, Some(20_000)).unwrap()
}

fn press(session: &mut rexpect::session::PtySession, keys: &str) {
    session.send(keys).unwrap();
    session.flush().unwrap();
}

#[test]
fn on_a_terminal_it_asks() {
    let home = Home::new();
    let yaml = "variables:
  - {name: team, type: string, prompt: Who owns it?, pattern: '[a-z]+'}
  - {name: size, type: choice, prompt: How big?, choices: [small, large], default: small}
  - {name: fast, type: bool, prompt: Fast?, default: false}
  - {name: quiet, type: string, default: unasked}
  - {name: token, type: string, prompt: Token, secret: true}
";
    template(&home, yaml, &[("out.tera", "@{ team }@ @{ size }@ @{ fast }@ @{ quiet }@ @{ token }@")]);
    let mut session = terminal(&home, &["new", "orders", "-t", "./t", "--no-git"], &[]);
    session.exp_string("Who owns it?").unwrap();
    session.send_line("UPPER").unwrap();
    session.exp_string("does not match").unwrap();
    press(&mut session, "\u{15}");
    for _ in 0..5 {
        press(&mut session, "\u{7f}");
    }
    session.send_line("shop").unwrap();
    session.exp_string("How big?").unwrap();
    session.exp_string("large").unwrap();
    press(&mut session, "\u{1b}[B");
    press(&mut session, "\r");
    session.exp_string("Fast?").unwrap();
    press(&mut session, "y");
    press(&mut session, "\r");
    session.exp_string("Token").unwrap();
    session.send_line("hunter2").unwrap();
    let rest = session.exp_string("Next:").unwrap();
    assert!(!rest.contains("hunter2"), "{rest}");
    session.exp_eof().unwrap();
    let out = fs::read_to_string(home.dir.path().join("orders/out")).unwrap();
    assert_eq!(out, "shop large true unasked hunter2");
}

#[test]
fn on_a_terminal_the_template_is_chosen() {
    let home = Home::new();
    let mut session = terminal(&home, &["new", "orders", "--dry-run"], &[]);
    session.exp_string("Template").unwrap();
    session.exp_string("python-fastapi").unwrap();
    press(&mut session, "\r");
    session.exp_string("What does the service do?").unwrap();
    press(&mut session, "\u{3}");
    let rest = session.exp_eof().unwrap();
    assert!(rest.contains("interrupted at the question"), "{rest}");
    let status = session.process().wait().unwrap();
    assert!(format!("{status:?}").contains("130"), "{status:?}");
    assert_eq!(names(home.dir.path()), Vec::<String>::new());
}

#[test]
fn nothing_is_asked_in_ci_or_when_told_not_to() {
    let home = Home::new();
    for (name, args, env) in [
        ("a", &["--no-input"][..], &[][..]),
        ("b", &[], &[("CI", "true")]),
        ("c", &["--defaults"], &[]),
        ("d", &["-o", "json"], &[]),
    ] {
        let mut session = terminal(&home, &[&["new", name], args].concat(), env);
        let all = session.exp_eof().unwrap();
        assert!(!all.contains("Template") && !all.contains('?'), "{args:?}: {all}");
        assert!(home.dir.path().join(name).join("msctl.yaml").is_file(), "{args:?}: {all}");
    }
}
