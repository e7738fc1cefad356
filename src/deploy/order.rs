//! The order of services: each after those it depends on. Pure.

use crate::error::{Failure, did_you_mean};
use crate::service::Service;

/// Indices into `services`; those that do not depend on each other keep their order. A dependency that is not among
/// them is taken for deployed.
pub fn of(services: &[&Service]) -> anyhow::Result<Vec<usize>> {
    let names: Vec<&str> = services.iter().map(|s| s.service.as_str()).collect();
    for service in services {
        for wanted in service.depends_on.iter().filter(|d| !names.contains(&d.as_str())) {
            if let Some(near) = did_you_mean(wanted, names.iter().copied().filter(|n| *n != service.service))
            {
                return Err(Failure::usage(
                    "unknown-service",
                    format!("{} depends on {wanted:?}, which is not a service here", service.service),
                )
                .hint(format!("did you mean {near:?}?"))
                .into());
            }
        }
    }
    let mut order = Vec::new();
    while order.len() < services.len() {
        let ready = (0..services.len()).find(|at| {
            !order.contains(at)
                && services[*at]
                    .depends_on
                    .iter()
                    .all(|d| names.iter().position(|n| n == d).is_none_or(|needed| order.contains(&needed)))
        });
        let Some(at) = ready else {
            let left: Vec<&str> =
                (0..services.len()).filter(|at| !order.contains(at)).map(|at| names[at]).collect();
            return Err(Failure::usage(
                "depends-in-a-circle",
                format!("dependsOn goes in a circle: {}", left.join(", ")),
            )
            .into());
        };
        order.push(at);
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, needs: &[&str]) -> Service {
        let text = format!("service: {name}\ndependsOn: [{}]\n", needs.join(", "));
        crate::service::parse_yaml(&text, std::path::Path::new("msctl.yaml")).expect("parses")
    }

    fn order(services: &[(&str, &[&str])]) -> Result<String, String> {
        let services: Vec<Service> = services.iter().map(|(n, d)| service(n, d)).collect();
        let all: Vec<&Service> = services.iter().collect();
        let order = of(&all).map_err(|e| e.to_string())?;
        Ok(order.iter().map(|at| all[*at].service.as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn dependencies_come_first() {
        assert_eq!(
            order(&[("web", &["orders", "users"]), ("users", &[]), ("orders", &["users"])]).as_deref(),
            Ok("users orders web")
        );
        assert_eq!(order(&[("b", &[]), ("a", &["elsewhere"])]).as_deref(), Ok("b a"));
        assert!(order(&[("orders", &[]), ("web", &["order"])]).expect_err("a slip").contains("\"order\""));
        assert!(order(&[("a", &["b"]), ("b", &["a"]), ("c", &[])]).expect_err("circle").ends_with("a, b"));
    }
}
