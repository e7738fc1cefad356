//! The driver in the cluster: whether it may be made, making it, waiting until its container runs, taking it away.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::client::Cluster;
use super::{fence, jobs};
use crate::deploy::diagnose;
use crate::error::Failure;
use crate::manifest::driver::{self, Driver};
use crate::manifest::{names, to_yaml};
use crate::platform::{Error, Result};

/// A pod that cannot be placed or pulled within so long is given up.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(200);
/// Without a pod after so long, the Job's events are asked why.
const PODLESS: Duration = Duration::from_secs(3);

const PLURALS: [(&str, &str, &str); 5] = [
    ("v1", "ServiceAccount", "serviceaccounts"),
    ("rbac.authorization.k8s.io/v1", "Role", "roles"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    ("batch/v1", "Job", "jobs"),
];

fn api(cluster: &Cluster, kind: &str) -> Api<DynamicObject> {
    let (version, kind, plural) =
        PLURALS.into_iter().find(|(_, k, _)| *k == kind).expect("one of the driver's kinds");
    fence::api(cluster, version, kind, plural)
}

fn label(object: &Value) -> String {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

async fn live(cluster: &Cluster, object: &Value) -> Result<Option<Value>> {
    let found = api(cluster, kind(object)).get_opt(name(object)).await;
    let found = found.map_err(|e| cluster.explain(e, &label(object)))?;
    Ok(found.map(|f| serde_json::to_value(f).unwrap_or_default()))
}

/// Server-side, not forced: what another manager owns is left to it.
async fn apply(cluster: &Cluster, object: &Value, dry: bool) -> Result<()> {
    let params =
        PatchParams { dry_run: dry, field_manager: Some(names::MANAGER.into()), ..PatchParams::default() };
    let done = api(cluster, kind(object)).patch(name(object), &params, &Patch::Apply(object)).await;
    done.map(|_| ()).map_err(|e| cluster.explain(e, &label(object)))
}

/// Whether all of it could be made, by a dry run of each object: rights, and rights to give rights. Writes nothing.
pub async fn may(cluster: &Cluster, wanted: &Driver<'_>) -> anyhow::Result<()> {
    let mut objects = missing(cluster, wanted).await?;
    objects.push(driver::job(wanted, 0, 0));
    let tried = objects.iter().map(|object| apply(cluster, object, true));
    let tried = futures::future::join_all(tried).await;
    let mut missing = Vec::new();
    for (object, tried) in objects.iter().zip(tried) {
        match tried {
            Ok(()) => {}
            Err(Error::Forbidden(why)) => missing.push(format!("{}: {why}", label(object))),
            Err(error) => return Err(anyhow::Error::new(error).context("try the driver's objects")),
        }
    }
    for verb in ["get", "create", "patch", "delete"] {
        if !allowed(cluster, verb).await {
            missing.push(format!("you may not {verb} jobs.batch in namespace {}", cluster.namespace));
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(lacking(cluster, wanted, &missing)) }
}

/// What is not there, or not as it should be. Who may not read Roles goes by what the account says of its rights.
async fn missing(cluster: &Cluster, wanted: &Driver<'_>) -> Result<Vec<Value>> {
    let objects = driver::access(wanted);
    let found = futures::future::join_all(objects.iter().map(|object| live(cluster, object))).await;
    let account = matches!(found.first(), Some(Ok(Some(f))) if driver::fulfilled(&objects[0], f));
    let mut missing = Vec::new();
    for (object, found) in objects.into_iter().zip(found) {
        let there = match found {
            Ok(found) => found.is_some_and(|f| driver::fulfilled(&object, &f)),
            Err(Error::Forbidden(_)) => account,
            Err(error) => return Err(error),
        };
        if !there {
            missing.push(object);
        }
    }
    Ok(missing)
}

/// A right to Jobs; doubt is no refusal, the first request tells.
async fn allowed(cluster: &Cluster, verb: &str) -> bool {
    use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": {
            "namespace": cluster.namespace, "group": "batch", "resource": "jobs", "verb": verb,
        }},
    });
    let Ok(review) = serde_json::from_value::<SelfSubjectAccessReview>(review) else { return true };
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    answer.ok().and_then(|a| a.status).is_none_or(|s| s.allowed)
}

