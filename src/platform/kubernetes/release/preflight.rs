//! Whether a deploy could succeed, asked while the image builds: namespace, rights, quota, admission.

use hyper::http::Method;
use serde_json::{Value, json};

use super::api::{self, Call};
use super::compare::quantity;
use super::live::Live;
use super::{Site, failure};
use crate::error::Failure;
use crate::manifest::{self, Input, Kind};
use crate::platform::{Demand, Error, Release};

/// What was found before the first write.
pub struct Found {
    pub warnings: Vec<String>,
    pub live: Live,
    /// One pod of the release as admission has it, with the defaults of LimitRanges.
    pod: Value,
    quotas: Vec<Value>,
}

/// Writes nothing.
pub async fn run(site: &Site, release: &Release) -> anyhow::Result<Found> {
    namespace(site).await?;
    let pod = pod(release);
    let (rights, admitted, quotas, live, scalers) = futures::join!(
        rights(site, release),
        admission(site, &pod),
        quotas(site),
        super::survey(site, release),
        super::shared::refuse_scalers(site)
    );
    rights?;
    scalers?;
    let found = Found { warnings: Vec::new(), pod: admitted?.unwrap_or(pod), quotas, live: live? };
    super::shared::refuse_gitops(&found.live, site)?;
    let held = found.live.pods();
    let service = &release.service;
    let replicas = service.autoscaling.as_ref().map_or(service.replicas, |a| a.min);
    // At least so many, whatever the strategy; `fits` knows it exactly, once there is a plan.
    let least = if held == 0 { replicas } else { service.rollout.surge.ceil(replicas) };
    let spare = held > 0 && service.rollout.unavailable.floor(replicas) > 0;
    found.fits(&Demand { more: least, spare, most: None }, site)?;
    Ok(found)
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

/// Lets admission judge a pod: Pod Security, LimitRange, quota for one pod, webhooks. Returns it with its defaults.
async fn admission(site: &Site, pod: &Value) -> anyhow::Result<Option<Value>> {
    let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", site.namespace);
    match raw(site, Method::POST, &path, Some(pod), "a pod of the service").await {
        Ok(made) => Ok(Some(made)),
        // Not being allowed to make pods by hand says nothing of those that the Deployment makes.
        Err(Error::Forbidden(_)) => limits(site, pod).await.map(|()| None),
        Err(Error::Unreachable(why)) => Err(failure::of(Error::Unreachable(why), "try a pod")),
        Err(error) => Err(failure::of(error, "a pod of this service would not be admitted")),
    }
}

/// What the namespace's LimitRanges say of the container, where admission could not be asked.
async fn limits(site: &Site, pod: &Value) -> anyhow::Result<()> {
    let path = format!("/api/v1/namespaces/{}/limitranges", site.namespace);
    let Ok(ranges) = raw(site, Method::GET, &path, None, "limitranges").await else { return Ok(()) };
    for range in ranges["items"].as_array().into_iter().flatten() {
        if let Some(text) = beyond(range, &pod["spec"]["containers"][0]["resources"]) {
            let name = range["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Failure::failed(
                "limit-range",
                format!("LimitRange {name} of namespace {}: {text}", site.namespace),
            )
            .object(format!("LimitRange/{name}"))
            .hint("change `resources`, or ask for another range")
            .into());
        }
    }
    Ok(())
}

/// The first bound that one container with these resources breaks.
fn beyond(range: &Value, resources: &Value) -> Option<String> {
    let amount = |value: &Value| quantity(value.as_str()?);
    let items =
        range["spec"]["limits"].as_array()?.iter().filter(|l| l["type"] == "Container" || l["type"] == "Pod");
    for (item, bound, side) in items.flat_map(|l| [(l, "max", "limits"), (l, "min", "requests")]) {
        for (resource, limit) in item[bound].as_object().into_iter().flatten() {
            let asked = &resources[side][resource];
            let (Some(asked_for), Some(allowed)) = (amount(asked), amount(limit)) else { continue };
            if (bound == "max" && asked_for > allowed) || (bound == "min" && asked_for < allowed) {
                let word = if bound == "max" { "at most" } else { "at least" };
                return Some(format!(
                    "{resource} may be {word} {} a {}, and msctl.yaml has {}",
                    limit.as_str()?,
                    item["type"].as_str()?.to_lowercase(),
                    asked.as_str()?
                ));
            }
        }
    }
    None
}

