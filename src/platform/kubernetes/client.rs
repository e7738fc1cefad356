//! The cluster as the adapter's files use it: one client, one namespace, and kube's errors as the cases callers branch on.

use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use kube::core::Status;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::clock::ServerClock;
use super::config::Access;
use super::session::Sessions;
use super::transport::{Lost, Transport};
use crate::context::Ctx;
use crate::error::Failure;
use crate::platform::Error;
use crate::ui::Ui;

#[derive(Clone)]
pub struct Cluster {
    pub client: kube::Client,
    pub namespace: String,
    pub context: Option<String>,
    pub clock: Arc<ServerClock>,
    pub ui: Ui,
    transport: Transport,
}

impl Cluster {
    /// Makes no request; the credential plugin runs with the first one.
    pub fn new(ctx: &Ctx, access: Access) -> Self {
        let Access { context, namespace, config, exec } = access;
        let clock = Arc::new(ServerClock::new(ctx.clock.clone()));
        let sessions = Sessions::new(config, exec, ctx.ui.options.interactive);
        let transport = Transport::new(sessions, clock.clone(), ctx.ui.clone());
        let client = kube::Client::new(transport.clone(), namespace.clone());
        Cluster { client, namespace, context, clock, ui: ctx.ui.clone(), transport }
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn place(&self) -> String {
        match &self.context {
            Some(context) => format!("context {context}, namespace {}", self.namespace),
            None => format!("this cluster, namespace {}", self.namespace),
        }
    }

    /// How many requests went out so far.
    pub fn requests(&self) -> u64 {
        self.transport.requests()
    }

    /// `object` is what was read or written, such as `Deployment orders-blue`.
    pub fn explain(&self, error: kube::Error, object: &str) -> Error {
        match error {
            kube::Error::Api(status) => self.refused(*status, object),
            other => unanswered(other, object),
        }
    }

    fn refused(&self, status: Status, object: &str) -> Error {
        let place = self.place();
        let terminating = status
            .details
            .as_ref()
            .is_some_and(|d| d.causes.iter().any(|c| c.reason == "NamespaceTerminating"));
        if terminating {
            return Error::Terminating(format!("namespace {}", self.namespace));
        }
        match status.code {
            401 => unauthorized(&place),
            403 => Error::Forbidden(forbidden(&status.message, &self.namespace)),
            404 if status.message.starts_with("namespaces ") => {
                Error::NotFound(format!("namespace {} does not exist", self.namespace))
            }
            404 => Error::NotFound(format!("{object} does not exist ({place})")),
            409 => Error::Conflict(object.to_owned()),
            429 | 500..=599 => Error::Unreachable(format!(
                "{object}: the API server answers {}: {}",
                status.code, status.message
            )),
            _ => Error::Other(
                Failure::failed("rejected", format!("the API server rejects {object}: {}", status.message))
                    .object(object)
                    .into(),
            ),
        }
    }
}

/// The credentials are not, or no longer, accepted.
pub fn unauthorized(place: &str) -> Error {
    Error::Other(
        Failure::failed("unauthorized", format!("the API server does not accept the credentials ({place})"))
            .hint("sign in again: a token or certificate may have expired")
            .into(),
    )
}

/// An error that is not the API server's word about `object`: there was no answer, or none that can be read.
pub fn unanswered(error: kube::Error, object: &str) -> Error {
    match error {
        kube::Error::Service(source) => match source.downcast::<Lost>() {
            Ok(lost) => self::lost(*lost, object),
            Err(source) => Error::Unreachable(format!("{object}: {source}")),
        },
        kube::Error::HyperError(e) => Error::Unreachable(format!("{object}: the answer broke off: {e}")),
        kube::Error::ReadEvents(e) => Error::Unreachable(format!("{object}: the watch broke off: {e}")),
        kube::Error::SerdeError(e) => Error::Other(
            Failure::failed(
                "bad-answer",
                format!("the API server's answer about {object} is not understood"),
            )
            .source(e)
            .into(),
        ),
        other => Error::Other(anyhow::Error::new(other).context(object.to_owned())),
    }
}

fn lost(lost: Lost, object: &str) -> Error {
    match lost {
        Lost::Credentials(error) => Error::Other(error),
        Lost::Connect { address, source } | Lost::Broken { address, source }
            if source.to_string().contains("certificate") =>
        {
            let hint = match source.to_string() {
                s if s.contains("Expired") || s.contains("NotValidYet") => {
                    "compare this machine's clock with the certificate's dates"
                }
                s if s.contains("NotValidForName") => {
                    "the kubeconfig's server must be a name in the certificate, or set tls-server-name"
                }
                _ => {
                    "the kubeconfig's certificate-authority must be the one that signed the server's certificate"
                }
            };
            Error::Other(
                Failure::failed("untrusted-certificate", format!("{address} is not trusted: {source}"))
                    .hint(hint)
                    .object(address)
                    .into(),
            )
        }
        Lost::Connect { address, source } => {
            Error::Unreachable(format!("no connection to {address}: {source}"))
        }
        Lost::Silent { .. } => Error::Unreachable(format!("{object}: {lost}")),
        Lost::Broken { address, source } => {
            Error::Unreachable(format!("{object}: the connection to {address} broke: {source}"))
        }
    }
}

/// `User "dev" cannot create resource "deployments" in API group "apps" in the namespace "shop"`, made short.
pub fn forbidden(message: &str, namespace: &str) -> String {
    let quoted = |after: &str| {
        let (_, rest) = message.split_once(after)?;
        rest.split('"').next()
    };
    let verb = message.split_once(" cannot ").and_then(|(_, rest)| rest.split(' ').next());
    let (Some(user), Some(verb), Some(resource)) = (quoted("User \""), verb, quoted("resource \"")) else {
        return message.to_owned();
    };
    let group = quoted("API group \"").filter(|g| !g.is_empty()).map(|g| format!(".{g}")).unwrap_or_default();
    let place = match message.contains("at the cluster scope") {
        true => "in the whole cluster".to_owned(),
        false => format!("in namespace {}", quoted("namespace \"").unwrap_or(namespace)),
    };
    format!("{user} may not {verb} {resource}{group} {place}")
}

#[cfg(test)]
mod tests {
    use super::forbidden;

    #[test]
    fn forbidden_names_user_verb_resource_and_place() {
        for (message, expected) in [
            (
                r#"deployments.apps "orders-blue" is forbidden: User "dev" cannot patch resource "deployments" in API group "apps" in the namespace "shop""#,
                "dev may not patch deployments.apps in namespace shop",
            ),
            (
                r#"pods is forbidden: User "system:serviceaccount:a:b" cannot list resource "pods" in API group "" in the namespace "a""#,
                "system:serviceaccount:a:b may not list pods in namespace a",
            ),
            (
                r#"gateways.gateway.networking.k8s.io is forbidden: User "dev" cannot list resource "gateways" in API group "gateway.networking.k8s.io" at the cluster scope"#,
                "dev may not list gateways.gateway.networking.k8s.io in the whole cluster",
            ),
            ("pods \"x\" is forbidden: exceeded quota: q", "pods \"x\" is forbidden: exceeded quota: q"),
        ] {
            assert_eq!(forbidden(message, "ns"), expected);
        }
    }
}
