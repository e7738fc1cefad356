//! Jobs of metrics and migrations: made suspended, released by a fenced patch, watched to their end. A driver that takes
//! over meets the one that is there and goes on with it.

use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DynamicObject, ListParams, LogParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::client::Cluster;
use super::fence::{self, DEPLOYMENT, JOB, SERVICE, Terms};
use crate::deploy::diagnose::{self, Facts};
use crate::manifest::{self, names};
use crate::platform::{Error, JobEnd, JobRun, MigrationRun, Result, Template};
use crate::rollout::Slot;

/// What marks a metric's Job, and the measurement it was made for.
const METRIC: &str = "msctl.dev/metric";
const MEASUREMENT: &str = "msctl.dev/measurement";
const LOG_LINES: i64 = 20;
/// A finished Job that nobody deletes goes by itself.
const KEPT: u64 = 600;
const TRIES: usize = 10;

fn api(cluster: &Cluster) -> Api<DynamicObject> {
    fence::api(cluster, JOB.0, JOB.1, JOB.2)
}

fn label(name: &str) -> String {
    format!("Job {name}")
}

/// A Job that is to run to its end.
struct Wanted<'a> {
    name: &'a str,
    /// Tells one run of the same name from the next.
    measurement: &'a str,
    /// Made suspended; what removes its owner removes it.
    object: Value,
    owner: (Terms, String),
    start_deadline: Duration,
    timeout: Duration,
}

impl Wanted<'_> {
    fn measuring<'a>(service: &str, run: &'a JobRun) -> Wanted<'a> {
        Wanted {
            name: &run.name,
            measurement: &run.measurement,
            object: object(service, run),
            // It judges the slot.
            owner: (DEPLOYMENT, names::slot(service, run.slot)),
            start_deadline: run.start_deadline,
            timeout: run.timeout,
        }
    }
}

/// Runs a metric's Job to its end, or finds the one that runs already.
pub async fn measure(cluster: &Cluster, service: &str, run: &JobRun, epoch: u64) -> Result<JobEnd> {
    to_its_end(cluster, service, &Wanted::measuring(service, run), epoch).await
}

/// Runs a migration on `template`, or finds the one that runs already. One that did not start in time is taken away, or it
/// might start when nobody expects it any more; one that has ended is kept for its log.
pub async fn migrate(
    cluster: &Cluster,
    service: &str,
    template: &Template,
    run: &MigrationRun,
    epoch: u64,
) -> Result<JobEnd> {
    let name = run.name(service);
    let object = manifest::migration(template, run)
        .ok_or_else(|| anyhow::anyhow!("the template of revision {} has no container", run.revision))?;
    let wanted = Wanted {
        name: &name,
        measurement: &format!("attempt {}", run.attempt),
        object,
        owner: (SERVICE, service.to_owned()),
        start_deadline: run.start_deadline,
        timeout: run.timeout,
    };
    others_ended(cluster, service, &name, epoch).await?;
    let end = to_its_end(cluster, service, &wanted, epoch).await?;
    if matches!(end, JobEnd::NotStarted { .. }) {
        discard(cluster, &name, epoch).await?;
    }
    Ok(end)
}

/// Two migrations at once would meet in the same tables: those of other revisions are waited for.
async fn others_ended(cluster: &Cluster, service: &str, name: &str, epoch: u64) -> Result<()> {
    let of_migrations = format!("{},{}", names::selector(service), names::MIGRATION);
    let list = ListParams::default().labels(&of_migrations);
    let found = cluster.api::<Job>().list(&list).await;
    let found = found.map_err(|e| cluster.explain(e, &format!("Jobs of {service}")))?;
    let open = |job: &Job| job.name_any() != name && verdict(job, None).is_none();
    for job in found.items.into_iter().filter(open) {
        let other = job.name_any();
        if job.spec.is_some_and(|spec| spec.suspend == Some(true)) {
            // Whoever made it died before it let it go.
            discard(cluster, &other, epoch).await?;
            continue;
        }
        let over = |job: Option<&Job>| job.is_none_or(|job| verdict(job, None).is_some());
        let waited = kube::runtime::wait::await_condition(cluster.api::<Job>(), &other, over).await;
        waited.map_err(|e| Error::Unreachable(format!("{}: {e}", label(&other))))?;
    }
    Ok(())
}