/// What a deploy does, as verbs on resources. `pods/log` is only wished for: it tells causes.
fn needed(site: &Site, release: &Release) -> Vec<(&'static str, &'static str, &'static [&'static str])> {
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
    let judges = release.service.rollout.analysis.metrics.iter().any(|m| m.job.is_some());
    if judges || release.service.migrations.is_some() {
        needed.push(("batch", "jobs", &["list", "watch", "get", "create", "patch", "delete"]));
    }
    kinds.extend(site.router.iter().flat_map(|r| r.all_kinds()).copied());
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
    for (group, resource, verbs) in needed(site, release) {
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

async fn quotas(site: &Site) -> Vec<Value> {
    let path = format!("/api/v1/namespaces/{}/resourcequotas", site.namespace);
    match raw(site, Method::GET, &path, None, "resourcequotas").await {
        Ok(list) => list["items"].as_array().cloned().unwrap_or_default(),
        // Who may not look meets the refusal of a pod instead.
        Err(_) => Vec::new(),
    }
}

impl Found {
    /// Whether every quota has room for what the rollout will have beside what is there now; returns warnings.
    pub fn fits(&self, demand: &Demand, site: &Site) -> anyhow::Result<Vec<String>> {
        let mut warnings = Vec::new();
        for quota in &self.quotas {
            let Some((resource, room, hard)) = tightest(quota, &self.pod) else { continue };
            let name = quota["metadata"]["name"].as_str().unwrap_or_default();
            let has = format!(
                "quota {name} of namespace {} has room for {room} more pods ({resource}, limit {hard})",
                site.namespace
            );
            if u64::from(demand.more) > room {
                let text = format!("{has}; this deploy needs {}", demand.more);
                if !demand.spare {
                    return Err(Failure::failed("quota", text)
                        .object(format!("ResourceQuota/{name}"))
                        .hint("lower `replicas`, `resources` or `rollout.surge`, or ask for a larger quota")
                        .into());
                }
                warnings.push(text);
            } else if let Some(most) = demand.most.filter(|m| u64::from(*m) > room) {
                warnings.push(format!("{has}; the autoscaler may want {most} more (autoscaling.max)"));
            }
        }
        Ok(warnings)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_is_measured_by_the_pod_as_admitted() {
        let pod = json!({"spec": {"containers": [{"resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi", "cpu": "500m"}}}]}});
        let quota = |hard: Value, used: Value| json!({"status": {"hard": hard, "used": used}});
        for (hard, used, expected) in [
            (json!({"pods": "5"}), json!({"pods": "3"}), Some(("pods", 2))),
            (json!({"limits.cpu": "2", "pods": "9"}), json!({"limits.cpu": "500m"}), Some(("limits.cpu", 3))),
            (json!({"requests.memory": "256Mi"}), json!({}), Some(("requests.memory", 2))),
            (json!({"services": "1"}), json!({}), None),
        ] {
            let found = tightest(&quota(hard.clone(), used), &pod);
            assert_eq!(found.as_ref().map(|(r, n, _)| (r.as_str(), *n)), expected, "{hard}");
        }
    }

    #[test]
    fn a_limit_range_names_what_it_refuses() {
        let range = |kind: &str, bounds: Value| {
            let mut limit = bounds;
            limit["type"] = kind.into();
            json!({"spec": {"limits": [limit]}})
        };
        let resources =
            json!({"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}});
        for (range, says) in [
            (
                range("Container", json!({"max": {"memory": "64Mi"}})),
                Some("memory may be at most 64Mi a container"),
            ),
            (range("Pod", json!({"min": {"cpu": "200m"}})), Some("cpu may be at least 200m a pod")),
            (range("Container", json!({"max": {"memory": "1Gi"}, "min": {"cpu": "50m"}})), None),
            (range("PersistentVolumeClaim", json!({"max": {"memory": "1Mi"}})), None),
        ] {
            let found = beyond(&range, &resources);
            assert_eq!(found.is_some(), says.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(says.unwrap_or_default()));
        }
    }
}
