//! The Kubernetes adapter, method by method, on the real cluster.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use msctl::context::{Ctx, SystemClock};
use msctl::platform::{Error, JobRun, LogQuery, Platform, Release, Template};
use msctl::rollout::{Effect, Observation, Selection, Slot, SlotObservation};
use msctl::service::Service;
use msctl::settings::{Env, Settings};

use crate::harness::{BUSYBOX, BY_WATCH, Lab, Namespace, V1, V2};

/// A service of a namespace as one msctl process sees it.
pub struct Site {
    ctx: Ctx,
    folder: PathBuf,
    service: Service,
    pub platform: Arc<dyn Platform>,
}

impl Site {
    pub fn new(ns: &Namespace, extra: &str) -> Site {
        let folder = ns.service("orders", extra);
        let path = folder.display().to_string();
        let args: Vec<_> = ["msctl", "-C", &path, "-e", "lab", "status"].iter().map(Into::into).collect();
        let env = Env::of([
            ("KUBECONFIG", ns.kubeconfig().display().to_string()),
            ("HOME", ns.home.path().display().to_string()),
        ]);
        let settings = Settings::resolve(&msctl::cli::parse(&args, &env).unwrap(), env).unwrap();
        let ctx = Ctx::new(settings, Arc::new(SystemClock));
        let (folder, service, target) = ctx.service(None).unwrap();
        let platform = ctx.block_on(ctx.platform(&service, &target)).unwrap().unwrap();
        Site { ctx, folder, service, platform }
    }

    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.ctx.block_on(future).unwrap()
    }

    fn release(&self, image: &str) -> Release {
        Release {
            service: self.service.clone(),
            folder: self.folder.clone(),
            image: Some(image.into()),
            secrets: Default::default(),
        }
    }

    /// Revision `revision` stored, and the service's shared objects made.
    pub async fn install(&self, revision: u32, image: &str, epoch: u64) -> Template {
        let release = self.release(image);
        let template = self.platform.template(&self.ctx, &release).await.unwrap();
        self.platform.put_template(revision, &template).await.unwrap();
        self.platform.install(&release, &template, epoch).await.unwrap();
        template
    }

    pub async fn apply(&self, slot: Slot, revision: u32, epoch: u64) {
        self.platform.execute(&Effect::Apply { slot, revision }, epoch).await.unwrap();
    }

    pub async fn scale(&self, slot: Slot, replicas: u32, epoch: u64) {
        self.platform.execute(&Effect::Scale { slot, replicas }, epoch).await.unwrap();
    }

    /// Observes at every change until `done`; panics with the last observation after so many seconds.
    pub async fn until(&self, seconds: u64, what: &str, done: impl Fn(&Observation) -> bool) -> Observation {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            let seen = self.platform.observe().await.unwrap();
            if done(&seen) {
                return seen;
            }
            let left = end.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, self.platform.changed()).await.is_err() {
                panic!("not within {seconds} s: {what}: {seen:#?}");
            }
        }
    }
}

