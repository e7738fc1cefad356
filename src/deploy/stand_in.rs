//! What a driver in the cluster is made of: the image of msctl by digest, and where the analysis asks.

use crate::cli;
use crate::context::Ctx;
use crate::error::Failure;
use crate::image;
use crate::platform::StandIn;
use crate::service::{PlatformKind, Service};
use crate::settings::Target;

/// None without `--detach`. The image must be there: its registry is asked before anything is written.
pub async fn wanted(
    ctx: &Ctx,
    flags: &cli::Handoff,
    service: &Service,
    target: &Target,
    arguments: Vec<String>,
) -> anyhow::Result<Option<StandIn>> {
    if !flags.detach {
        return Ok(None);
    }
    if target.platform == PlatformKind::Local {
        return Err(Failure::usage("no-cluster", "--detach: the local platform has no cluster for a driver")
            .hint("name an environment that has a cluster: -e ENV")
            .into());
    }
    let named =
        [flags.driver_image.as_ref(), service.driver_image.as_ref(), ctx.settings.user.driver_image.as_ref()];
    let image = pinned(ctx, named.into_iter().flatten().next()).await?;
    Ok(Some(StandIn { image, arguments, ports: ports(service) }))
}

/// As `wanted`, for a look at its account and rights: they do not depend on the image.
pub fn shown(service: &Service) -> StandIn {
    StandIn { image: String::new(), arguments: Vec::new(), ports: ports(service) }
}

async fn pinned(ctx: &Ctx, reference: Option<&String>) -> anyhow::Result<String> {
    const NAME: &str = "name one that the cluster can pull: --driver-image REF, or `driverImage: REF` in msctl.yaml or the user config";
    const BUILD: &str =
        "the Dockerfile of msctl builds it: `docker build -t REF .` in its repository, then push it";
    let Some(reference) = reference else {
        let message = "--detach: the driver in the cluster needs an image of msctl, and none is named";
        return Err(Failure::usage("driver-image", message).hint(NAME).hint(BUILD).into());
    };
    image::resolve(ctx, reference).await.map_err(|error| {
        Failure::failed("driver-image", format!("the image of the driver, {reference}, cannot be had"))
            .object(reference.as_str())
            .hint(NAME)
            .hint(BUILD)
            .source(error)
            .into()
    })
}

/// The ports of Prometheus and of the gates that the analysis asks; the pods are asked through the API server.
fn ports(service: &Service) -> Vec<u16> {
    let metrics = service.rollout.analysis.metrics.iter();
    let mut ports: Vec<u16> = metrics
        .flat_map(|m| [m.address.as_deref(), m.web.as_ref().map(|w| w.url.as_str())])
        .flatten()
        .filter_map(port)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn port(url: &str) -> Option<u16> {
    let uri: hyper::Uri = url.parse().ok()?;
    uri.port_u16().or(match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_may_reach_what_the_analysis_asks() {
        let text = "service: orders\nrollout: {analysis: {metrics: [\
            {name: paid, prometheus: up, address: 'http://prometheus:9090', min: 1},\
            {name: gate, web: {url: 'https://gate.example.com/ok', json: '$.ok'}, equals: true},\
            {name: errors, builtin: error-rate, max: 1%}]}}\n";
        let service = crate::service::parse_yaml(text, std::path::Path::new("msctl.yaml")).unwrap();
        assert_eq!(ports(&service), [443, 9090]);
    }
}