fn lacking(cluster: &Cluster, wanted: &Driver<'_>, missing: &[String]) -> anyhow::Error {
    let objects: Vec<String> = driver::access(wanted).iter().map(to_yaml).collect();
    let service = &wanted.service.service;
    Failure::failed(
        "forbidden",
        format!("a driver of {service} may not be made in namespace {}; nothing was written", cluster.namespace),
    )
    .object(format!("namespace/{}", cluster.namespace))
    .source(anyhow::anyhow!("{}\nthe driver needs:\n{}", missing.join("\n"), objects.join("---\n")))
    .hint(format!(
        "an administrator makes them once: `msctl rollout rbac {service} | kubectl apply -f -`; you need Jobs \
         (get, create, patch, delete) besides"
    ))
    .into()
}

/// Makes what is missing, the Job suspended; releases it by a patch that tests the epoch; returns its name once its
/// container runs. A driver that cannot start is taken away again.
pub async fn start(
    cluster: &Cluster,
    wanted: &Driver<'_>,
    revision: u32,
    epoch: u64,
) -> anyhow::Result<String> {
    // The account last: it says which rights it has.
    for object in missing(cluster, wanted).await?.iter().rev() {
        apply(cluster, object, false).await?;
    }
    let job = driver::job(wanted, revision, epoch);
    let jobs = api(cluster, "Job");
    // One name a revision: what is left of an earlier try ends first.
    discard(cluster, &jobs, name(&job), epoch).await?;
    let params = PostParams { field_manager: Some(names::MANAGER.into()), ..PostParams::default() };
    let object: DynamicObject = serde_json::from_value(job.clone())?;
    let made = jobs.create(&params, &object).await.map_err(|e| cluster.explain(e, &label(&job)))?;
    let release = [
        json!({"op": "test", "path": "/spec/suspend", "value": true}),
        json!({"op": "replace", "path": "/spec/suspend", "value": false}),
    ];
    fence::patch(cluster, &jobs, &label(&job), name(&job), epoch, &release).await?;
    match runs(cluster, name(&job), &made.uid().unwrap_or_default()).await {
        Ok(()) => Ok(name(&job).to_owned()),
        Err(error) => {
            let _ = discard(cluster, &jobs, name(&job), epoch).await;
            Err(error)
        }
    }
}

/// By `job-name`, or by `controller-uid`: those of an earlier Job of the same name may still be going.
async fn pods(cluster: &Cluster, by: &str, value: &str) -> Result<Vec<Value>> {
    let params = ListParams::default().labels(&format!("batch.kubernetes.io/{by}={value}"));
    let found = cluster.api::<Pod>().list(&params).await;
    let found = found.map_err(|e| cluster.explain(e, "the driver's pods"))?;
    Ok(found.items.iter().map(|p| serde_json::to_value(p).unwrap_or_default()).collect())
}

