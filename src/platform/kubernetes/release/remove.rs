//! Removes a service: routes and autoscalers, then Deployments, and when the pods are gone the rest; state last.

use std::collections::BTreeSet;
use std::time::Duration;

use hyper::http::Method;
use serde_json::Value;

use super::api::{self, Call};
use super::live::Live;
use super::{Site, failure, write};
use crate::error::Failure;
use crate::manifest::{Kind, names};
use crate::platform::{Action, Change, Error};

/// A pod's grace, and some for a busy node.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn all(site: &Site) -> anyhow::Result<Vec<Change>> {
    let kinds = BTreeSet::from([Kind::Secret]);
    let live = Live::read(site, &kinds).await.map_err(|e| failure::of(e, "list what is there"))?;
    let stories = api::stories(site).await.map_err(|e| failure::of(e, "list what is kept of deploys"))?;
    let mut changes = Vec::new();
    let routes = [&Kind::ROUTES[..], &[Kind::HorizontalPodAutoscaler]].concat();
    for group in [
        &routes as &[Kind],
        &[Kind::Deployment],
        &[Kind::Service, Kind::PodDisruptionBudget, Kind::NetworkPolicy, Kind::ServiceAccount, Kind::Secret],
        &[Kind::ConfigMap],
    ] {
        let mut group: Vec<&Value> = live.all().filter(|(k, _)| group.contains(k)).map(|(_, o)| o).collect();
        if group.iter().any(|o| o["kind"] == "ConfigMap") {
            group.extend(&stories);
        }
        futures::future::try_join_all(group.iter().map(|object| write::delete(site, object)))
            .await
            .map_err(|e| failure::after_write(e, "remove the service"))?;
        changes.extend(group.iter().map(|object| Change {
            object: write::label(object),
            action: Action::Delete,
            diff: String::new(),
        }));
        if group.iter().any(|o| o["kind"] == "Deployment") {
            pods_gone(site).await?;
        }
    }
    lease(site).await.map_err(|e| failure::after_write(e, "remove the Lease"))?;
    Ok(changes)
}

async fn pods_gone(site: &Site) -> anyhow::Result<()> {
    let path = format!(
        "/api/v1/namespaces/{}/pods?labelSelector={}%3D{}",
        site.namespace,
        names::NAME.replace('/', "%2F"),
        site.service
    );
    let started = std::time::Instant::now();
    loop {
        let call = Call {
            method: Method::GET,
            path: path.clone(),
            content: None,
            body: None,
            object: "pods".into(),
        };
        let left = match api::send(site, call).await {
            Ok(list) => list["items"].as_array().map_or(0, Vec::len),
            Err(error) => return Err(failure::after_write(error, "wait for the pods to end")),
        };
        if left == 0 {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            let text = format!("{left} pods are still ending after {} s", PATIENCE.as_secs());
            return Err(Failure::failed("pods-remain", text)
                .hint("their Deployments are gone; run the same command again to remove the rest")
                .into());
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn lease(site: &Site) -> Result<(), Error> {
    let name = format!("{}-rollout", site.service);
    let call = Call {
        method: Method::DELETE,
        path: format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{name}", site.namespace),
        content: None,
        body: None,
        object: format!("Lease/{name}"),
    };
    match api::send(site, call).await {
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
