//! What msctl shares with other tools: the fields a rollout moves, GitOps tools that would move them back, and
//! autoscalers that somebody else pointed at a slot. All found before the first write.

use hyper::http::Method;
use serde_json::Value;

use super::api::{self, Call};
use super::{Live, Site, keda};
use crate::error::{Failure, Kind as Exit};
use crate::manifest::{Kind, name_of, names};
use crate::platform::{Error, Owned};
use crate::rollout::{Adopted, Slot};

/// On an object of a GitOps tool that was told to leave msctl's fields alone.
const SHARED: &str = "msctl.dev/shared";

/// What a rollout moves on an object of `kind`, as JSON pointers.
fn moved(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Deployment => &["/spec/replicas"],
        Kind::Service => &["/spec/selector"],
        Kind::HttpRoute => &["/spec/rules", "/metadata/annotations/msctl.dev~1routing"],
        Kind::HorizontalPodAutoscaler => &[
            "/spec/minReplicas",
            "/spec/maxReplicas",
            "/spec/behavior",
            "/metadata/annotations/msctl.dev~1held",
        ],
        _ => &[],
    }
}

/// The fields that belong to rollouts, whatever else applies the objects.
pub fn owned(service: &str, routed: bool, scaled: bool) -> Vec<Owned> {
    let of = |kind: Kind, name: String| {
        let epoch = format!("/metadata/annotations/{}", names::EPOCH.replace('/', "~1"));
        let paths = moved(kind).iter().map(|p| (*p).to_owned()).chain([epoch]).collect();
        let group = kind.group().to_owned();
        Owned { group, kind: kind.name().into(), name, paths }
    };
    let mut all = vec![of(Kind::Service, service.to_owned())];
    if routed {
        all.push(of(Kind::HttpRoute, service.to_owned()));
    }
    for slot in Slot::ALL {
        all.push(of(Kind::Deployment, names::slot(service, slot)));
        if scaled {
            all.push(of(Kind::HorizontalPodAutoscaler, names::slot(service, slot)));
        }
    }
    all
}

/// The GitOps tool that keeps the object as its repository has it.
fn tool(object: &Value) -> Option<&'static str> {
    let metadata = &object["metadata"];
    let marked = |place: &str, key: &str| metadata[place].get(key).is_some();
    let manages = |name: &str| {
        let managers = metadata["managedFields"].as_array();
        managers.is_some_and(|all| all.iter().any(|m| m["manager"] == name))
    };
    if marked("annotations", "argocd.argoproj.io/tracking-id")
        || manages("argocd-controller")
        || manages("argocd-application-controller")
    {
        return Some("Argo CD");
    }
    let flux = ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"];
    (flux.iter().any(|l| marked("labels", l))
        || manages("kustomize-controller")
        || manages("helm-controller"))
    .then_some("Flux")
}

/// Refuses objects that a rollout must move and a GitOps tool would move back.
pub fn refuse_gitops(live: &Live, site: &Site) -> anyhow::Result<()> {
    for (kind, object) in live.all() {
        let name = name_of(object);
        let slot = Slot::ALL.iter().any(|s| names::slot(&site.service, *s) == name);
        let moves = match kind {
            Kind::Deployment | Kind::HorizontalPodAutoscaler => slot,
            Kind::Service | Kind::HttpRoute => name == site.service,
            _ => false,
        };
        if moves {
            refuse_tool(kind, object)?;
        }
    }
    Ok(())
}

