//! GETs from a slot's pods through the API server's proxy: nothing is installed, no port is opened.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use http_body_util::BodyExt;
use hyper::Request;
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::client::Cluster;
use super::observe::{is_going, is_over, ready_since};
use crate::platform::{ASKED, AT_A_TIME, Answer, Error, Result};

/// One pod's answer may take so long.
const SLOWEST: Duration = Duration::from_secs(5);
/// No metrics text is larger.
const LARGEST: usize = 16 << 20;

/// Whether the API server would let us; where even that may not be asked, the first request says.
pub async fn allowed(cluster: &Cluster) -> Result<bool> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(cluster.namespace.clone()),
                resource: Some("pods".into()),
                subresource: Some("proxy".into()),
                verb: Some("get".into()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api = kube::Api::<SelfSubjectAccessReview>::all(cluster.client.clone());
    match api.create(&kube::api::PostParams::default(), &review).await {
        Ok(answer) => Ok(answer.status.is_some_and(|s| s.allowed)),
        Err(error) => match cluster.explain(error, "the right to ask pods") {
            Error::Forbidden(_) => Ok(true),
            error => Err(error),
        },
    }
}

/// `pods` are the slot's present ones; those that are not ready are not asked.
pub async fn get(cluster: &Cluster, mut pods: Vec<Arc<Pod>>, port: u16, path: &str) -> Result<Vec<Answer>> {
    pods.retain(|pod| !is_going(pod) && !is_over(pod) && ready_since(pod).is_some());
    // The same ones every time, as long as they live.
    pods.sort_by_key(|pod| pod.name_any());
    pods.truncate(ASKED);
    let asked: Vec<_> = pods.iter().map(|pod| one(cluster, pod, port, path).boxed()).collect();
    let answers: Vec<Result<Answer>> = futures::stream::iter(asked).buffered(AT_A_TIME).collect().await;
    answers.into_iter().collect()
}

async fn one(cluster: &Cluster, pod: &Pod, port: u16, path: &str) -> Result<Answer> {
    let name = pod.name_any();
    let (container, started) = container(pod);
    let said = match tokio::time::timeout(SLOWEST, request(cluster, &name, port, path)).await {
        Ok(Ok(said)) => Ok(said),
        Ok(Err(Error::Forbidden(what))) => return Err(Error::Forbidden(what)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("GET {path} was not answered within {} s", SLOWEST.as_secs())),
    };
    Ok(Answer { pod: name, container, started, said })
}

async fn request(cluster: &Cluster, pod: &str, port: u16, path: &str) -> Result<(u16, String)> {
    let url = format!("/api/v1/namespaces/{}/pods/{pod}:{port}/proxy{path}", cluster.namespace);
    let object = format!("Pod {pod}");
    let request = Request::get(url)
        .header("accept", "text/plain, application/json;q=0.5, */*;q=0.1")
        .body(kube::client::Body::empty())
        .map_err(anyhow::Error::from)?;
    let response = cluster.client.send(request).await.map_err(|e| cluster.explain(e, &object))?;
    let status = response.status().as_u16();
    let body = http_body_util::Limited::new(response.into_body(), LARGEST).collect().await;
    let body = body.map_err(|e| Error::Unreachable(format!("{object}: {e}")))?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    // The API server's own refusals are Status objects; everything else is the pod's.
    let refusal = serde_json::from_str::<serde_json::Value>(&text).ok();
    let refusal = refusal.filter(|v| status >= 400 && v["kind"] == "Status" && v["apiVersion"] == "v1");
    match refusal {
        Some(refusal) if status == 403 => {
            let message = refusal["message"].as_str().unwrap_or("pods/proxy may not be used");
            Err(Error::Forbidden(message.to_owned()))
        }
        Some(refusal) => {
            let message = refusal["message"].as_str().unwrap_or("no reason given");
            Err(Error::Unreachable(format!("{object}: {message}")))
        }
        None => Ok((status, text)),
    }
}

/// Of the pod's one container: its id, and since when it runs.
fn container(pod: &Pod) -> (String, Option<Timestamp>) {
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
    let Some(first) = statuses.and_then(|s| s.first()) else { return (pod.name_any(), None) };
    let started = first.state.as_ref().and_then(|s| s.running.as_ref()).and_then(|r| r.started_at.as_ref());
    (first.container_id.clone().unwrap_or_else(|| pod.name_any()), started.map(|t| t.0))
}