async fn to_its_end(cluster: &Cluster, service: &str, wanted: &Wanted<'_>, epoch: u64) -> Result<JobEnd> {
    let (jobs, name) = (api(cluster), wanted.name);
    let found = jobs.get_opt(name).await.map_err(|e| cluster.explain(e, &label(name)))?;
    let job = match found {
        Some(job) if job.annotations().get(MEASUREMENT).is_some_and(|m| m == wanted.measurement) => job,
        found => {
            if found.is_some() {
                // Of a run before: its verdict is not this one's.
                discard(cluster, name, epoch).await?;
            }
            let made = make(cluster, wanted, epoch).await?;
            fence::stands(cluster, service, epoch, discard(cluster, name, epoch)).await?;
            made
        }
    };
    if job.data["spec"]["suspend"] == true {
        let release = [
            json!({"op": "test", "path": "/spec/suspend", "value": true}),
            json!({"op": "replace", "path": "/spec/suspend", "value": false}),
        ];
        fence::patch(cluster, &jobs, &label(name), name, epoch, &release).await?;
    }
    ended(cluster, wanted).await
}

async fn make(cluster: &Cluster, wanted: &Wanted<'_>, epoch: u64) -> Result<DynamicObject> {
    let ((version, kind, plural), owner) = &wanted.owner;
    let found = fence::api(cluster, version, kind, plural).get_metadata_opt(owner).await;
    let found = found.map_err(|e| cluster.explain(e, &format!("{kind} {owner}")))?;
    let mut object = wanted.object.clone();
    object["metadata"]["annotations"] =
        json!({names::EPOCH: epoch.to_string(), MEASUREMENT: wanted.measurement});
    if let Some(uid) = found.and_then(|o| o.uid()) {
        let owner = json!({"apiVersion": version, "kind": kind, "name": owner, "uid": uid});
        object["metadata"]["ownerReferences"] = json!([owner]);
    }
    let object: DynamicObject = serde_json::from_value(object).map_err(anyhow::Error::from)?;
    let params =
        kube::api::PostParams { field_manager: Some(names::ROLLOUT_MANAGER.into()), ..Default::default() };
    api(cluster).create(&params, &object).await.map_err(|e| cluster.explain(e, &label(wanted.name)))
}

/// Admitted under Pod Security *restricted*. Its pods carry no label that a Service of ours selects.
fn object(service: &str, run: &JobRun) -> Value {
    let url = |slot: Slot| format!("http://{}", names::slot(service, slot));
    let variables = [
        ("MSCTL_SERVICE", service.to_owned()),
        ("MSCTL_SLOT", run.slot.to_string()),
        ("MSCTL_REVISION", run.revision.to_string()),
        ("MSCTL_URL", url(run.slot)),
        ("MSCTL_LIVE_URL", url(run.slot.other())),
    ];
    let env: Vec<Value> =
        variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let mut container = json!({
        "name": "job", "image": run.image, "env": env,
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    if !run.command.is_empty() {
        container["command"] = json!(run.command);
    }
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": run.name,
            "labels": {names::NAME: service, names::MANAGED_BY: "msctl", METRIC: run.metric},
        },
        "spec": {
            "suspend": true,
            "backoffLimit": 0,
            "activeDeadlineSeconds": (run.start_deadline + run.timeout).as_secs().max(1),
            "ttlSecondsAfterFinished": KEPT,
            "template": {
                "metadata": {"labels": {METRIC: run.metric}},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [container],
                },
            },
        },
    })
}

enum Change {
    Job(Box<watcher::Event<Job>>),
    Pod(Box<watcher::Event<Pod>>),
}