pub fn refuse_tool(kind: Kind, object: &Value) -> anyhow::Result<()> {
    let Some(tool) = tool(object) else { return Ok(()) };
    if object["metadata"]["annotations"][SHARED] == "true" {
        return Ok(());
    }
    let name = name_of(object);
    let label = format!("{}/{name}", kind.name());
    let epoch = format!("/metadata/annotations/{}", names::EPOCH.replace('/', "~1"));
    let paths: Vec<&str> = moved(kind).iter().copied().chain([epoch.as_str()]).collect();
    let failure = Failure::new(
        Exit::Held,
        "gitops",
        format!(
            "{label} is kept by {tool}, which would take back what a rollout changes there: {}",
            paths.join(", ")
        ),
    )
    .object(label.clone());
    let group = kind.group();
    let hint = match tool {
        "Argo CD" => format!(
            "in the Application: `ignoreDifferences: [{{group: \"{group}\", kind: {}, name: {name}, jsonPointers: \
             [{}]}}]` and `syncOptions: [RespectIgnoreDifferences=true]`",
            kind.name(),
            paths.join(", ")
        ),
        _ => format!(
            "leave these fields out of the repository's {} (Flux takes back only what it applies)",
            kind.name()
        ),
    };
    let then = format!("then `kubectl annotate {} {name} {SHARED}=true`", kind.name().to_lowercase());
    Err(failure.hint(hint).hint(then).into())
}

/// Refuses autoscalers of others that act on a slot: only one of ours can be held during a rollout.
pub async fn refuse_scalers(site: &Site) -> anyhow::Result<()> {
    let all = |path: String, object: &str| {
        let call = Call { method: Method::GET, path, content: None, body: None, object: object.to_owned() };
        async move { api::send(site, call).await }
    };
    let scaled = format!("/apis/{}/namespaces/{}/{}", keda::VERSION, site.namespace, keda::PLURAL);
    let (scalers, scaled) = futures::join!(
        all(api::path(site, Kind::HorizontalPodAutoscaler, None), "horizontalpodautoscalers"),
        all(scaled, keda::PLURAL)
    );
    let items = |answer: Result<Value, Error>| {
        // Who may not look there has other worries first.
        answer.ok().and_then(|mut a| a["items"].as_array_mut().map(std::mem::take)).unwrap_or_default()
    };
    match acting(&site.service, site.adopted.as_ref(), &items(scalers), &items(scaled)) {
        Some((kind, name, hint)) => Err(foreign(site, kind, name, &hint)),
        None => Ok(()),
    }
}

/// Whoever sets the number of a slot's pods and cannot be held: kind, name, and what helps.
fn acting<'a>(
    service: &str,
    adopted: Option<&Adopted>,
    scalers: &'a [Value],
    scaled: &'a [Value],
) -> Option<(&'static str, &'a str, String)> {
    let mut slots = Slot::ALL.map(|s| names::slot(service, s)).to_vec();
    let adopted = adopted.filter(|a| a.active);
    slots.extend(adopted.map(|a| a.deployment.clone()));
    let held = adopted.and_then(|a| a.scaler.as_ref()).map(|s| s.name.as_str());
    if let Some(object) = scaled.iter().find(|o| slots.iter().any(|s| keda::targets(o, s)) && keda::acts(o)) {
        return Some((keda::KIND, name_of(object), keda::hint(name_of(object))));
    }
    let targets = |o: &Value| slots.iter().any(|s| o["spec"]["scaleTargetRef"]["name"] == s.as_str());
    let ours = |o: &Value| super::change::ours(service, o) || held == Some(name_of(o));
    // KEDA's own hangs on its ScaledObject, which was looked at.
    let other = scalers.iter().find(|o| targets(o) && !ours(o) && keda::made(o).is_none())?;
    let hint = match adopted.filter(|a| other["spec"]["scaleTargetRef"]["name"] == a.deployment.as_str()) {
        Some(_) => "delete it; one that was there when the Deployment was adopted would be held",
        None => "delete it and set `autoscaling` in msctl.yaml, which makes one a slot",
    };
    Some(("HorizontalPodAutoscaler", name_of(other), hint.to_owned()))
}

