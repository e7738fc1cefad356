//! An environment: where it is, and the keys of the service that it overrides.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use super::{EnvironmentTarget, Service};

/// One entry of `environments`.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub target: EnvironmentTarget,
    /// Keys of the service, as written; merged over the service's own.
    pub overrides: Map<String, Value>,
}

const TARGET_KEYS: [&str; 4] = ["platform", "context", "namespace", "protected"];

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut all = Option::<Map<String, Value>>::deserialize(d)?.unwrap_or_default();
        let mut target = Map::new();
        for key in TARGET_KEYS {
            if let Some(value) = all.remove(key) {
                target.insert(key.into(), value);
            }
        }
        let target = serde_json::from_value(Value::Object(target)).map_err(de::Error::custom)?;
        if let Some(key) =
            ["environments", "workspace", "service", "apiVersion"].iter().find(|k| all.contains_key(**k))
        {
            return Err(de::Error::custom(format!("`{key}` cannot be overridden in an environment")));
        }
        // Parsed only to find mistakes: what is merged is what was written, without defaults.
        serde_json::from_value::<Service>(Value::Object(all.clone())).map_err(de::Error::custom)?;
        Ok(Environment { target, overrides: all })
    }
}

impl Serialize for Environment {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut all = match serde_json::to_value(&self.target).map_err(serde::ser::Error::custom)? {
            Value::Object(target) => target,
            _ => Map::new(),
        };
        all.extend(self.overrides.clone());
        all.serialize(s)
    }
}

impl JsonSchema for Environment {
    fn schema_name() -> Cow<'static, str> {
        "Environment".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let target = generator.subschema_for::<EnvironmentTarget>();
        let properties = target.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next());
        let mut properties = properties
            .and_then(|name| generator.definitions().get(name))
            .and_then(|d| d.get("properties").cloned())
            .unwrap_or_default();
        // A generator never meets Service from here before Service itself, whose keys these are.
        if let Some(properties) = properties.as_object_mut() {
            for key in OVERRIDABLE {
                properties
                    .insert((*key).into(), serde_json::json!({ "$ref": format!("#/properties/{key}") }));
            }
        }
        schemars::json_schema!({
            "type": ["object", "null"],
            "description": "Where it is, and overrides of any key of the service",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

const OVERRIDABLE: &[&str] = &[
    "dependsOn",
    "template",
    "image",
    "run",
    "port",
    "health",
    "metrics",
    "replicas",
    "autoscaling",
    "resources",
    "config",
    "secrets",
    "needs",
    "egress",
    "migrations",
    "expose",
    "traffic",
    "pod",
    "rollout",
    "driverImage",
];

impl Service {
    /// The service as environment `name` has it. An environment that msctl.yaml does not list changes nothing.
    pub fn in_environment(&self, name: &str) -> anyhow::Result<Service> {
        let Some(environment) = self.environments.get(name) else { return Ok(self.clone()) };
        let mut base = serde_json::to_value(self)?;
        merge(&mut base, &Value::Object(environment.overrides.clone()));
        let mut service: Service = serde_json::from_value(base)?;
        if environment.overrides.contains_key("replicas")
            && !environment.overrides.contains_key("autoscaling")
        {
            service.autoscaling = None;
        }
        super::validate(&service, std::path::Path::new(super::FILE))?;
        Ok(service)
    }
}

/// Objects merge key by key, null removes, everything else replaces.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    base.remove(key);
                } else {
                    merge(base.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error;
    use std::path::Path;

    const FILE: &str = r#"
service: orders
config: {LOG_LEVEL: info, N: 3, OLD: on}
rollout: {strategy: canary, surge: 50%, steps: [{weight: 10}, {scale: match}, {pause: {}}, {pause: 2m}]}
environments:
  local: {platform: local}
  prod: {context: prod, protected: true, replicas: 5, config: {LOG_LEVEL: warn}, rollout: {history: 3}}
"#;

    fn parse(text: &str) -> anyhow::Result<Service> {
        crate::service::parse_yaml(text, Path::new("msctl.yaml"))
    }

    #[test]
    fn overrides_merge_and_keep_the_rest() {
        let service = parse(FILE).expect("parses");
        let prod = service.in_environment("prod").expect("merges");
        assert_eq!((prod.replicas, prod.rollout.history), (5, 3));
        assert_eq!(prod.rollout.surge.to_string(), "50%");
        assert_eq!(prod.rollout.steps.len(), 4);
        assert_eq!(prod.config["LOG_LEVEL"].0, "warn");
        assert_eq!((prod.config["N"].0.as_str(), prod.config["OLD"].0.as_str()), ("3", "on"));
        assert!(service.environments["prod"].target.protected);
    }

    #[test]
    fn mistakes_have_a_place_and_a_suggestion() {
        for (text, line, near) in [
            ("service: orders\nreplica: 3\n", 2, "\"replicas\""),
            ("\u{feff}service: orders\r\nhealth:\r\n  liv: /x\r\n", 3, "\"live\""),
            ("service: orders\nenvironments:\n  prod: {rollouts: {}}\n", 3, "\"rollout\""),
        ] {
            let error = parse(text).expect_err(text);
            let failure = error::failure(&error).expect("is classified");
            assert_eq!(failure.kind.code(), 2);
            assert_eq!(failure.location.as_ref().map(|l| l.line), Some(line), "{text}: {failure:?}");
            assert!(failure.hints.iter().any(|h| h.contains(near)), "{text}: {failure:?}");
        }
    }

    #[test]
    fn the_schema_accepts_what_we_print() {
        let schema = crate::service::schema();
        assert_eq!(
            schema["properties"]["environments"]["additionalProperties"]["$ref"],
            "#/$defs/Environment"
        );
        assert!(schema["$defs"]["Environment"]["properties"].get("rollout").is_some());
    }
}
