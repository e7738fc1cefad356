//! Migrations on the local platform: a real process each, in the version's folder, with its configuration.

use std::time::Duration;

use crate::local::{Place, version};
use crate::run::Ran;

struct Shop(Place);

impl Shop {
    fn new() -> Shop {
        Shop(Place::running())
    }
    /// What the migrations did, a line each.
    fn done(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.home.dir.path().join("schema")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
    fn configure(&self, version: &str, expand: &str, contract: &str) {
        let rollout = format!(
            "{{scaleDownDelay: 0s, abortDelay: 0s, rollbackWindow: 1}}\nmigrations: {{expand: [sh, -c, '{expand}'], contract: [sh, -c, '{contract}']}}"
        );
        self.0.configure_rollout("cp app.py built.py", &format!("VERSION: {version}"), &rollout);
    }
    /// Each migration says of which version it is.
    fn version(&self, version: &str) {
        let say = |phase: &str| {
            let schema = self.0.home.dir.path().join("schema");
            format!("test -f built.py && echo {phase} $VERSION {version} >> {}", schema.display())
        };
        self.configure(version, &say("expand"), &say("contract"));
    }
    fn msctl(&self, args: &[&str]) -> Ran {
        let mut command = self.0.home.command(args);
        Ran::of(command.current_dir(self.0.folder()).output().unwrap())
    }
}

#[test]
fn expand_runs_before_the_first_process_and_contract_when_none_could_go_back() {
    let shop = Shop::new();
    let port = shop.0.port;
    shop.version("one");
    let plan = shop.msctl(&["deploy", "--plan"]);
    assert!(plan.stdout.contains("expand runs before the first pod: sh -c"), "{plan:#?}");
    let first = shop.msctl(&["deploy"]);
    assert_eq!(first.code, 0, "{first:#?}");
    let (expanded, ready) =
        (first.stderr.find("the schema has what revision 1 needs"), first.stderr.find("1 of 1"));
    assert!(expanded.is_some() && expanded < ready, "{first:#?}");
    assert_eq!(shop.done(), ["expand one one"]);

    shop.version("two");
    assert_eq!(shop.msctl(&["deploy", "--canary"]).code, 0);
    assert_eq!(shop.done()[1..], ["expand two two", "contract one one"], "none was before revision 1");
    assert_eq!(shop.msctl(&["deploy", "--canary"]).code, 0, "nothing changed");
    assert_eq!(shop.msctl(&["rollout", "undo"]).code, 0);
    assert_eq!(version(port), "one");
    shop.version("two");
    assert_eq!(shop.msctl(&["deploy"]).code, 0);
    assert_eq!(shop.done().len(), 3, "what was done is not done again");

    // With three, an undo goes to two; one cannot come back, and what only it needed goes.
    shop.version("three");
    let plan = shop.msctl(&["deploy", "--plan"]);
    assert!(plan.stdout.contains("contract of revision 2 runs when revision 3 is healthy"), "{plan:#?}");
    assert_eq!(shop.msctl(&["deploy"]).code, 0);
    assert_eq!(shop.done()[3..], ["expand three three", "contract two two"]);
    let undo = shop.msctl(&["rollout", "undo", "--to", "1"]);
    assert_eq!(undo.code, 1, "{undo:#?}");
    assert!(undo.stderr.contains("needs a schema that a contract took away"), "{undo:#?}");
    shop.version("one");
    let old = shop.msctl(&["deploy"]);
    assert_eq!(old.code, 1, "{old:#?}");
    assert!(old.stderr.contains("[contracted]") || old.stderr.contains("--proceed"), "{old:#?}");
    assert_eq!(version(port), "three");

    // A person need not wait for the next deploy, and is asked.
    shop.version("three");
    let asked = shop.msctl(&["migrate", "contract"]);
    assert!(asked.code == 2 && asked.stderr.contains("No version before the live one"), "{asked:#?}");
    let contract = shop.msctl(&["migrate", "contract", "--yes"]);
    assert_eq!(contract.code, 0, "{contract:#?}");
    assert!(contract.stdout.contains("no revision before 3 can come back"), "{contract:#?}");
    assert_eq!(shop.done()[5..], ["contract three three"]);
    assert_eq!(shop.msctl(&["rollout", "undo"]).code, 1);
    let again = shop.msctl(&["migrate", "contract", "--yes"]);
    assert_eq!(again.code, 1, "{again:#?}");
    assert!(again.stderr.contains("leaves no contract"), "{again:#?}");
}

#[test]
fn a_migration_that_fails_changes_nothing_that_serves_and_the_next_run_is_not_blocked() {
    let shop = Shop::new();
    shop.version("one");
    assert_eq!(shop.msctl(&["deploy"]).code, 0);
    shop.configure("two", "echo no such table: orders >&2; exit 3", "true");
    let refused = shop.msctl(&["deploy", "--canary"]);
    assert_eq!(refused.code, 5, "{refused:#?}");
    for told in ["migration expand: it exited with 3", "no such table: orders", "revision 1 serves"] {
        assert!(refused.stderr.contains(told), "{told}: {refused:#?}");
    }
    assert!(!refused.stderr.contains("drained of revision 2"), "it never ran: {refused:#?}");
    assert_eq!(version(shop.0.port), "one");
    let history = shop.msctl(&["rollout", "history", "-o", "json"]).json();
    assert_eq!(history["deploys"][1]["reason"], "migration-failed", "{history}");
    // The same version, with its command mended.
    shop.version("two");
    let mended = shop.msctl(&["deploy", "--rolling"]);
    assert_eq!(mended.code, 0, "{mended:#?}");
    assert_eq!(shop.done(), ["expand one one", "expand two two", "contract one one"]);
    assert_eq!(version(shop.0.port), "two");

    // What serves goes on serving when a contract fails; it is mended and said again.
    shop.configure("three", "true", "exit 4");
    assert_eq!(shop.msctl(&["deploy"]).code, 0);
    let failed = shop.msctl(&["migrate", "contract", "--yes"]);
    assert_eq!(failed.code, 1, "{failed:#?}");
    assert!(failed.stderr.contains("the contract of revision 3 failed"), "{failed:#?}");
    shop.configure("three", "true", "true");
    assert_eq!(shop.msctl(&["migrate", "contract", "--yes"]).code, 0);
    assert_eq!(version(shop.0.port), "three");
}

#[test]
fn a_driver_killed_in_a_migration_is_followed_by_one_that_waits_for_the_same() {
    let shop = Shop::new();
    let schema = shop.0.home.dir.path().join("schema").display().to_string();
    let slow = format!("echo begun >> {schema}; sleep 3; echo ended >> {schema}");
    shop.configure("one", &slow, "true");
    let mut deploy = shop.0.home.command(&["deploy"]);
    let mut deploy = deploy.current_dir(shop.0.folder()).stdout(std::process::Stdio::null()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while shop.done().is_empty() && begun.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    deploy.kill().unwrap();
    deploy.wait().unwrap();
    let status = shop.msctl(&["rollout", "status", "-o", "json"]).json();
    assert_eq!(status["reason"], "migrating", "{status}");
    let attach = shop.msctl(&["rollout", "attach"]);
    assert_eq!(attach.code, 0, "{attach:#?}");
    assert_eq!(shop.done(), ["begun", "ended"], "run once, to its end, before the first process");
    assert_eq!(version(shop.0.port), "one");
}
