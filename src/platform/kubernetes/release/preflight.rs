//! Whether a deploy could succeed, asked while the image builds: namespace, rights, quota, admission.

use hyper::http::Method;
use serde_json::{Value, json};

use super::api::{self, Call};
use super::compare::quantity;
use super::{Site, failure};
use crate::error::Failure;
use crate::manifest::{self, Input, Kind};
use crate::platform::{Error, Release};

/// Writes nothing; returns warnings.
pub async fn run(site: &Site, release: &Release) -> anyhow::Result<Vec<String>> {
    namespace(site).await?;
    let pod = pod(release);
    let (rights, admitted, quota) =
        futures::join!(rights(site, release), admission(site, &pod), quota(site, release, &pod));
    rights?;
    let mut warnings = admitted?;
    warnings.extend(quota?);
    Ok(warnings)
}

async fn raw(
    site: &Site,
    method: Method,
    path: &str,
    body: Option<&Value>,
    object: &str,
) -> Result<Value, Error> {
    let content = body.map(|_| "application/json");
    api::send(site, Call { method, path: path.into(), content, body, object: object.into() }).await
}

async fn namespace(site: &Site) -> anyhow::Result<()> {
    let name = &site.namespace;
    let object = format!("namespace/{name}");
    match raw(site, Method::GET, &format!("/api/v1/namespaces/{name}"), None, &object).await {
        Ok(found) if found["status"]["phase"] == "Terminating" => {
            Err(Failure::failed("terminating", format!("namespace {name} is being deleted"))
                .object(object)
                .into())
        }
        Ok(_) | Err(Error::Forbidden(_)) => Ok(()),
        Err(Error::NotFound(_)) => Err(no_namespace(name).into()),
        Err(error) => Err(failure::of(error, &format!("look for namespace {name}"))),
    }
}

pub(super) fn no_namespace(name: &str) -> Failure {
    Failure::failed("no-namespace", format!("there is no namespace {name}"))
        .object(format!("namespace/{name}"))
        .hint(format!("create it with `kubectl create namespace {name}`, or name another with -n"))
}

/// One pod of the release, as it would be made.
fn pod(release: &Release) -> Value {
    let nowhere = format!("preflight.invalid/{}@sha256:{}", release.service.service, "0".repeat(64));
    let input = Input {
        service: &release.service,
        image: release.image.as_deref().unwrap_or(&nowhere),
        secrets: &release.secrets,
        key: b"preflight",
    };
    let mut pod = manifest::template(&input).body["podTemplate"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["generateName"] = format!("{}-preflight-", release.service.service).into();
    // Admission looks the account up, and it is made by the deploy.
    pod["spec"].as_object_mut().into_iter().for_each(|spec| {
        spec.shift_remove("serviceAccountName");
        spec.shift_remove("topologySpreadConstraints");
    });
    pod
}

/// Lets admission judge a pod: Pod Security, quota for one pod, webhooks.
async fn admission(site: &Site, pod: &Value) -> anyhow::Result<Vec<String>> {
    let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", site.namespace);
    match raw(site, Method::POST, &path, Some(pod), "a pod of the service").await {
        // Not being allowed to make pods by hand says nothing of those that the Deployment makes.
        Ok(_) | Err(Error::Forbidden(_)) => Ok(Vec::new()),
        Err(Error::Unreachable(why)) => Err(failure::of(Error::Unreachable(why), "try a pod")),
        Err(error) => Err(failure::of(error, "a pod of this service would not be admitted")),
    }
}

/// What a deploy does, as verbs on resources. `pods/log` is only wished for: it tells causes.
fn needed(release: &Release) -> Vec<(&'static str, &'static str, &'static [&'static str])> {
    const WRITE: &[&str] = &["list", "get", "create", "patch", "delete"];
    const WATCH: &[&str] = &["list", "watch"];
    let mut needed = vec![
        ("", "pods", WATCH),
        ("apps", "replicasets", WATCH),
        ("coordination.k8s.io", "leases", &["get", "create", "update", "patch"] as &[_]),
    ];
    let mut kinds: Vec<Kind> = super::live::USUAL.to_vec();
    if manifest::stores_secrets(&release.service) {
        kinds.push(Kind::Secret);
    }
    needed.extend(kinds.into_iter().map(|k| (k.group(), k.plural(), WRITE)));
    needed
}