/// What its watches say, until it has ended or its time to start is over.
async fn ended(cluster: &Cluster, run: &Wanted<'_>) -> Result<JobEnd> {
    let name = run.name;
    let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let of_job = watcher::Config::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
    let jobs =
        watcher(cluster.api::<Job>(), one).default_backoff().map(|e| e.map(|e| Change::Job(Box::new(e))));
    let pods =
        watcher(cluster.api::<Pod>(), of_job).default_backoff().map(|e| e.map(|e| Change::Pod(Box::new(e))));
    let mut changes = stream::select(jobs.boxed(), pods.boxed());
    let (mut job, mut pod): (Option<Job>, Option<Pod>) = (None, None);
    loop {
        let released = job.as_ref().and_then(|j| j.status.as_ref()?.start_time.as_ref().map(|t| t.0));
        if let Some(end) = job.as_ref().and_then(|j| verdict(j, pod.as_ref())) {
            return with_log(cluster, end, pod.as_ref()).await;
        }
        let wait = match (released, pod.as_ref().is_some_and(has_started)) {
            (Some(since), false) => match left(run.start_deadline, since, cluster.clock.now()) {
                Some(wait) => wait,
                None => {
                    return Ok(JobEnd::NotStarted { message: unstarted(cluster, run, pod.as_ref()).await });
                }
            },
            // Its own deadline ends it; and one that is never released is told of as one that never started.
            (None, _) => run.start_deadline,
            (Some(_), true) => run.timeout + run.start_deadline + Duration::from_secs(30),
        };
        match tokio::time::timeout(wait, changes.next()).await {
            Ok(Some(Ok(Change::Job(event)))) => match *event {
                watcher::Event::Apply(new) | watcher::Event::InitApply(new) => job = Some(new),
                watcher::Event::Delete(_) => {
                    return Err(Error::NotFound(format!("{} was deleted before its end", label(name))));
                }
                watcher::Event::Init | watcher::Event::InitDone => {}
            },
            Ok(Some(Ok(Change::Pod(event)))) => match *event {
                watcher::Event::Apply(new) | watcher::Event::InitApply(new) => pod = Some(new),
                watcher::Event::Delete(_) | watcher::Event::Init | watcher::Event::InitDone => {}
            },
            // The watches begin again by themselves.
            Ok(Some(Err(_))) => {}
            Ok(None) => return Err(Error::Unreachable(format!("{}: its watch ended", label(name)))),
            Err(_) if released.is_none() => {
                return Ok(JobEnd::NotStarted { message: unstarted(cluster, run, pod.as_ref()).await });
            }
            Err(_) => {}
        }
    }
}

fn left(deadline: Duration, since: Timestamp, now: Timestamp) -> Option<Duration> {
    let deadline = SignedDuration::try_from(deadline).unwrap_or(SignedDuration::MAX);
    let left = (since + deadline).duration_since(now);
    Duration::try_from(left).ok().filter(|d| !d.is_zero())
}

fn verdict(job: &Job, pod: Option<&Pod>) -> Option<JobEnd> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let is = |kind: &str| conditions.iter().find(|c| c.type_ == kind && c.status == "True");
    if is("Complete").is_some() || is("SuccessCriteriaMet").is_some() {
        return Some(JobEnd::Succeeded);
    }
    let failed = is("Failed")?;
    // What never ran has not failed.
    if !pod.is_some_and(has_started) && failed.reason.as_deref() == Some("DeadlineExceeded") {
        return Some(JobEnd::NotStarted { message: "its pod never ran before its deadline".into() });
    }
    let message = match (failed.reason.as_deref(), pod.and_then(exit_code)) {
        (Some("DeadlineExceeded"), _) => "it did not end within its timeout".to_owned(),
        (_, Some(code)) => format!("it exited with {code}"),
        (reason, None) => {
            format!("{}: {}", reason.unwrap_or("failed"), failed.message.as_deref().unwrap_or_default())
        }
    };
    Some(JobEnd::Failed { message, log: Vec::new() })
}

fn states(pod: &Pod) -> impl Iterator<Item = &k8s_openapi::api::core::v1::ContainerState> {
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
    statuses.into_iter().flatten().filter_map(|c| c.state.as_ref())
}

fn has_started(pod: &Pod) -> bool {
    states(pod).any(|s| s.running.is_some() || s.terminated.is_some())
}

fn exit_code(pod: &Pod) -> Option<i32> {
    states(pod).find_map(|s| s.terminated.as_ref()).map(|t| t.exit_code)
}

/// What the Job controller says of pods it could not make.
pub async fn refused(cluster: &Cluster, job: &str) -> Option<String> {
    let selector = format!("involvedObject.kind=Job,involvedObject.name={job}");
    let found = cluster.api::<Event>().list(&ListParams::default().fields(&selector).limit(50)).await.ok()?;
    let failed = found.items.into_iter().filter(|e| e.reason.as_deref() == Some("FailedCreate"));
    failed.filter_map(|e| e.message).next_back()
}

/// Why it did not start, as far as that can be known.
async fn unstarted(cluster: &Cluster, run: &Wanted<'_>, pod: Option<&Pod>) -> String {
    let text = not_started(run, pod);
    match pod {
        Some(_) => text,
        None => refused(cluster, run.name).await.map_or(text.clone(), |why| format!("{text}: {why}")),
    }
}