pub fn of(seen: &Observation, slot: Slot) -> SlotObservation {
    seen.slots.get(&slot).cloned().unwrap_or_default()
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn state_is_compared_and_swapped() {
    let ns = Lab::get().namespace("k8s-state", true);
    let (one, two) = (Site::new(&ns, ""), Site::new(&ns, ""));
    one.run(async {
        assert!(one.platform.load().await.unwrap().is_none());
        let first = one.platform.save("{\"v\":1}", None).await.unwrap();
        assert!(matches!(two.platform.save("{\"v\":9}", None).await, Err(Error::Conflict(_))), "made twice");
        assert_eq!(
            one.platform.save("{\"v\":1}", None).await.unwrap(),
            first,
            "its own repeated try is no conflict"
        );
        let seen = two.platform.load().await.unwrap().unwrap();
        assert_eq!((seen.body.as_str(), &seen.version), ("{\"v\":1}", &first));

        one.platform.observe().await.unwrap();
        let second = two.platform.save("{\"v\":2}", Some(&seen.version)).await.unwrap();
        tokio::time::timeout(Duration::from_secs(1), one.platform.changed())
            .await
            .expect("an intent is seen within a second");
        assert_eq!(one.platform.observe().await.unwrap().state_version.as_ref(), Some(&second));
        assert!(matches!(one.platform.save("{\"v\":3}", Some(&first)).await, Err(Error::Conflict(_))));

        let third = one.platform.save("{\"v\":4}", Some(&second)).await.unwrap();
        assert_eq!(one.platform.observe().await.unwrap().state_version, Some(third.clone()));
        let quiet = tokio::time::timeout(Duration::from_millis(500), one.platform.changed()).await;
        assert!(quiet.is_err(), "its own save wakes nobody");

        let large = "x".repeat(64 * 1024 + 1);
        let Err(Error::Other(error)) = one.platform.save(&large, Some(&third)).await else { panic!("saved") };
        assert!(error.to_string().contains("65537 bytes"), "{error:#}");
        let fits = "y".repeat(64 * 1024);
        one.platform.save(&fits, Some(&third)).await.unwrap();
        assert_eq!(two.platform.load().await.unwrap().unwrap().body, fits);
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_revision_names_one_template_for_ever() {
    let ns = Lab::get().namespace("k8s-template", true);
    let site = Site::new(&ns, "");
    site.run(async {
        let template = |image: &str| Template {
            hash: image.into(),
            image: image.into(),
            body: serde_json::json!({"a": [1]}),
        };
        site.platform.put_template(1, &template("a")).await.unwrap();
        site.platform.put_template(1, &template("a")).await.unwrap();
        assert!(matches!(site.platform.put_template(1, &template("b")).await, Err(Error::Conflict(_))));
        assert_eq!(site.platform.get_template(1).await.unwrap(), template("a"));
        assert!(matches!(site.platform.get_template(2).await, Err(Error::NotFound(_))));
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn one_driver_holds_the_lease() {
    let ns = Lab::get().namespace("k8s-lease", true);
    let (one, two) = (Site::new(&ns, ""), Site::new(&ns, ""));
    one.run(async {
        assert!(one.platform.lease().await.unwrap().is_none());
        let held = one.platform.take_lease("one", None).await.unwrap();
        assert_eq!(held.holder, "one");
        assert!(matches!(two.platform.take_lease("two", None).await, Err(Error::Conflict(_))));
        let seen = two.platform.lease().await.unwrap().unwrap();
        assert_eq!(seen, held);

        let renewed = one.platform.renew_lease(&held, false).await.unwrap();
        assert!(renewed.version != held.version && renewed.renewed >= held.renewed);
        assert!(
            matches!(two.platform.take_lease("two", Some(&seen)).await, Err(Error::Conflict(_))),
            "it was renewed since it was seen"
        );
        let seen = two.platform.lease().await.unwrap().unwrap();
        let taken = two.platform.take_lease("two", Some(&seen)).await.unwrap();
        assert!(
            matches!(one.platform.renew_lease(&renewed, false).await, Err(Error::Conflict(_))),
            "woke up late"
        );
        assert!(matches!(one.platform.renew_lease(&renewed, true).await, Err(Error::Conflict(_))));

        let released = two.platform.renew_lease(&taken, true).await.unwrap();
        assert_eq!(released.holder, "");
        let again = one.platform.take_lease("one", Some(&released)).await.unwrap();
        ns.kubectl(&["delete", "lease", "orders-rollout"]);
        assert!(
            matches!(one.platform.renew_lease(&again, false).await, Err(Error::Conflict(_))),
            "deleted by hand"
        );
        assert!(one.platform.lease().await.unwrap().is_none());
        one.platform.take_lease("one", None).await.unwrap();
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn slots_are_made_scaled_and_selected() {
    let ns = Lab::get().namespace("k8s-slots", true);
    let site = Site::new(&ns, "");
    site.run(async {
        assert!(site.platform.observe().await.unwrap().slots.is_empty());
        site.install(1, V1, 1).await;
        site.install(2, V2, 1).await;
        site.apply(Slot::Blue, 1, 1).await;
        let made = site.platform.observe().await.unwrap();
        assert_eq!((of(&made, Slot::Blue).revision, of(&made, Slot::Blue).desired), (1, 0), "made inert");
        assert_eq!(made.selection, Some(Selection::Blue));

        site.scale(Slot::Blue, 3, 1).await;
        let asked = of(&site.platform.observe().await.unwrap(), Slot::Blue);
        assert_eq!(asked.desired, 3, "never older than the write");
        assert!(!asked.complete(3));
        let up = site.until(60, "three pods", |o| of(o, Slot::Blue).complete(3)).await;
        assert_eq!(of(&up, Slot::Blue).problems, []);
        site.until(10, "all in public", |o| of(o, Slot::Blue).in_public == 3).await;

        site.apply(Slot::Green, 2, 1).await;
        site.scale(Slot::Green, 1, 1).await;
        site.platform.execute(&Effect::Select(Selection::Both), 1).await.unwrap();
        let both = site.platform.observe().await.unwrap();
        assert_eq!(
            (both.selection, both.selected_by.as_deref()),
            (Some(Selection::Both), Some("msctl-rollout"))
        );
        site.until(60, "both answer", |o| {
            of(o, Slot::Green).in_public == 1 && of(o, Slot::Green).complete(1)
        })
        .await;

        site.platform.execute(&Effect::Select(Selection::Green), 1).await.unwrap();
        site.until(10, "blue left", |o| of(o, Slot::Blue).in_public == 0).await;
        site.scale(Slot::Blue, 0, 1).await;
        site.until(60, "blue empty", |o| of(o, Slot::Blue).empty()).await;
        assert_eq!(ns.field("deploy/orders-green", "{.spec.replicas}"), "1");
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_new_template_in_place_keeps_the_pods_number() {
    let ns = Lab::get().namespace("k8s-inplace", true);
    let site = Site::new(&ns, "");
    site.run(async {
        site.install(1, V1, 1).await;
        site.apply(Slot::Blue, 1, 1).await;
        site.scale(Slot::Blue, 2, 1).await;
        site.until(60, "two pods", |o| of(o, Slot::Blue).complete(2)).await;
        site.install(2, V2, 1).await;
        site.apply(Slot::Blue, 2, 1).await;
        let begun = of(&site.platform.observe().await.unwrap(), Slot::Blue);
        assert_eq!((begun.revision, begun.desired), (2, 2));
        assert!(!begun.complete(2), "not before the controller has seen it");
        site.until(60, "two new pods", |o| of(o, Slot::Blue).complete(2)).await;
        assert_eq!(ns.field("deploy/orders-blue", "{.spec.replicas}"), "2");
        let fields = ns.field("deploy/orders-blue", "{.metadata.managedFields[*].manager}");
        assert!(fields.contains("msctl-rollout"), "{fields}");
    });
}

/// Scenario 29.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_driver_that_slept_through_its_take_over_writes_nothing() {
    let ns = Lab::get().namespace("k8s-fence", true);
    let edited = Site::new(&ns, "egress: [{ports: [9999]}]");
    let (old, new) = (Site::new(&ns, ""), Site::new(&ns, ""));
    old.run(async {
        old.install(1, V1, 4).await;
        let held = old.platform.take_lease("old", None).await.unwrap();
        let version = old.platform.save("{}", None).await.unwrap();
        old.apply(Slot::Blue, 1, 4).await;
        old.scale(Slot::Blue, 1, 4).await;
        let second = old.install(2, V2, 4).await;
        old.platform.put_template(3, &second).await.unwrap();
        assert_eq!(new.platform.epoch().await.unwrap(), 4);

        let seen = new.platform.lease().await.unwrap().unwrap();
        new.platform.take_lease("new", Some(&seen)).await.unwrap();
        new.platform.save("{\"epoch\":5}", Some(&version)).await.unwrap();
        new.platform.raise_epoch(5).await.unwrap();
        assert_eq!(old.platform.epoch().await.unwrap(), 5);
        let before = snapshot(&ns);

        for effect in [
            Effect::Apply { slot: Slot::Blue, revision: 2 },
            Effect::Scale { slot: Slot::Blue, replicas: 7 },
            Effect::Select(Selection::Both),
            Effect::Prune { keep: vec![1] },
            Effect::Experiment { live: Slot::Blue, revisions: Some((1, 2)) },
        ] {
            let result = old.platform.execute(&effect, 4).await;
            let overtaken = matches!(result, Err(Error::Overtaken { seen: 5, ours: 4 }));
            assert!(overtaken, "{effect:?}: {result:?}");
        }
        let judged = old.platform.job(&job(), 4).await;
        assert!(matches!(judged, Err(Error::Overtaken { seen: 5, ours: 4 })), "{judged:?}");
        let mut release = old.release(V2);
        release.service.egress = edited.service.egress.clone();
        let error = old.platform.install(&release, &second, 4).await.expect_err("install is refused");
        assert_eq!(msctl::error::kind(&error).code(), 4, "{error:#}");
        assert!(
            matches!(old.platform.raise_epoch(4).await, Err(Error::Overtaken { seen: 5, .. })),
            "lowered"
        );
        assert!(matches!(old.platform.save("{}", Some(&version)).await, Err(Error::Conflict(_))));
        assert!(matches!(old.platform.renew_lease(&held, false).await, Err(Error::Conflict(_))));
        assert_eq!(snapshot(&ns), before, "nothing changed");
        // What it makes anew carries no higher epoch: it is told all the same, before any pod is asked for.
        let anew = old.platform.execute(&Effect::Apply { slot: Slot::Green, revision: 2 }, 4).await;
        assert!(matches!(anew, Err(Error::Overtaken { seen: 5, ours: 4 })), "{anew:?}");
        assert_eq!(ns.field("deploy/orders-green", "{.spec.replicas}"), "0");

        new.scale(Slot::Blue, 2, 5).await;
        new.apply(Slot::Blue, 2, 5).await;
        assert_eq!(ns.field("deploy/orders-blue", "{.spec.replicas}"), "2");
    });
}

fn job() -> JobRun {
    JobRun {
        name: "orders-r2-e2e-step-1".into(),
        metric: "e2e".into(),
        measurement: "one".into(),
        slot: Slot::Green,
        revision: 2,
        image: V1.into(),
        command: vec!["true".into()],
        start_deadline: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
    }
}

/// What a write could have changed: everything but status.
fn snapshot(ns: &Namespace) -> String {
    let kinds = "deploy,job,service,configmap,secret,serviceaccount,pdb,networkpolicy,lease";
    let path = "{range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.metadata.annotations} {.spec}{.data}\n{end}";
    ns.get(&[kinds, "-o", &format!("jsonpath={path}")]).expect("kubectl gets")
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn pruning_keeps_what_a_pod_names() {
    let ns = Lab::get().namespace("k8s-prune", true);
    let site = Site::new(&ns, "config: {LEVEL: one}");
    site.run(async {
        site.install(1, V1, 1).await;
        site.apply(Slot::Blue, 1, 1).await;
        site.scale(Slot::Blue, 1, 1).await;
        site.until(60, "a pod", |o| of(o, Slot::Blue).complete(1)).await;
    });
    let configs = || ns.get(&["configmap", "-l", "app.kubernetes.io/name=orders", "-o", "name"]).unwrap();
    let next = Site::new(&ns, "config: {LEVEL: two}");
    next.run(async {
        next.install(2, V1, 1).await;
        let both = configs();
        next.platform.execute(&Effect::Prune { keep: vec![2] }, 1).await.unwrap();
        assert_eq!(configs(), both, "revision 1 still runs");
        next.scale(Slot::Blue, 0, 1).await;
        next.apply(Slot::Blue, 2, 1).await;
        next.until(60, "no pod", |o| of(o, Slot::Blue).empty()).await;
        next.platform.execute(&Effect::Prune { keep: vec![2] }, 1).await.unwrap();
        assert!(matches!(next.platform.get_template(1).await, Err(Error::NotFound(_))));
        assert_eq!(configs().lines().count(), both.lines().count() - 2, "{} of {both}", configs());
        next.platform.get_template(2).await.unwrap();
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_crash_loop_is_seen_with_its_log() {
    let ns = Lab::get().namespace("k8s-crash", true);
    let site = Site::new(&ns, "config: {FAIL: crash}");
    site.run(async {
        site.install(1, V1, 1).await;
        site.apply(Slot::Blue, 1, 1).await;
        site.scale(Slot::Blue, 1, 1).await;
        let seen = site.until(60, "a crash", |o| of(o, Slot::Blue).problems.iter().any(|p| p.terminal)).await;
        let ended =
            ns.field("pods", "{.items[0].status.containerStatuses[0].lastState.terminated.finishedAt}");
        let ended: jiff::Timestamp = ended.parse().expect("it has ended before");
        let late = seen.time.duration_since(ended);
        let slot = of(&seen, Slot::Blue);
        assert!(late.unsigned_abs() < BY_WATCH, "seen {late:#} after the exit: {slot:?}");
        let problem = slot.problems.iter().find(|p| p.terminal).unwrap();
        assert_eq!(problem.reason, "crash");
        assert!(!problem.log.is_empty(), "{problem:?}");
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_missing_tag_is_seen_at_once() {
    let ns = Lab::get().namespace("k8s-tag", true);
    let site = Site::new(&ns, "");
    site.run(async {
        site.install(1, "localhost:5000/labtool:no-such-tag", 1).await;
        site.apply(Slot::Blue, 1, 1).await;
        let begun = Instant::now();
        site.scale(Slot::Blue, 1, 1).await;
        let seen = site.until(20, "the pull fails", |o| !of(o, Slot::Blue).problems.is_empty()).await;
        let problem = of(&seen, Slot::Blue).problems.remove(0);
        assert_eq!(problem.reason, "image-pull", "{problem:?}");
        assert!(problem.message.contains("no-such-tag"), "{problem:?}");
        assert!(begun.elapsed() < BY_WATCH, "took {:?}", begun.elapsed());
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn logs_of_all_pods_and_restart_within_the_budget() {
    let ns = Lab::get().namespace("k8s-logs", true);
    let site = Site::new(&ns, "replicas: 2");
    site.run(async {
        site.install(1, V1, 1).await;
        site.apply(Slot::Blue, 1, 1).await;
        site.scale(Slot::Blue, 2, 1).await;
        let up = |o: &Observation| of(o, Slot::Blue).complete(2) && of(o, Slot::Blue).in_public == 2;
        site.until(60, "two pods", up).await;
        let (to, mut lines) = tokio::sync::mpsc::channel(1000);
        site.platform.logs(&LogQuery::default(), to).await.unwrap();
        let mut pods = std::collections::BTreeSet::new();
        while let Some(line) = lines.recv().await {
            assert_eq!(line.slot, Some(Slot::Blue));
            pods.insert(line.pod);
        }
        assert_eq!(pods.len(), 2);

        let (to, mut followed) = tokio::sync::mpsc::channel(1000);
        let query = LogQuery { follow: true, tail: Some(0), ..LogQuery::default() };
        let restart = site.platform.restart(Slot::Blue, &|_, _| {});
        let follow = site.platform.logs(&query, to);
        let replaced = tokio::select! {
            replaced = restart => replaced.unwrap(),
            ended = follow => panic!("following ended: {ended:?}"),
        };
        assert_eq!(replaced, 2);
        let after = site.platform.observe().await.unwrap();
        assert!(of(&after, Slot::Blue).available >= 2, "{after:?}");
        let mut newer = 0;
        while let Ok(line) = followed.try_recv() {
            newer += usize::from(!pods.contains(&line.pod));
        }
        assert!(newer > 0, "new pods are followed without asking again");
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_budget_that_allows_nothing_is_waited_for() {
    let ns = Lab::get().namespace("k8s-budget", true);
    let site = Site::new(&ns, "");
    site.run(async {
        site.install(1, V1, 1).await;
        site.apply(Slot::Blue, 1, 1).await;
        site.scale(Slot::Blue, 1, 1).await;
        site.until(60, "a pod", |o| of(o, Slot::Blue).complete(1)).await;
    });
    ns.apply(
        "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: strict}\nspec: {minAvailable: 1, selector: {matchLabels: {app.kubernetes.io/name: orders}}}\n",
    );
    ns.kubectl(&["delete", "pdb", "orders-blue"]);
    ns.kubectl(&["wait", "pdb/strict", "--for=jsonpath={.status.currentHealthy}=1", "--timeout=20s"]);
    let pod = ns.field("pods", "{.items[0].metadata.name}");
    site.run(async {
        let said = std::sync::Mutex::new(Vec::new());
        let progress = |_, text: String| {
            said.lock().unwrap().push(text);
        };
        let refused =
            tokio::time::timeout(Duration::from_secs(5), site.platform.restart(Slot::Blue, &progress));
        assert!(refused.await.is_err(), "evicted in spite of the budget");
        let tries = said.lock().unwrap().clone();
        assert!(tries.len() >= 2 && tries[0].contains("may not be evicted"), "{tries:?}");
        assert_eq!(ns.field("pods", "{.items[0].metadata.name}"), pod);
        ns.kubectl(&["delete", "pdb", "strict"]);
        assert_eq!(site.platform.restart(Slot::Blue, &progress).await.unwrap(), 1);
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_namespace_that_goes_is_noticed() {
    let ns = Lab::get().namespace("k8s-going", true);
    let site = Site::new(&ns, "");
    site.run(async {
        site.install(1, V1, 1).await;
        let version = site.platform.save("{}", None).await.unwrap();
        site.apply(Slot::Blue, 1, 1).await;
        site.scale(Slot::Blue, 1, 1).await;
        site.until(60, "a pod", |o| of(o, Slot::Blue).complete(1)).await;
        ns.lab.kubectl(&["delete", "namespace", &ns.name, "--wait=false"]);
        site.until(30, "terminating", |o| o.terminating).await;
        let write = site
            .platform
            .put_template(9, &Template { hash: "h".into(), image: "i".into(), body: serde_json::json!({}) })
            .await;
        assert!(matches!(write, Err(Error::Terminating(_) | Error::NotFound(_))), "{write:?} {version}");
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn without_rights_the_missing_one_is_named() {
    let ns = Lab::get().namespace("k8s-rights", true);
    ns.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: nobody}\n");
    let token = ns.kubectl(&["create", "token", "nobody"]);
    let token = String::from_utf8(token.stdout).unwrap();
    let config = ns.kubeconfig().display().to_string();
    let user = ["--kubeconfig", &config, "config", "set-credentials", "nobody", "--token", token.trim()];
    assert!(ns.lab.kubectl(&user).status.success());
    let context = ["--kubeconfig", &config, "config", "set-context", "lab", "--user", "nobody"];
    assert!(ns.lab.kubectl(&context).status.success());
    let site = Site::new(&ns, "");
    site.run(async {
        let Err(Error::Forbidden(text)) = site.platform.load().await else { panic!("allowed") };
        let expected = format!("may not get configmaps in namespace {}", ns.name);
        assert!(text.ends_with(&expected) && text.contains(":nobody "), "{text}");
        let Err(error) = site.platform.observe().await else { panic!("allowed") };
        assert!(error.to_string().contains("may not list"), "{error}");
    });
    let args = ["--kubeconfig", &config, "config", "set-credentials", "nobody", "--token", "expired"];
    assert!(ns.lab.kubectl(&args).status.success());
    let site = Site::new(&ns, "");
    site.run(async {
        let Err(Error::Other(error)) = site.platform.load().await else { panic!("allowed") };
        let report = msctl::error::report(&error);
        assert_eq!((report.code, report.reason.as_str()), (1, "unauthorized"), "{report:?}");
    });
}

/// Busybox has a shell, so the log can be written line by line across a restart.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_followed_log_survives_its_container() {
    let ns = Lab::get().namespace("k8s-follow", true);
    let command =
        r#"[sh, -c, "for i in 1 2 3 4 5; do echo line $i of $(date +%s%N); sleep 0.3; done; exit 1"]"#;
    ns.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: talker, labels: {{app.kubernetes.io/name: orders}}}}\nspec:\n  containers:\n  - name: main\n    image: {BUSYBOX}\n    command: {command}\n    securityContext: {{allowPrivilegeEscalation: false, runAsNonRoot: true, runAsUser: 1000, capabilities: {{drop: [ALL]}}, seccompProfile: {{type: RuntimeDefault}}}}\n"
    ));
    let site = Site::new(&ns, "");
    site.run(async {
        let (to, mut lines) = tokio::sync::mpsc::channel::<msctl::platform::LogLine>(1000);
        let query = LogQuery { follow: true, ..LogQuery::default() };
        let read = async {
            let mut all: Vec<String> = Vec::new();
            while all.len() < 10 {
                all.push(lines.recv().await.expect("goes on").line);
            }
            all
        };
        let all = tokio::select! {
            all = tokio::time::timeout(Duration::from_secs(60), read) => all.expect("two runs within a minute"),
            ended = site.platform.logs(&query, to) => panic!("following ended: {ended:?}"),
        };
        let numbers: Vec<&str> = all.iter().map(|l| l.split(' ').nth(1).unwrap()).collect();
        assert_eq!(numbers, ["1", "2", "3", "4", "5", "1", "2", "3", "4", "5"], "{all:#?}");
        let unique: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(unique.len(), 10, "none twice");
    });
}