/// Returns when the container has run, or with why it cannot.
async fn runs(cluster: &Cluster, job: &str, uid: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut trouble = String::from("no pod was made");
    while begun.elapsed() < PATIENCE {
        let pods = pods(cluster, "controller-uid", uid).await?;
        let started = |pod: &Value| {
            let status = &pod["status"]["containerStatuses"][0];
            status["state"]["running"].is_object()
                || status["state"]["terminated"].is_object()
                || status["lastState"]["terminated"].is_object()
        };
        if pods.iter().any(started) {
            return Ok(());
        }
        let facts = diagnose::Facts { pods: pods.iter().collect(), ..diagnose::Facts::default() };
        if let Some(problem) = diagnose::diagnose(&facts).into_iter().next() {
            trouble = format!("{}: {}", problem.pod, problem.message);
            if problem.terminal {
                return Err(stuck(job, &problem.reason, &trouble));
            }
        } else if pods.is_empty()
            && begun.elapsed() > PODLESS
            && let Some(why) = jobs::refused(cluster, job).await
        {
            return Err(stuck(job, "admission", &why));
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(stuck(job, "no-start", &format!("not started within {} s: {trouble}", PATIENCE.as_secs())))
}

fn stuck(job: &str, reason: &str, why: &str) -> anyhow::Error {
    let failure =
        Failure::failed("driver-not-started", format!("the driver in the cluster cannot start: {why}"))
            .object(format!("Job/{job}"));
    match reason {
        "image-pull" => {
            failure.hint("name an image of msctl that the cluster can pull: --driver-image REF, or `driverImage` in msctl.yaml or the user config")
        }
        _ => failure.hint("without --detach this machine drives; `--plan --detach` prints what is made"),
    }
    .into()
}

/// Deletes the Job, exactly the one seen, and waits until it is gone.
async fn discard(cluster: &Cluster, jobs: &Api<DynamicObject>, name: &str, epoch: u64) -> Result<()> {
    let begun = Instant::now();
    let object = format!("Job {name}");
    loop {
        let found = jobs.get_metadata_opt(name).await.map_err(|e| cluster.explain(e, &object))?;
        let Some(found) = found else { return Ok(()) };
        let seen = fence::epoch_of(found.annotations()).unwrap_or(0);
        if seen > epoch {
            return Err(Error::Overtaken { seen, ours: epoch });
        }
        if found.metadata.deletion_timestamp.is_none() {
            let params = DeleteParams {
                preconditions: Some(Preconditions { uid: found.uid(), resource_version: None }),
                ..DeleteParams::background()
            };
            match jobs.delete(name, &params).await {
                Ok(_) => {}
                Err(kube::Error::Api(s)) if matches!(s.code, 404 | 409) => {}
                Err(e) => return Err(cluster.explain(e, &object)),
            }
        }
        if begun.elapsed() > PATIENCE {
            return Err(Error::Conflict(object));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Takes the Job away; what its last container said, if it said anything.
pub async fn stop(cluster: &Cluster, job: &str, epoch: u64) -> Result<Option<String>> {
    let said = pods(cluster, "job-name", job).await.unwrap_or_default().iter().find_map(|pod| {
        let status = &pod["status"]["containerStatuses"][0];
        [&status["state"]["terminated"], &status["lastState"]["terminated"]].into_iter().find_map(|end| {
            end["message"].as_str().map(str::trim).filter(|m| !m.is_empty()).map(str::to_owned)
        })
    });
    discard(cluster, &api(cluster, "Job"), job, epoch).await?;
    Ok(said)
}

/// Everything of the driver, with the service. Who may not list a kind has made none of it.
pub async fn remove(cluster: &Cluster, service: &str) -> Result<Vec<String>> {
    let params = ListParams::default().labels(&driver::selector(service));
    let mut removed = Vec::new();
    for (_, kind, _) in PLURALS.into_iter().rev() {
        let api = api(cluster, kind);
        let found = match api.list_metadata(&params).await {
            Ok(found) => found.items,
            Err(kube::Error::Api(s)) if s.code == 403 => continue,
            Err(e) => return Err(cluster.explain(e, &format!("{kind}s of the driver"))),
        };
        for object in found {
            match api.delete(&object.name_any(), &DeleteParams::background()).await {
                Ok(_) => removed.push(format!("{kind}/{}", object.name_any())),
                Err(kube::Error::Api(s)) if s.code == 404 => {}
                Err(e) => return Err(cluster.explain(e, &format!("{kind} {}", object.name_any()))),
            }
        }
    }
    Ok(removed)
}