async fn rights(site: &Site, release: &Release) -> anyhow::Result<()> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": site.namespace},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let rules = match raw(site, Method::POST, path, Some(&review), "own rights").await {
        Ok(answer) => answer["status"].clone(),
        Err(Error::Unreachable(why)) => {
            return Err(failure::of(Error::Unreachable(why), "ask for own rights"));
        }
        Err(_) => json!({"incomplete": true}),
    };
    let mut missing = Vec::new();
    for (group, resource, verbs) in needed(release) {
        let mut lacking = Vec::new();
        for verb in verbs {
            // The rules may be incomplete with some authorizers: only a definite answer counts.
            if !granted(&rules, group, resource, verb) && !review_one(site, group, resource, verb).await? {
                lacking.push(*verb);
            }
        }
        if !lacking.is_empty() {
            let dot = if group.is_empty() { "" } else { "." };
            missing.push(format!("{} {resource}{dot}{group}", lacking.join(",")));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(
        "forbidden",
        format!("you may not do in namespace {} what a deploy does: {}", site.namespace, missing.join("; ")),
    )
    .object(format!("namespace/{}", site.namespace))
    .hint("ask for a Role with these verbs; `kubectl auth can-i --list` shows what you may do")
    .into())
}

fn granted(rules: &Value, group: &str, resource: &str, verb: &str) -> bool {
    let has =
        |list: &Value, word: &str| list.as_array().is_some_and(|l| l.iter().any(|v| v == "*" || v == word));
    rules["resourceRules"].as_array().into_iter().flatten().any(|rule| {
        rule["resourceNames"].as_array().is_none_or(Vec::is_empty)
            && has(&rule["apiGroups"], group)
            && has(&rule["resources"], resource)
            && has(&rule["verbs"], verb)
    })
}

async fn review_one(site: &Site, group: &str, resource: &str, verb: &str) -> anyhow::Result<bool> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {
            "namespace": site.namespace, "group": group, "resource": resource, "verb": verb,
        }},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    match raw(site, Method::POST, path, Some(&review), "own rights").await {
        Ok(answer) => Ok(answer["status"]["allowed"] == true),
        // Who may not even ask is told by the first request that is refused.
        Err(Error::Forbidden(_)) => Ok(true),
        Err(error) => Err(failure::of(error, "ask for own rights")),
    }
}

/// How many more pods of this kind each quota admits, against how many the deploy needs at least.
async fn quota(site: &Site, release: &Release, pod: &Value) -> anyhow::Result<Vec<String>> {
    let path = format!("/api/v1/namespaces/{}/resourcequotas", site.namespace);
    let quotas = match raw(site, Method::GET, &path, None, "resourcequotas").await {
        Ok(list) => list["items"].as_array().cloned().unwrap_or_default(),
        Err(_) => return Ok(Vec::new()),
    };
    if quotas.is_empty() {
        return Ok(Vec::new());
    }
    let existing: u64 = api::list(site, Kind::Deployment)
        .await
        .map(|all| all.iter().filter_map(|d| d["spec"]["replicas"].as_u64()).sum())
        .unwrap_or(0);
    let service = &release.service;
    let replicas = service.autoscaling.as_ref().map_or(service.replicas, |a| a.min);
    let needed = if existing == 0 { replicas } else { service.rollout.surge.ceil(replicas) };
    let mut warnings = Vec::new();
    for quota in &quotas {
        let Some((resource, room, hard)) = tightest(quota, pod) else { continue };
        if u64::from(needed) <= room {
            continue;
        }
        let name = quota["metadata"]["name"].as_str().unwrap_or_default();
        let text = format!(
            "quota {name} of namespace {} has room for {room} more pods ({resource}, limit {hard}); \
             this deploy needs {needed}",
            site.namespace
        );
        if existing > 0 && service.rollout.unavailable.floor(replicas) > 0 {
            warnings.push(text);
            continue;
        }
        return Err(Failure::failed("quota", text)
            .object(format!("ResourceQuota/{name}"))
            .hint("lower `replicas`, `resources` or `rollout.surge`, or ask for a larger quota")
            .into());
    }
    Ok(warnings)
}

/// The resource of the quota that admits the fewest further pods, how many, and its limit.
fn tightest(quota: &Value, pod: &Value) -> Option<(String, u64, String)> {
    // A quota with a scope counts some pods only; whether ours, admission says.
    if quota["spec"]["scopes"].is_array() || quota["spec"]["scopeSelector"].is_object() {
        return None;
    }
    let resources = &pod["spec"]["containers"][0]["resources"];
    let each = |resource: &str| -> Option<f64> {
        let amount = match resource {
            "pods" | "count/pods" => return Some(1.0),
            "cpu" | "requests.cpu" => &resources["requests"]["cpu"],
            "memory" | "requests.memory" => &resources["requests"]["memory"],
            "limits.cpu" => &resources["limits"]["cpu"],
            "limits.memory" => &resources["limits"]["memory"],
            _ => return None,
        };
        quantity(amount.as_str()?)
    };
    let hard = quota["status"]["hard"].as_object()?;
    let used = &quota["status"]["used"];
    hard.iter()
        .filter_map(|(resource, limit)| {
            let limit = limit.as_str()?;
            let free = quantity(limit)? - used[resource].as_str().and_then(quantity).unwrap_or(0.0);
            let each = each(resource).filter(|e| *e > 0.0)?;
            Some((resource.clone(), (free.max(0.0) / each + 1e-9).floor() as u64, limit.to_owned()))
        })
        .min_by_key(|(_, room, _)| *room)
}
