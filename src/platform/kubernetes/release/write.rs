//! Writes: server-side apply as `msctl`, never forced, carrying the driver's epoch; dry runs; deletion.

use hyper::http::Method;
use serde_json::{Value, json};

use super::api::{self, Call};
use super::{Site, ownership};
use crate::manifest::names::{EPOCH, MANAGER, ROLLOUT_MANAGER};
use crate::manifest::{self, Kind, inert, kind_of, name_of, rollout_fields};
use crate::platform::Error;

type Result<T> = std::result::Result<T, Error>;

const APPLY: &str = "application/apply-patch+yaml";

/// `Deployment/orders-blue`.
pub fn label(object: &Value) -> String {
    format!("{}/{}", object["kind"].as_str().unwrap_or_default(), name_of(object))
}

fn kind(object: &Value) -> Result<Kind> {
    kind_of(object).ok_or_else(|| anyhow::anyhow!("{}: not a kind of ours", label(object)).into())
}

async fn patch(site: &Site, object: &Value, mode: &str) -> Result<Value> {
    let path = api::path(site, kind(object)?, Some(name_of(object)));
    let path = format!("{path}?fieldManager={MANAGER}&fieldValidation=Strict{mode}");
    let call =
        Call { method: Method::PATCH, path, content: Some(APPLY), body: Some(object), object: label(object) };
    match api::send(site, call).await {
        Err(Error::Overtaken { .. }) => Err(overtaken(site, object).await?),
        other => other,
    }
}

/// Names the epoch that stands in the way.
async fn overtaken(site: &Site, object: &Value) -> Result<Error> {
    let live = api::get(site, kind(object)?, name_of(object)).await?;
    Ok(Error::Overtaken { seen: epoch(&live), ours: epoch(object) })
}

/// The epoch an object carries; 0 without one.
pub fn epoch(object: &Value) -> u64 {
    object["metadata"]["annotations"][EPOCH].as_str().and_then(|e| e.parse().ok()).unwrap_or(0)
}

/// What applying `object` would make of `live`; admission has its say, nothing is written.
pub async fn dry_run(site: &Site, object: &Value, live: Option<&Value>) -> Result<Value> {
    let mut wanted = if live.is_some() { inert(object) } else { object.clone() };
    // A dry run is no driver: it must not meet the fence.
    if let Some(annotations) = wanted["metadata"]["annotations"].as_object_mut() {
        annotations.shift_remove(EPOCH);
    }
    match patch(site, &wanted, "&dryRun=All").await {
        // What a rollout has given back; an apply passes it on first.
        Err(Error::Owned { manager, .. })
            if manager.starts_with("msctl-rollout (") && !manager.contains("; ") =>
        {
            patch(site, &wanted, "&dryRun=All&force=true").await
        }
        other => other,
    }
}

/// Applies `object`, stamped with the driver's epoch. `live` None makes it, with the fields a rollout owns from then on;
/// else those are left alone, and an object deleted meanwhile is not made again.
pub async fn apply(site: &Site, object: &Value, live: Option<&Value>) -> Result<Value> {
    let Some(live) = live else {
        let made = patch(site, object, "").await?;
        // A slot's number of pods passes to the rollout with its first change; what may stay as it was made, now. So
        // does the epoch after a take-over, or a stale apply of the same object would lower it.
        let kept = kind_of(object) != Some(Kind::Deployment) && !rollout_fields(object).is_empty();
        if kept || epoch(object) > 1 {
            settle(site, &made).await?;
        }
        return Ok(made);
    };
    if epoch(live) > epoch(object) {
        return Err(Error::Overtaken { seen: epoch(live), ours: epoch(object) });
    }
    settle(site, live).await?;
    let mut wanted = inert(object);
    wanted["metadata"]["uid"] = live["metadata"]["uid"].clone();
    patch(site, &wanted, "").await
}

/// Passes the fields of rollouts to their manager, where that is still to do. Only the version that was looked at is
/// changed; a controller that writes the status meanwhile makes it look again.
async fn settle(site: &Site, seen: &Value) -> Result<()> {
    let mut live = seen.clone();
    for _ in 0..10 {
        let Some(fields) = ownership::settled(&live) else { return Ok(()) };
        let body = json!({"metadata": {
            "managedFields": fields, "resourceVersion": live["metadata"]["resourceVersion"],
        }});
        let path = api::path(site, kind(&live)?, Some(name_of(&live)));
        let call = Call {
            method: Method::PATCH,
            path: format!("{path}?fieldManager={ROLLOUT_MANAGER}"),
            content: Some("application/merge-patch+json"),
            body: Some(&body),
            object: label(&live),
        };
        match api::send(site, call).await {
            Err(Error::Conflict(_)) => live = api::get(site, kind(seen)?, name_of(seen)).await?,
            other => return other.map(|_| ()),
        }
    }
    Err(Error::Conflict(label(seen)))
}

/// Deletes exactly this object, its dependents in the background. Already gone is fine.
pub async fn delete(site: &Site, live: &Value) -> Result<()> {
    let body = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
        "preconditions": {"uid": live["metadata"]["uid"]},
    });
    let call = Call {
        method: Method::DELETE,
        path: api::path(site, kind(live)?, Some(name_of(live))),
        content: Some("application/json"),
        body: Some(&body),
        object: label(live),
    };
    match api::send(site, call).await {
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The object stamped for writing.
pub fn stamped(site: &Site, object: &Value, epoch: u64) -> Value {
    manifest::stamped(object, &super::inventory::id(site), epoch)
}

/// Makes an object that must not exist yet.
pub async fn create(site: &Site, object: &Value) -> Result<()> {
    let call = Call {
        method: Method::POST,
        path: format!("{}?fieldManager={MANAGER}", api::path(site, kind(object)?, None)),
        content: Some("application/json"),
        body: Some(object),
        object: label(object),
    };
    api::send(site, call).await.map(|_| ())
}