fn foreign(site: &Site, kind: &str, name: &str, hint: &str) -> anyhow::Error {
    let text = format!(
        "{kind} {name} sets the pods of a slot of {}, and during a rollout the rollout does",
        site.service
    );
    Failure::new(Exit::Held, "autoscaler", text).object(format!("{kind}/{name}")).hint(hint).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rollout::{Bounded, Scaler};

    #[test]
    fn gitops_tools_are_known_by_mark_and_manager() {
        for (metadata, expected) in [
            (json!({"annotations": {"argocd.argoproj.io/tracking-id": "a:b"}}), Some("Argo CD")),
            (json!({"managedFields": [{"manager": "argocd-controller"}]}), Some("Argo CD")),
            (json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}), Some("Flux")),
            (json!({"managedFields": [{"manager": "helm-controller"}]}), Some("Flux")),
            (
                json!({"labels": {"app.kubernetes.io/instance": "shop"}, "managedFields": [{"manager": "msctl"}]}),
                None,
            ),
        ] {
            assert_eq!(tool(&json!({"metadata": metadata})), expected, "{metadata}");
        }
    }

    #[test]
    fn whoever_sets_the_pods_of_a_slot_and_cannot_be_held_is_found() {
        let object = |name: &str, target: &str, labels: Value, annotations: Value| {
            json!({"metadata": {"name": name, "labels": labels, "annotations": annotations},
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": target}}})
        };
        let none = || json!({});
        let hpa = |name: &str, target: &str| object(name, target, none(), none());
        let own = json!({names::MANAGED_BY: "msctl", names::NAME: "orders"});
        let kedas = json!({"scaledobject.keda.sh/name": "queue"});
        let paused = json!({"autoscaling.keda.sh/paused": "true"});
        let adopted = Adopted {
            slot: Slot::Blue,
            deployment: "legacy".into(),
            labels: Default::default(),
            service: None,
            scaler: Some(Bounded { name: "theirs".into(), own: Scaler::free(1, 3) }),
            revision: 1,
            active: true,
        };
        let gone = Adopted { active: false, ..adopted.clone() };
        type Row<'a> = (Option<&'a Adopted>, Vec<Value>, Vec<Value>, Option<&'a str>);
        let rows: Vec<Row<'_>> = vec![
            (None, vec![], vec![], None),
            (None, vec![hpa("h", "orders-blue")], vec![], Some("HorizontalPodAutoscaler h")),
            (None, vec![hpa("h", "other")], vec![], None),
            (None, vec![object("orders-blue", "orders-blue", own, none())], vec![], None),
            (None, vec![], vec![hpa("queue", "orders-green")], Some("ScaledObject queue")),
            (None, vec![], vec![object("queue", "orders-green", none(), paused)], None),
            // KEDA's own is named by what it hangs on.
            (
                None,
                vec![object("keda-hpa-queue", "orders-blue", kedas, none())],
                vec![hpa("queue", "orders-blue")],
                Some("ScaledObject queue"),
            ),
            (Some(&adopted), vec![hpa("theirs", "legacy")], vec![], None),
            (Some(&adopted), vec![hpa("late", "legacy")], vec![], Some("HorizontalPodAutoscaler late")),
            (Some(&adopted), vec![], vec![hpa("queue", "legacy")], Some("ScaledObject queue")),
            (Some(&gone), vec![hpa("late", "legacy")], vec![], None),
        ];
        for (adopted, scalers, scaled, expected) in rows {
            let found = acting("orders", adopted, &scalers, &scaled);
            let found = found.map(|(kind, name, _)| format!("{kind} {name}"));
            assert_eq!(found.as_deref(), expected, "{scalers:?} {scaled:?}");
        }
    }

    #[test]
    fn what_is_shared_is_let_pass() {
        let mut object = json!({"metadata": {"name": "orders",
            "annotations": {"argocd.argoproj.io/tracking-id": "a:b"}}});
        let error = refuse_tool(Kind::Service, &object).expect_err("refused");
        assert_eq!(crate::error::kind(&error).code(), 4);
        object["metadata"]["annotations"][SHARED] = "true".into();
        assert!(refuse_tool(Kind::Service, &object).is_ok());
    }
}