fn not_started(run: &Wanted<'_>, pod: Option<&Pod>) -> String {
    let mut text = format!("Job {} did not start within {} s", run.name, run.start_deadline.as_secs());
    let pod = pod.and_then(|p| serde_json::to_value(p).ok());
    let facts = Facts { pods: pod.iter().collect(), ..Facts::default() };
    if let Some(problem) = diagnose::diagnose(&facts).first() {
        text += &format!(": {}: {}", problem.reason, problem.message);
    }
    text
}

async fn with_log(cluster: &Cluster, end: JobEnd, pod: Option<&Pod>) -> Result<JobEnd> {
    let (JobEnd::Failed { message, .. }, Some(pod)) = (&end, pod) else { return Ok(end) };
    let params =
        LogParams { tail_lines: Some(LOG_LINES), limit_bytes: Some(64 * 1024), ..Default::default() };
    // A verdict without its log is still one.
    let log = cluster.api::<Pod>().logs(&pod.name_any(), &params).await.unwrap_or_default();
    Ok(JobEnd::Failed { message: message.clone(), log: log.lines().map(str::to_owned).collect() })
}

/// Deletes the service's Jobs of metrics, but for those named.
pub async fn sweep(cluster: &Cluster, service: &str, keep: &[String], epoch: u64) -> Result<()> {
    let params = ListParams::default().labels(&format!("{},{METRIC}", names::selector(service)));
    let found = api(cluster).list_metadata(&params).await;
    let found = found.map_err(|e| cluster.explain(e, &format!("Jobs of {service}")))?;
    for job in found.iter().map(ResourceExt::name_any).filter(|name| !keep.contains(name)) {
        discard(cluster, &job, epoch).await?;
    }
    Ok(())
}

/// Deletes one, whatever its controller writes meanwhile; gone already is done.
async fn discard(cluster: &Cluster, name: &str, epoch: u64) -> Result<()> {
    let jobs = api(cluster);
    for _ in 0..TRIES {
        let found = jobs.get_metadata_opt(name).await.map_err(|e| cluster.explain(e, &label(name)))?;
        let Some(found) = found else { return Ok(()) };
        if found.metadata.deletion_timestamp.is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        match fence::delete(cluster, &jobs, &label(name), &found.metadata, epoch).await {
            Ok(()) | Err(Error::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Conflict(label(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> JobRun {
        JobRun {
            name: "orders-r2-e2e-step-2".into(),
            metric: "e2e".into(),
            measurement: "1/2".into(),
            slot: Slot::Green,
            revision: 2,
            image: "e2e:1".into(),
            command: vec!["./e2e".into(), "$(MSCTL_URL)".into()],
            start_deadline: Duration::from_secs(60),
            timeout: Duration::from_secs(600),
        }
    }

    #[test]
    fn it_is_made_suspended_and_no_service_selects_its_pods() {
        let job = object("orders", &run());
        assert_eq!(job["spec"]["suspend"], true);
        let pod = &job["spec"]["template"];
        assert!(pod["metadata"]["labels"].get(names::NAME).is_none(), "the public Service would select it");
        assert_eq!(pod["spec"]["containers"][0]["env"][3]["value"], "http://orders-green");
    }

    fn job(condition: Value) -> Job {
        serde_json::from_value(json!({"metadata": {}, "status": {"conditions": [condition]}})).unwrap()
    }
    fn pod(state: Value) -> Pod {
        let status = json!({"containerStatuses": [{"name": "job", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": state}]});
        serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap()
    }

    #[test]
    fn what_never_ran_has_neither_failed_nor_succeeded() {
        let waiting = pod(json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}));
        assert!(!has_started(&waiting));
        let run = run();
        let said = not_started(&Wanted::measuring("orders", &run), Some(&waiting));
        assert!(said.contains("did not start within 60 s") && said.contains("image-pull"), "{said}");
        let late = job(json!({"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}));
        assert!(matches!(verdict(&late, Some(&waiting)), Some(JobEnd::NotStarted { .. })));
        let ran = pod(json!({"terminated": {"exitCode": 3}}));
        let failed = job(json!({"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}));
        let end = verdict(&failed, Some(&ran));
        assert!(
            matches!(&end, Some(JobEnd::Failed { message, .. }) if message == "it exited with 3"),
            "{end:?}"
        );
        let done = job(json!({"type": "Complete", "status": "True"}));
        assert!(matches!(verdict(&done, Some(&ran)), Some(JobEnd::Succeeded)));
        assert!(verdict(&job(json!({"type": "Suspended", "status": "True"})), None).is_none());
    }
}
